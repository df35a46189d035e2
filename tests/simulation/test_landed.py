"""A write of ours arrived, its answer was lost, a person edited on top of it: that edit is the newer one and wins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.simulation.play import Play
from tests.simulation.test_regressions import pair_of, stage
from tests.support.core_builders import HUBSPOT, STRIPE, customer, full_name, stored
from wanesync.core.evidence.lost_updates import was_edited_after, was_left_by
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Change, Event, PendingWrite, Side, WriteKind, WriteResult
from wanesync.core.ports import Authors
from wanesync.sandbox.faults import Faults
from wanesync.sync.calls import PlanningRound
from wanesync.sync.provenance import _is_own
from wanesync.sync.writes.recovery import _is_author, read_authors

# Of each owner a field: in a dispute its value would win.
NAMES = ("company", "city")
SENT_MS = 1_800_000_000_500
QUARTER_MS = 900_000


@contextmanager
def answer_lost(side: Side, name: str) -> Iterator[tuple[Play, dict[Side, str]]]:
    """A pair whose field went from A to B on the other side, and to B here by a write without an answer."""
    with stage() as play:
        world = play.world
        ids = dict(zip(Side, pair_of(play), strict=True))
        edit(play, side.other, ids, name, "A")
        play.play()
        machine = world.hubspot if side is HUBSPOT else world.stripe
        edit(play, side.other, ids, name, "B")
        machine.set_faults(Faults(lost_answer=1.0))
        while world.facts.value((side, ids[side]), name) != "B" and play.step():
            world.facts.drain()
        machine.set_faults(Faults())
        with world.store.reading() as tx:
            assert (world.facts.value((side, ids[side]), name), tx.pending_writes.count_open()) == ("B", 1)
        # Stripe's times are whole seconds.
        world.sleep(1_500)
        yield play, ids


def edit(play: Play, side: Side, ids: dict[Side, str], name: str, value: str) -> None:
    world = play.world
    machine = world.hubspot if side is HUBSPOT else world.stripe
    attribute = {"company": "business_name", "city": "address.city"}[name] if side is STRIPE else name
    machine.edit("update", ids[side], {attribute: value}, world.now)
    world.facts.drain()


def values(play: Play, ids: dict[Side, str], name: str) -> list[str]:
    return [play.world.facts.value((side, ids[side]), name) for side in Side]


def kept(play: Play, ids: dict[Side, str]) -> set[str]:
    with play.world.store.reading() as tx:
        return {row.conflict.value for side in Side for row in tx.conflicts.of_record(side, ids[side])}


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["C", "A"], ids=["another value", "what stood there before"])
def test_an_edit_on_top_of_a_write_without_an_answer_wins(side: Side, name: str, value: str) -> None:
    with answer_lost(side, name) as (play, ids):
        edit(play, side, ids, name, value)
        play.play()
        assert values(play, ids, name) == [value, value]
        # What it replaced may be kept, too: it was not known yet that it had arrived.
        assert kept(play, ids) <= {"B"}


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("name", NAMES)
def test_an_edit_on_both_sides_is_still_a_dispute(side: Side, name: str) -> None:
    with answer_lost(side, name) as (play, ids):
        edit(play, side, ids, name, "C")
        edit(play, side.other, ids, name, "D")
        play.play()
        # Who is heard of first may win, too.
        wins = set(values(play, ids, name))
        assert len(wins) == 1
        assert {"C", "D"} - wins <= kept(play, ids)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("name", NAMES)
def test_it_wins_even_if_the_other_side_goes_away_before_it_is_told_there(side: Side, name: str) -> None:
    with answer_lost(side, name) as (play, ids):
        edit(play, side, ids, name, "A")
        world = play.world
        there = world.hubspot if side is STRIPE else world.stripe
        there.set_faults(Faults(error_503=1.0))
        until_ms = world.now + QUARTER_MS
        while world.now < until_ms and play.step():
            pass
        there.set_faults(Faults())
        play.play()
        assert values(play, ids, name) == ["A", "A"]


def own_write(side: Side) -> PendingWrite:
    changes = {"city": Change("A", "B", "B")}
    pending = PendingWrite(
        "own", side, WriteKind.UPDATE, "contact:1", "1", "1", "k", "{}", changes, result=WriteResult.LOST
    )
    return replace(pending, sent_ms=SENT_MS)


def told(side: Side, value: str, after_ms: int, *, ours: bool = False, before: str = "") -> Event:
    key = "k" if ours and side is STRIPE else ""
    source = "own" if ours else "user"
    previous = {"city": before} if before else {}
    at_ms = SENT_MS + after_ms
    return Event(f"{value}{at_ms}", side, "updated", "1", at_ms, {"city": value}, previous, key, source)


@pytest.mark.parametrize("side", list(Side))
def test_only_events_tell_that_an_edit_is_the_newer_one(side: Side) -> None:
    pending, echo = own_write(side), told(side, "B", 100, ours=True)
    assert was_edited_after(pending, "city", "C", [echo, told(side, "C", 2_000)])
    assert not was_edited_after(pending, "city", "C", [told(side, "C", 2_000)])  # it may still come
    assert not was_edited_after(pending, "city", "C", [echo])  # its author is unknown
    assert not was_edited_after(pending, "city", "C", [told(side, "C", -2_000), echo])
    assert not was_edited_after(pending, "city", "C", [echo, told(side, "C", 2_000), told(side, "D", 4_000)])


def test_an_echo_of_hubspot_from_before_the_write_left_is_that_of_another_one() -> None:
    before = [told(HUBSPOT, "B", -100, ours=True), told(HUBSPOT, "C", 2_000)]
    assert not was_edited_after(own_write(HUBSPOT), "city", "C", before)


def test_what_stood_there_before_settles_the_order_within_a_second_of_stripe() -> None:
    pending, echo = own_write(STRIPE), told(STRIPE, "B", 100, ours=True)
    assert not was_edited_after(pending, "city", "C", [echo, told(STRIPE, "C", 200)])
    assert was_edited_after(pending, "city", "C", [echo, told(STRIPE, "C", 200, before="B")])


def test_an_edit_that_was_judged_was_planned_from_before_and_proves_nothing() -> None:
    pending, echo = own_write(HUBSPOT), told(HUBSPOT, "B", 100, ours=True)
    assert not was_edited_after(pending, "city", "C", [echo, replace(told(HUBSPOT, "C", 2_000), judged=True)])


def test_a_lost_write_of_a_link_that_is_gone_explains_nothing_to_the_next_customer() -> None:
    with answer_lost(HUBSPOT, "company") as (play, ids):
        world = play.world
        play.play()
        world.stripe.edit("delete", ids[STRIPE], {}, world.now)
        world.facts.drain()
        play.play()
        again = world.stripe.edit("create", None, {"email": "p0@example.com"}, world.now)
        world.facts.drain()
        play.play()
        assert values(play, {HUBSPOT: ids[HUBSPOT], STRIPE: again}, "company") == ["B", "B"]


def test_a_value_set_back_by_hand_on_stripe_is_not_the_old_write_that_made_it_first() -> None:
    with answer_lost(STRIPE, "company") as (play, ids), play.world.store.transaction() as tx:
        (pending,) = tx.pending_writes.unanswered(STRIPE, ids[STRIPE])
        known = tx.records.get(STRIPE, ids[STRIPE])
        assert known is not None
        stored = replace(known, record=replace(known.record, values={**known.record.values, "company": "B"}))
        base = Event("", STRIPE, "updated", ids[STRIPE], pending.sent_ms)
        tx.events.put_many([replace(base, key="1", values={"company": "B"}, request_key=pending.idempotency_key)])
        assert _is_own(tx, stored, "company", pending) is True
        away = replace(base, key="2", occurred_ms=pending.sent_ms + 5_000, values={"company": "X"}, source="user")
        tx.events.put_many([away])
        assert _is_own(tx, stored, "company", pending) is None


def test_of_stripes_events_of_one_second_that_one_tells_whose_value_stands_unreplaced() -> None:
    pending, there = own_write(STRIPE), stored(customer("1", city="B"))
    late, ours = (
        told(STRIPE, "B", 100, ours=True, before="D"),
        replace(told(STRIPE, "D", 100, before="A"), source="own"),
    )
    user = told(STRIPE, "B", 100, before="D")
    assert was_left_by(pending, there, "city", [ours, late]) is True
    assert was_left_by(pending, there, "city", [ours, user]) is False
    # It was set again, and its author is not known yet.
    again = told(STRIPE, "D", 100, before="B")
    assert was_left_by(pending, there, "city", [replace(late, previous={"city": "A"}), again]) is None
    assert was_left_by(pending, there, "city", [ours]) is None


@pytest.mark.parametrize("ours", [True, False])
def test_what_history_told_holds_for_every_lane_until_the_contact_changes(*, ours: bool) -> None:
    with answer_lost(HUBSPOT, "company") as (play, ids):
        play.play()
        runtime, key = play.world.processes[0].worker.runtime, f"contact:{ids[HUBSPOT]}"
        with play.world.store.transaction() as tx:
            (pending,) = tx.pending_writes.unanswered(HUBSPOT, ids[HUBSPOT])
            (stored,) = tx.records.get_many([(HUBSPOT, ids[HUBSPOT])]).values()
            tx.processes.beat(runtime.name, "hubspot,stripe", 0)
            tx.jobs.put(JobRequest(HUBSPOT, JobKind.WRITE, key))
            (job,) = tx.jobs.claim(HUBSPOT, [JobKind.WRITE], 1, runtime.name)
            asked = read_authors(
                runtime, job, frozenset({(HUBSPOT, ids[HUBSPOT], "company")}), PlanningRound({job.id: key})
            )
            asked.then(tx, Authors(stored.record.modified_ms, {"company": ours}))
            (told_of,) = tx.pending_writes.unanswered(HUBSPOT, ids[HUBSPOT])
            assert _is_own(tx, stored, "company", told_of) is ours
            later = replace(stored, record=replace(stored.record, modified_ms=stored.record.modified_ms + 1))
            assert told_of != pending
            assert _is_own(tx, later, "company", told_of) is None
            # History of another state than the stored one is not used: the contact is read first.
            asked.then(tx, Authors(stored.record.modified_ms + 1, {"company": not ours}))
            assert tx.pending_writes.unanswered(HUBSPOT, ids[HUBSPOT]) == [told_of]
            waiting = tx.jobs.get(job.id)
            assert waiting is not None
            assert waiting.reason == "the contact changed meanwhile"


@pytest.mark.parametrize(
    ("ours", "is_author"),
    [({"firstname": False, "lastname": True}, True), ({"firstname": True, "lastname": False}, False)],
)
def test_of_a_name_the_half_that_the_write_changed_tells_who_wrote_it(
    ours: dict[str, bool], *, is_author: bool
) -> None:
    change = Change(full_name("Ann", "Lee"), full_name("Ann", "Kim"), "Ann Kim")
    pending = replace(own_write(HUBSPOT), changes={"name": change})
    assert _is_author(pending, "name", ("firstname", "lastname"), Authors(1, ours)) is is_author
