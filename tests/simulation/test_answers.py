"""Answers that hold something else than was sent: the base keeps what stands, and nothing is sent again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.simulation.hazards import SCORE, SCORES, TYPED
from tests.simulation.play import Play, play_seed
from tests.simulation.test_regressions import pair_of, stage, updates_sent
from tests.simulation.world import World
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec
from wanesync.core.model import Side
from wanesync.core.values.typed import TYPE_READERS
from wanesync.store.tables.conflicts import ConflictRow

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
STAGE = FieldSpec("stage", ("lifecyclestage",), ("metadata.stage",))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    """An installation that maps the lifecycle stage, too, and whose Stripe fills names in."""
    monkeypatch.setattr(World, "_draw_fields", lambda _world: FieldMap((*DEFAULT_FIELDS, STAGE)))
    with stage() as playing:
        yield playing


def conflicts(play: Play) -> list[ConflictRow]:
    with play.world.store.reading() as tx:
        return tx.conflicts.list()


@pytest.mark.case(14)
def test_a_stage_that_hubspot_does_not_move_back_is_a_conflict_and_is_not_sent_again(play: Play) -> None:
    world = play.world
    contact_id, customer_id = pair_of(play)
    world.hubspot.edit("update", contact_id, {"lifecyclestage": "customer"}, world.now)
    play.play()
    world.stripe.edit("update", customer_id, {"metadata.stage": "lead"}, world.now)
    play.play()
    assert {(c.conflict.side, c.conflict.kind, c.conflict.value) for c in conflicts(play)} == {
        (HUBSPOT, "not_taken", "customer"),
        (STRIPE, "not_taken", "lead"),
    }
    with world.store.reading() as tx:
        (link,) = tx.links.of_records([(HUBSPOT, contact_id)])
        lines = [row.data for row in tx.journal.of([contact_id, customer_id], 100) if row.kind == "conflict"]
    assert link.base["stage"] == ("customer", "lead")
    assert {"stage": "lead"} in [line["fields"] for line in lines]
    sent = updates_sent(play)
    world.stripe.edit("update", customer_id, {"address.city": "Bonn"}, world.now)
    play.play()
    assert (updates_sent(play), len(conflicts(play))) == (sent, 2)
    world.stripe.edit("update", customer_id, {"metadata.stage": "evangelist"}, world.now)
    play.play()
    assert world.facts.value((HUBSPOT, contact_id), "stage") == "evangelist"


@pytest.mark.case(16)
def test_a_contact_does_not_get_the_name_that_stripe_took_from_its_company(play: Play) -> None:
    world = play.world
    world.stripe.account.settings = type(world.stripe.account.settings)(
        rate_per_s=10_000, operation_rate_per_s=None, fills_name=True
    )
    contact_id, customer_id = pair_of(play)
    assert world.facts.value((STRIPE, customer_id), "name") == "Co"
    assert world.facts.value((HUBSPOT, contact_id), "name") == ""
    assert conflicts(play) == []
    world.hubspot.edit("update", contact_id, {"firstname": "Ada", "lastname": "Byron"}, world.now)
    play.play()
    assert world.facts.value((STRIPE, customer_id), "name") == "Ada Byron"
    assert conflicts(play) == []


def typed_world(monkeypatch: pytest.MonkeyPatch, spec: FieldSpec) -> None:
    """An installation that maps a property that is no text."""
    monkeypatch.setattr(World, "_draw_fields", lambda _world: FieldMap((*DEFAULT_FIELDS, spec)))


@pytest.mark.case(13)
@pytest.mark.parametrize("mapped", ["typed", "text"])
@pytest.mark.parametrize("transform", list(SCORES))
def test_the_form_of_a_typed_value_is_no_difference_and_is_not_written_back(
    monkeypatch: pytest.MonkeyPatch, transform: str, mapped: str
) -> None:
    """The sandbox answers in HubSpot's form, as HubSpot does, and its webhooks hold times in milliseconds."""
    spec = replace(SCORE, transform=transform if mapped == "typed" else "text")
    typed_world(monkeypatch, spec)
    (settings, values), read = SCORES[transform], TYPE_READERS[transform]
    with stage() as play:
        world = play.world
        world.hubspot.edit("property", SCORE.name, settings, world.now)
        contact_id, customer_id = pair_of(play)
        for forms in values:
            for form in forms:
                world.stripe.edit("update", customer_id, {"metadata.score": form}, world.now)
                play.play()
                world.facts.drain()
                held = world.facts.raw[HUBSPOT, contact_id]["score"]
                assert world.facts.raw[STRIPE, customer_id]["metadata.score"] == form
                assert read(held) == read(form)
        assert (updates_sent(play), conflicts(play)) == (0, [])
        with world.store.reading() as tx:
            (link,) = tx.links.of_records([(HUBSPOT, contact_id)])
        last = values[-1][-1]
        stands = world.facts.raw[HUBSPOT, contact_id]["score"]
        assert link.base["score"] == ((read(last), read(last)) if mapped == "typed" else (stands, last))
        world.hubspot.edit("update", contact_id, {"score": values[0][-1]}, world.now)
        play.play()
        world.facts.drain()
        assert read(world.facts.raw[STRIPE, customer_id]["metadata.score"]) == read(values[0][-1])
        assert (updates_sent(play), conflicts(play)) == (1, [])


@pytest.mark.case(13)
def test_typed_values_in_all_forms_keep_every_rule() -> None:
    for seed in range(291_000_000, 291_000_006):
        assert play_seed(seed, also=frozenset({TYPED})).violations == []
