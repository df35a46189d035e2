"""The loader: what a plan context holds, and what is left out because nothing connects it with the key."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import pytest

from tests.support.core_builders import contact, customer, stored
from tests.support.core_builders import link as build_link
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync
from wanesync.core.change_guard import HeldValue, HoldKind
from wanesync.core.jobs import JobKind, JobRequest, WaitCode
from wanesync.core.model import Event, LinkState, PendingWrite, RecordRef, Side, StoredRecord, WriteKind, WriteResult
from wanesync.core.plan import PlanContext
from wanesync.sync.intake import store_events
from wanesync.sync.job_results import reschedule
from wanesync.sync.loader import key_of, load_contexts
from wanesync.sync.record_versions import RecordWriter

KEY = "contact:1"
ANN = contact("1", email="ann@example.com")
CUS = customer("cus_1", email="ann@example.com")


def load(live: LiveSync, *keys: str) -> dict[str, PlanContext]:
    with live.store.reading() as tx:
        return load_contexts(tx, keys or (KEY,))


def refs(live: LiveSync, key: str = KEY) -> set[RecordRef]:
    """The records of one key's context."""
    return set(load(live, key)[key].records)


def put_inactive_link(live: LiveSync, contact_id: str, customer_id: str, state: LinkState) -> None:
    live.store.run(lambda tx: tx.links.put(build_link(contact_id, customer_id, primary=False, state=state)))


# -- records


def test_a_key_without_a_record_has_an_empty_context(live: LiveSync) -> None:
    assert (refs(live), load(live)[KEY].links) == (set(), [])


def test_a_linked_pair_is_loaded_from_either_end(live: LiveSync) -> None:
    link = live.link(contact("1"), customer("cus_1"))
    for key in (KEY, "customer:cus_1"):
        assert refs(live, key) == {(HUBSPOT, "1"), (STRIPE, "cus_1")}
        assert load(live, key)[key].links == [link]


def test_a_link_is_loaded_whatever_its_state(live: LiveSync) -> None:
    live.know(contact("1"), customer("cus_1"))
    put_inactive_link(live, "1", "cus_1", LinkState.RELEASED)
    assert [link.state for link in load(live)[KEY].links] == [LinkState.RELEASED]


def test_records_that_share_an_address_are_loaded(live: LiveSync) -> None:
    live.know(ANN, CUS, contact("2", email="ann@example.com"), contact("3", email="bob@example.com"))
    assert refs(live) == {(HUBSPOT, "1"), (HUBSPOT, "2"), (STRIPE, "cus_1")}


def test_an_id_of_ours_connects_two_records_whichever_carries_it(live: LiveSync) -> None:
    live.know(contact("1", "cus_1"), customer("cus_1"), contact("2"), customer("cus_2", "2"))
    assert refs(live) == {(HUBSPOT, "1"), (STRIPE, "cus_1")}
    assert refs(live, "contact:2") == {(HUBSPOT, "2"), (STRIPE, "cus_2")}


def test_a_merged_contact_comes_with_its_survivor(live: LiveSync) -> None:
    live.know(contact("1"), contact("2"), contact("3"))
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.merge_away("1", "2")
        records.merge_away("2", "3")
    assert refs(live) == {(HUBSPOT, "1"), (HUBSPOT, "2"), (HUBSPOT, "3")}
    assert load(live)[KEY].survivor("1") == "3"


def test_the_events_of_several_merges_name_the_contacts_that_were_kept(live: LiveSync) -> None:
    live.know(contact("1"), contact("2"), contact("5"))
    events = [
        Event("m1", HUBSPOT, "merged", "3", 8, merged_ids=("2", "1"), kept_id="1"),
        Event("m2", HUBSPOT, "merged", "5", 9, merged_ids=("4", "3"), kept_id="3"),
    ]
    live.store.run(lambda tx: store_events(tx, events))
    # No record shows that the first two went by way of contact 3.
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.merge_away("1", "5")
        records.merge_away("2", "5")
    context = load(live)[KEY]
    assert context.find_kept("5") == ["3", "1"]


def test_a_survivor_comes_with_the_contacts_merged_into_it(live: LiveSync) -> None:
    live.know(contact("2", email="old@example.com"), replace(ANN, merged_ids=("2",)))
    assert refs(live) == {(HUBSPOT, "1"), (HUBSPOT, "2")}


