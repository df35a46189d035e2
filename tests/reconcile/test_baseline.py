"""A baseline links all pairs and accepts both sides as they are; nothing is written on either side."""

from __future__ import annotations

import pytest

from tests.support.reconcile_harness import (
    InstantClock,
    Sides,
    compare,
    ignore,
    lock_by_another,
    make_reconcile,
    make_runtime,
)
from wanesync.core.model import Side
from wanesync.reconcile.baseline import LOCK_ATTEMPTS, Baseline, BaselineResult
from wanesync.store.database import Store
from wanesync.sync.loader import LISTED
from wanesync.sync.runtime import Runtime

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


@pytest.fixture
def sides(store: Store) -> Sides:
    """A pair that differs, a pair that is the same, and a contact that is alone."""
    made = Sides(store.now_ms())
    made.add_contact("1", email="ana@example.com", city="Lyon")
    made.add_customer("cus_1", email="ana@example.com", city="Leeds")
    made.add_contact("2", email="ben@example.com")
    made.add_customer("cus_2", email="ben@example.com")
    made.add_contact("3", email="alone@example.com")
    return made


@pytest.fixture
def runtime(store: Store, sides: Sides) -> Runtime:
    return make_runtime(store, sides)


def take(runtime: Runtime) -> tuple[BaselineResult, InstantClock]:
    clock = InstantClock()
    return Baseline(runtime, clock).run(compare(runtime), ignore), clock


def test_pairs_are_linked_and_their_base_is_what_both_hold(runtime: Runtime, store: Store) -> None:
    result, _ = take(runtime)
    assert result == BaselineResult(linked=2, based=2, kept=1)
    with store.reading() as tx:
        links = {link.hubspot_id: link for link in tx.links.of_ids(["1", "2"], [])}
        assert links["1"].base["city"] == ("Lyon", "Leeds")
        assert {(row.conflict.side, row.conflict.value) for row in tx.conflicts.list()} == {
            (HUBSPOT, "Lyon"),
            (STRIPE, "Leeds"),
        }
        assert tx.settings.get(LISTED)


def test_afterwards_only_changes_flow(runtime: Runtime, sides: Sides) -> None:
    take(runtime)
    counts = compare(runtime).counts
    assert {kind: number for kind, number in counts.items() if number} == {
        "in_sync": 1,
        "conflict": 1,
        "create_customer": 1,
    }
    sides.now_ms += 1
    sides.add_contact("1", email="ana@example.com", city="Paris")
    (difference,) = [d for d in compare(runtime).differences() if d.kind == "update_customer"]
    assert (difference.stripe_id, difference.fields["city"].after) == ("cus_1", "Paris")


def test_a_second_baseline_changes_nothing(runtime: Runtime) -> None:
    take(runtime)
    assert take(runtime)[0] == BaselineResult()


def test_a_locked_pair_is_left_after_some_attempts(runtime: Runtime, store: Store) -> None:
    lock_by_another(store, "contact:1")
    result, clock = take(runtime)
    assert (result.linked, result.left) == (1, ["contact:1"])
    assert clock.waits == LOCK_ATTEMPTS - 1
    store.run(lambda tx: tx.locks.drop("another"))
    assert take(runtime)[0].linked == 1


def test_nothing_is_queued_by_it(runtime: Runtime, store: Store) -> None:
    take(runtime)
    with store.reading() as tx:
        assert not [row for row in tx.jobs.depth() if row["kind"] == "write"]
    # What a later run queues is only the contact that is alone.
    _, jobs = make_reconcile(runtime).queue(compare(runtime))
    assert jobs == 1
