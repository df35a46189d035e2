"""What one person costs: no job and no call that changes nothing."""

from __future__ import annotations

from tests.simulation.test_regressions import pair_of, stage
from tests.support.core_builders import HUBSPOT, STRIPE
from tests.support.store_reads import count_done, count_events
from wanesync.core.plan import COUNTERPART_DELETED
from wanesync.sandbox.faults import Faults


def test_a_new_contact_costs_one_read_one_write_and_one_echo() -> None:
    with stage() as play:
        with play.world.store.reading() as tx:
            before = {side: count_done(tx, side, 0) for side in (HUBSPOT, STRIPE)}
        pair_of(play)
        with play.world.store.reading() as tx:
            done = {side: count_done(tx, side, 0) - before[side] for side in (HUBSPOT, STRIPE)}
            assert count_events(tx)["open"] == 0
    # The contact is read, the customer written; its event is judged, and queues nothing.
    assert done == {HUBSPOT: 1, STRIPE: 2}


def test_a_new_customer_causes_no_further_jobs_either() -> None:
    with stage() as play:
        with play.world.store.reading() as tx:
            before = {side: count_done(tx, side, 0) for side in (HUBSPOT, STRIPE)}
        play.world.stripe.edit("create", None, {"email": "p1@example.com", "name": "Ann Bo"}, play.world.now)
        play.play()
        with play.world.store.reading() as tx:
            done = {side: count_done(tx, side, 0) - before[side] for side in (HUBSPOT, STRIPE)}
            assert count_events(tx)["open"] == 0
    # The customer's event is taken, its contact written; that one's events are read and judged.
    assert done == {HUBSPOT: 2, STRIPE: 1}


def test_a_customer_deleted_before_its_answer_came_is_not_asked_for_without_end() -> None:
    with stage() as play:
        world = play.world
        contact_id = world.hubspot.edit("create", None, {"email": "p0@example.com"}, world.now)
        world.stripe.set_faults(Faults(lost_answer=1.0))
        world.stripe.set_target(None)
        while not world.stripe.records() and play.step():
            pass
        (row,) = world.stripe.records()
        world.open_doors()
        world.stripe.edit("delete", row["id"], {}, world.now)
        world.facts.drain()
        # Only its deletion is told, while no answer comes; then the create is sent again, and its old answer replayed.
        for _ in range(40):
            play.step()
        world.stripe.set_faults(Faults())
        play.play()
        with world.store.reading() as tx:
            assert tx.pending_writes.count_open() == 0
            (contact,) = tx.records.get_many([(HUBSPOT, contact_id)]).values()
        assert contact.note == COUNTERPART_DELETED
        assert world.stripe.records() == []