def test_the_link_of_a_record_with_the_same_address_is_loaded_with_its_other_end(live: LiveSync) -> None:
    live.know(ANN)
    link = live.link(contact("2", email="bob@example.com"), CUS)
    assert refs(live) == {(HUBSPOT, "1"), (HUBSPOT, "2"), (STRIPE, "cus_1")}
    assert load(live)[KEY].links == [link]


def test_keys_loaded_together_get_only_what_is_connected_with_each(live: LiveSync) -> None:
    first = live.link(ANN, CUS)
    second = live.link(contact("2", email="bob@example.com"), customer("cus_2", email="bob@example.com"))
    contexts = load(live, KEY, "contact:2")
    assert [set(contexts[key].records) for key in (KEY, "contact:2")] == [
        {(HUBSPOT, "1"), (STRIPE, "cus_1")},
        {(HUBSPOT, "2"), (STRIPE, "cus_2")},
    ]
    assert [contexts[key].links for key in (KEY, "contact:2")] == [[first], [second]]


@dataclass(frozen=True)
class OtherCopies:
    """The copies of a comparison, which are not those of the database."""

    records: dict[RecordRef, StoredRecord]

    def get_many(self, keys: Iterable[RecordRef]) -> dict[RecordRef, StoredRecord]:
        return {key: self.records[key] for key in keys if key in self.records}

    def by_hmacs(self, hmacs: Collection[str]) -> dict[str, set[RecordRef]]:
        return {h: {ref for ref, found in self.records.items() if h in found.hmacs} for h in hmacs}

    def by_other_ids(self, side: Side, ids: Collection[str]) -> set[RecordRef]:
        return {ref for ref, found in self.records.items() if ref[0] is side and found.record.other_id in ids}


def test_the_copies_of_a_comparison_replace_those_of_the_database(live: LiveSync) -> None:
    live.know(contact("1", city="Lyon"))
    copies = [
        stored(contact("1", city="Paris", email="a@b")),
        stored(customer("cus_1", email="a@b")),
        stored(contact("2")),
    ]
    given = OtherCopies({(copy.side, copy.id): copy for copy in copies})
    with live.store.reading() as tx:
        context = load_contexts(tx, [KEY], given)[KEY]
    assert set(context.records) == {(HUBSPOT, "1"), (STRIPE, "cus_1")}
    assert context.records[HUBSPOT, "1"].record.values["city"] == "Paris"


# -- what else a plan is made from


def create(live: LiveSync, result: WriteResult | None) -> PendingWrite:
    """A create of Ann's customer."""
    hmacs = frozenset({live.store.hmac("ann@example.com")})
    pending = PendingWrite(
        "w1",
        STRIPE,
        WriteKind.CREATE,
        KEY,
        source_id="1",
        target_id="",
        idempotency_key="k",
        body="{}",
        changes={},
        hmacs=hmacs,
    )
    with live.store.transaction() as tx:
        tx.pending_writes.put(pending)
        if result is not None:
            tx.pending_writes.record_result(pending.id, result)
    return pending


def test_the_open_create_that_holds_an_address_is_named_by_its_key(live: LiveSync) -> None:
    live.know(ANN, contact("2", email="ann@example.com"))
    create(live, None)
    context = load(live, "contact:2")["contact:2"]
    assert list(context.email_holders.values()) == [KEY]
    assert [made.id for made in context.creates] == ["w1"]


def test_a_create_that_was_given_up_may_still_have_made_its_record(live: LiveSync) -> None:
    live.know(ANN)
    create(live, WriteResult.LOST)
    context = load(live)[KEY]
    assert (dict(context.email_holders), [made.id for made in context.creates]) == ({}, ["w1"])


def test_creates_of_records_that_are_not_connected_are_left_out(live: LiveSync) -> None:
    live.know(ANN, contact("2", email="bob@example.com"))
    create(live, None)
    assert load(live, KEY, "contact:2")["contact:2"].creates == []


def test_the_address_of_a_deleted_record_is_a_tombstone(live: LiveSync) -> None:
    live.know(ANN)
    hmac = live.store.hmac("ann@example.com")
    live.store.run(lambda tx: tx.tombstones.put(STRIPE, "cus_9", [hmac]))
    assert load(live)[KEY].tombstones.keys() == {hmac}


