"""Edits of both sides in the same instant, over the stand-ins: the owner wins by value, and parts are not buried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.simulation.play import Play
from tests.simulation.test_regressions import pair_of, stage
from tests.simulation.world import World
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.sandbox.hubspot.machine import HubSpotMachine
from wanesync.store.database import Tx

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
SIDES = pytest.mark.parametrize("side", list(Side))


@pytest.fixture(params=list(Side))
def owner(request: pytest.FixtureRequest) -> Side:
    """The owner of every field."""
    side: Side = request.param
    return side


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, owner: Side) -> Iterator[Play]:
    specs = tuple(replace(spec, owner=owner) for spec in DEFAULT_FIELDS)
    monkeypatch.setattr(World, "_draw_fields", lambda _world: FieldMap(specs))
    with stage() as playing:
        yield playing


def edit(play: Play, side: Side, record_id: str, value: str) -> None:
    """A user sets the company."""
    name = "company" if side is HUBSPOT else "business_name"
    play.world.machine(side).edit("update", record_id, {name: value}, play.world.now)


def delay_webhooks(play: Play, side: Side, delay_ms: int = 3_000) -> None:
    """The webhooks of what happens from now on are sent so much later."""
    machine = play.world.machine(side)
    if isinstance(machine, HubSpotMachine):
        machine.portal.webhooks.outbox._delay_ms = delay_ms
    else:
        for outbox in machine.account.webhooks._outboxes.values():
            outbox._delay_ms = delay_ms


def kept(play: Play) -> list[tuple[Side, str, str, str]]:
    with play.world.store.reading() as tx:
        rows = [row.conflict for row in tx.conflicts.list()]
    return sorted((c.side, c.field, c.kind, c.value) for c in rows)


def queue_read(tx: Tx, side: Side, record_id: str) -> None:
    tx.jobs.put(JobRequest(side, JobKind.READ, record_id))


def values_of(play: Play, name: str, *ids: str) -> list[str]:
    return [play.world.facts.value((side, i), name) for side, i in zip(Side, ids, strict=True)]


@pytest.mark.case(15)
@SIDES
def test_of_two_edits_in_one_instant_the_owner_s_stands_whatever_arrives_first(
    play: Play, owner: Side, side: Side
) -> None:
    """``side``: whose webhook comes first, and is written to the other side before that one's comes."""
    world = play.world
    ids = pair_of(play)
    of = dict(zip(Side, ids, strict=True))
    edit(play, side, of[side], f"of {side}")
    # The other side's webhook is sent only after our write has landed on top of its edit.
    delay_webhooks(play, side.other)
    edit(play, side.other, of[side.other], f"of {side.other}")
    play.play()
    assert values_of(play, "company", *ids) == [f"of {owner}"] * 2
    assert [entry for entry in kept(play) if entry[3] == f"of {owner.other}"]
    assert world.violations == []


def test_an_edit_made_with_the_other_s_value_in_view_is_not_undone(play: Play, owner: Side) -> None:
    """Sequential edits: the other side's user replaced the owner's value knowingly, however late its webhook comes."""
    ids = pair_of(play)
    of = dict(zip(Side, ids, strict=True))
    edit(play, owner, of[owner], "first")
    play.play()
    delay_webhooks(play, owner, 8_000)
    edit(play, owner, of[owner], "second")
    play.world.store.run(lambda tx: queue_read(tx, owner, of[owner]))
    play.step()
    while values_of(play, "company", *ids) != ["second"] * 2 and play.step():
        pass
    edit(play, owner.other, of[owner.other], "third")
    play.play()
    assert values_of(play, "company", *ids) == ["third"] * 2
    assert kept(play) == []


@pytest.mark.case(48)
@pytest.mark.parametrize("delay_ms", [0, 300, 3_000])
def test_a_part_of_an_address_that_our_write_of_another_part_buried_is_put_back(play: Play, delay_ms: int) -> None:
    world = play.world
    contact_id, customer_id = pair_of(play)
    world.stripe.edit("update", customer_id, {"address.line1": "Old Street", "address.city": "Ulm"}, world.now)
    play.play()
    delay_webhooks(play, STRIPE, delay_ms)
    world.hubspot.edit("update", contact_id, {"city": "Bonn"}, world.now)
    sent = 0
    while not sent and play.step():
        # The street is edited when our write is planned, before it lands.
        with world.store.reading() as tx:
            sent = tx.pending_writes.count_open()
    world.stripe.edit("update", customer_id, {"address.line1": "New Street"}, world.now)
    play.play()
    assert values_of(play, "street", contact_id, customer_id) == ["New Street"] * 2
    assert values_of(play, "city", contact_id, customer_id) == ["Bonn"] * 2
    assert kept(play) == []


@pytest.mark.case(48)
def test_a_part_that_no_field_holds_is_put_back_too(play: Play) -> None:
    world = play.world
    contact_id, customer_id = pair_of(play)
    world.stripe.edit("update", customer_id, {"address.line1": "Old Street"}, world.now)
    play.play()
    world.hubspot.edit("update", contact_id, {"city": "Bonn"}, world.now)
    sent = 0
    while not sent and play.step():
        with world.store.reading() as tx:
            sent = tx.pending_writes.count_open()
    world.stripe.edit("update", customer_id, {"address.line2": "2nd floor"}, world.now)
    play.play()
    (row,) = world.stripe.records()
    assert (row["address.city"], row["address.line2"]) == ("Bonn", "2nd floor")
    assert kept(play) == []
    with world.store.reading() as tx:
        (link,) = tx.links.of_records([(STRIPE, customer_id)])
    assert link.put_back == {}
