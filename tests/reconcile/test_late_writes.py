"""A comparison judges a value that a write of ours left as live sync does: what no job writes is no difference."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import link
from tests.support.reconcile_harness import Sides, compare, make_runtime
from wanesync.core.diff.difference import ACTIONABLE
from wanesync.core.model import Change, Parked, ParkReason, PendingWrite, Side, WriteKind, WriteResult
from wanesync.store.database import Store, Tx

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
ANA, BEN = "ana@example.com", "ben@example.com"


@pytest.fixture
def sides(store: Store) -> Sides:
    """Our write of Ben's address to Ana's contact took effect late; by then Ana's stood on Ben's contact."""
    made = Sides(store.now_ms())
    made.add_contact("1", email=BEN)
    made.add_customer("cus_1", email=ANA)
    made.add_contact("2", email=ANA)
    made.add_customer("cus_2", email=BEN)
    store.run(lambda tx: tx.links.put(link("2", "cus_2", {"email": (ANA, BEN)})))
    return made


def swap(store: Store, sides: Sides, result: WriteResult | None, *, ours: bool) -> None:
    """The link of the two, and the write, whose author HubSpot's history has shown."""
    linked = replace(
        link("1", "cus_1", {"email": (ANA, ANA)}), parked={"email": Parked(HUBSPOT, ANA, ParkReason.TAKEN)}
    )
    pending = PendingWrite(
        "w1", HUBSPOT, WriteKind.UPDATE, "contact:1", "cus_1", "1", "k1", "{}", {"email": Change(ANA, BEN, BEN)}
    )
    pending = replace(pending, link_id=linked.id, authorship={"email": (sides.now_ms, ours)})

    def put(tx: Tx) -> None:
        tx.links.put(linked)
        tx.pending_writes.put(pending)
        tx.pending_writes.mark_sent(pending.id)
        if result is not None:
            tx.pending_writes.record_result(pending.id, result)

    store.run(put)


def named(store: Store, sides: Sides) -> set[str]:
    report = compare(make_runtime(store, sides))
    try:
        return {str(kind) for kind, count in report.counts.items() if count and kind in ACTIONABLE}
    finally:
        report.close()


def test_a_late_write_of_an_address_is_no_difference_that_no_job_writes(store: Store, sides: Sides) -> None:
    """Two people's addresses were swapped: ``diff`` named an update of the customer for ever."""
    swap(store, sides, WriteResult.LOST, ours=True)
    assert named(store, sides) == set()


def test_a_users_value_is_still_a_difference(store: Store, sides: Sides) -> None:
    swap(store, sides, WriteResult.LOST, ours=False)
    assert named(store, sides) == {"update_customer"}
