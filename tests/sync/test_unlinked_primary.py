"""A contact whose primary customer is unlinked: another one takes its place (docs/correctness.md#primary-customer)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import contact, customer
from tests.support.core_builders import link as build_link
from tests.support.live_sync import LiveSync
from tests.support.reconcile_harness import InstantClock
from wanesync.core.model import LinkState, Record, Side
from wanesync.core.operating.operators import SYSTEM
from wanesync.ops.people.links import Linker

ANN = replace(contact("1", email="a@x.com", city="", phone="+4911"), modified_ms=5)
FIRST = customer("cus_1", email="a@x.com", city="", phone="+4911")
SECOND = customer("cus_2", email="a@x.com", city="Old Town", phone="")


@pytest.fixture(name="linker")
def link_both(live: LiveSync) -> Linker:
    """A contact whose city a user cleared, its primary customer, and a second one that still holds the city."""
    live.link(ANN, FIRST)
    live.know(SECOND)
    live.store.run(lambda tx: tx.links.put(replace(build_link("1", "cus_2", {}), primary=False)))
    return Linker(live.runtime, SYSTEM, InstantClock())


def planned(live: LiveSync) -> list[tuple[str, dict[str, str]]]:
    for _ in range(2):
        for lane in Side:
            live.prepare(live.claim(lane))
    return [(w.target_id, {name: c.after for name, c in w.changes.items()}) for w in live.open_writes("contact:1")]


def edit(live: LiveSync, record: Record, **values: str) -> None:
    live.know(replace(record, values={**record.values, **values}, modified_ms=9))


def test_the_second_customer_becomes_primary_and_nothing_is_written(live: LiveSync, linker: Linker) -> None:
    preview = linker.preview_unlink("1", "cus_1")
    assert (preview.new_primary, preview.written, set(preview.kept_apart)) == ("cus_2", [], {"city", "phone"})
    linker.unlink("1", "cus_1")
    links = {link.stripe_id: link for link in live.links("1")}
    assert (links["cus_1"].state, links["cus_2"].primary) == (LinkState.RELEASED, True)
    assert (links["cus_2"].base["city"], links["cus_2"].base["phone"]) == (("", "Old Town"), ("+4911", ""))
    assert planned(live) == []
    assert sorted(live.conflicts()) == [("differ", "city", "Old Town"), ("differ", "phone", "+4911")]


def test_an_edit_of_the_contact_that_had_not_reached_the_old_one_flows_to_the_new_one_and_is_shown(
    live: LiveSync, linker: Linker
) -> None:
    edit(live, ANN, phone="+4922")
    preview = linker.preview_unlink("1", "cus_1")
    assert list(preview.written) == [("phone", Side.STRIPE, "", "+4922")]
    linker.unlink("1", "cus_1")
    assert planned(live) == [("cus_2", {"phone": "+4922"})]


def test_with_no_other_customer_and_for_a_second_one_nothing_follows(live: LiveSync, linker: Linker) -> None:
    assert linker.preview_unlink("1", "cus_2").new_primary == ""
    linker.unlink("1", "cus_2")
    preview = linker.preview_unlink("1", "cus_1")
    assert (preview.new_primary, preview.written) == ("", [])
    linker.unlink("1", "cus_1")
    assert planned(live) == []