def test_records_with_a_read_that_is_queued_are_named(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.queue(STRIPE, "cus_1", JobKind.READ)
    live.queue(HUBSPOT, "9", JobKind.READ)
    assert load(live)[KEY].reading == {(STRIPE, "cus_1")}


@pytest.mark.parametrize(
    ("facts", "waited_for"),
    [("later", False), ("due", True), ("running", True), ("failed", True), ("event", True), ("complete", True)],
)
def test_a_later_read_for_a_missing_field_is_not_waited_for(live: LiveSync, facts: str, *, waited_for: bool) -> None:
    live.know(ANN if facts == "complete" else replace(ANN, unknown=frozenset({"city"})))
    request = JobRequest(HUBSPOT, JobKind.READ, "1", due_ms=live.clock.ms + 10_000)
    live.store.run(lambda tx: tx.jobs.put(request))
    if facts == "event":
        event = Event("e1", HUBSPOT, "updated", "1", live.clock.ms, {"city": "Paris"}, source="user:CRM_UI/7")
        live.store.run(lambda tx: tx.events.put_many([event]))
    if facts in ("due", "running", "failed"):
        live.advance(10_000)
    if facts in ("running", "failed"):
        (job,) = live.claim(HUBSPOT, JobKind.READ)
    if facts == "running":
        live.store.run(lambda tx: tx.jobs.put(replace(request, due_ms=live.clock.ms + 60_000)))
    if facts == "failed":
        live.store.run(lambda tx: reschedule(tx, job, 60_000, WaitCode.BACKOFF, "HTTP 500"))
    assert load(live)[KEY].reading == ({(HUBSPOT, "1")} if waited_for else set())


def test_it_says_whether_both_sides_were_listed() -> None:
    for is_listed in (True, False):
        live = LiveSync(is_listed=is_listed)
        assert load(live)[KEY].listed is is_listed
        live.close()


def test_what_holds_keep_back_is_given_for_the_links_of_the_key(live: LiveSync) -> None:
    mine = live.link(ANN, CUS)
    other = live.link(contact("2", email="bob@example.com"), customer("cus_2", email="bob@example.com"))
    hold_id = live.store.run(lambda tx: tx.holds.open("hubspot:city", HoldKind.BRAKE)[0])
    held = HeldValue(HUBSPOT, "Paris", "Lyon", hold_id)
    with live.store.transaction() as tx:
        for link in (mine, other):
            tx.holds.put(link.id, "city", held)
    assert load(live)[KEY].held == {mine.id: {"city": held}}
    assert load(live)[KEY].paused == {}


def test_a_link_of_which_nothing_is_held_gives_nothing(live: LiveSync) -> None:
    live.link(ANN, CUS)
    other = live.link(contact("2", email="bob@example.com"), customer("cus_2", email="bob@example.com"))
    hold_id = live.store.run(lambda tx: tx.holds.open("hubspot:city", HoldKind.BRAKE)[0])
    live.store.run(lambda tx: tx.holds.put(other.id, "city", HeldValue(HUBSPOT, "Paris", "Lyon", hold_id)))
    assert load(live)[KEY].held == {}


def test_a_field_that_an_operator_stopped_is_paused_everywhere(live: LiveSync) -> None:
    live.link(ANN, CUS)
    hold_id = live.store.run(lambda tx: tx.holds.open("field:city", HoldKind.FIELD)[0])
    assert load(live)[KEY].paused == {"city": hold_id}


# -- keys


def test_a_linked_customer_is_planned_under_the_key_of_its_contact(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(customer("cus_2"), customer("cus_3"), contact("3"))
    put_inactive_link(live, "3", "cus_3", LinkState.ORPHANED)
    with live.store.reading() as tx:
        found = key_of(tx, [(HUBSPOT, "1"), (STRIPE, "cus_1"), (STRIPE, "cus_2"), (STRIPE, "cus_3")])
    assert found == {
        (HUBSPOT, "1"): KEY,
        (STRIPE, "cus_1"): KEY,
        (STRIPE, "cus_2"): "customer:cus_2",
        (STRIPE, "cus_3"): "customer:cus_3",
    }
