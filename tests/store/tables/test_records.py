from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.store_fixtures import Clock
from tests.support.store_reads import all_settings, count_events
from wanesync.core.errors import WanesyncError
from wanesync.core.model import (
    BY_DECISION,
    Conflict,
    Event,
    Link,
    LinkState,
    Note,
    NoteCode,
    Record,
    Side,
    StoredRecord,
)
from wanesync.store import ConstraintViolated, LinkMoved, Store

H, S = Side.HUBSPOT, Side.STRIPE


def a_seen(side: Side, record_id: str, *hmacs: str, moved: int = 1) -> StoredRecord:
    record = Record(
        side=side,
        id=record_id,
        values={"email": f"{record_id}@example.com", "name": "Zoë\x1fÖz"},
        emails=frozenset({f"{record_id}@example.com"}),
        created_ms=5,
        modified_ms=6,
        billed=True,
        merged_ids=("77", "78"),
        carry={"address": '{"city": "Ł"}'},
    )
    return StoredRecord(
        record=record, valid_from_ms=10, valid_to_ms=2_000_000_000_000, revision=moved, hmacs=frozenset(hmacs)
    )


def a_link(link_id: str, contact: str, customer: str, *, primary: bool = True, version: int = 1) -> Link:
    return Link(
        link_id, contact, customer, primary, {"email": ("a", "A")}, version, fields_version="f1", canon_version=1
    )


def test_a_record_comes_back_as_it_went_in(store: Store) -> None:
    stored = replace(
        a_seen(H, "1", "h1", "h2"),
        stale=True,
        note=Note(NoteCode.AMBIGUOUS, "ambiguous: 2 contacts"),
        survivor="9",
        deleted=True,
    )
    stored = replace(stored, record=replace(stored.record, other_id="cus_1", intent="i-1"))
    with store.transaction() as tx:
        tx.records.put_many([stored])
    with store.reading() as tx:
        assert tx.records.get(H, "1") == stored
        assert tx.records.get(S, "1") is None


def test_a_store_replaces_the_copy_and_its_addresses(store: Store) -> None:
    with store.transaction() as tx:
        tx.records.put_many([a_seen(H, "1", "h1", "h2")])
    newer = a_seen(H, "1", "h2", "h3", moved=2)
    with store.transaction() as tx:
        tx.records.put_many([a_seen(S, "1", "h3"), a_seen(H, "1", "h9", moved=9), newer])
    with store.reading() as tx:
        assert tx.records.get_many([(H, "1"), (S, "1"), (S, "2")]) == {(H, "1"): newer, (S, "1"): a_seen(S, "1", "h3")}
        assert tx.records.by_hmacs(["h1", "h2", "h3"]) == {"h2": {(H, "1")}, "h3": {(H, "1"), (S, "1")}}
        assert tx.records.get_many([]) == {}
        assert tx.records.by_hmacs([]) == {}


def test_only_the_living_are_found_counted_and_listed(store: Store) -> None:
    alive = replace(a_seen(S, "a", "h"), record=replace(a_seen(S, "a").record, other_id="7"))
    deleted = replace(a_seen(S, "b", "h"), record=replace(a_seen(S, "b").record, other_id="7"), deleted=True)
    merged = replace(a_seen(S, "c", "h"), survivor="a")
    with store.transaction() as tx:
        tx.records.put_many([alive, deleted, merged, a_seen(H, "7", "x")])
    with store.reading() as tx:
        assert tx.records.by_hmacs(["h"]) == {"h": {(S, "a")}}
        assert tx.records.by_other_ids(S, ["7", "8"]) == {(S, "a")}
        assert tx.records.by_other_ids(H, ["7"]) == set()
        assert (tx.records.count(S), tx.records.count(H)) == (1, 1)
        assert tx.records.ids(S, "", 10) == ["a"]


def test_ids_are_paged_in_the_order_of_their_bytes(store: Store) -> None:
    ids = ["10", "9", "Z", "a", "é", "B", "_"]
    with store.transaction() as tx:
        tx.records.put_many([a_seen(H, record_id) for record_id in ids])
    with store.reading() as tx:
        first = tx.records.ids(H, "", 4)
        assert first + tx.records.ids(H, first[-1], 10) == sorted(ids, key=str.encode)


def test_merges_lead_to_the_last_survivor(store: Store) -> None:
    chain = {"1": "2", "2": "3", "4": "3", "5": "6", "6": "5"}
    with store.transaction() as tx:
        tx.records.put_many([replace(a_seen(H, merged), survivor=into) for merged, into in chain.items()])
        tx.records.put_many([a_seen(H, "3")])
    with store.reading() as tx:
        assert tx.records.merged_into(["1", "2", "3", "4", "99"]) == {"1": "3", "2": "3", "4": "3"}
        assert tx.records.merged_into(["5"])["5"] in {"5", "6"}, "a circle ends"


def test_noted_records_are_found_by_the_code_of_their_note(store: Store) -> None:
    with store.transaction() as tx:
        tx.records.put_many([a_seen(H, "1"), a_seen(S, "2"), a_seen(S, "3")])
        tx.records.set_note(H, "1", Note(NoteCode.AMBIGUOUS, "two contacts"))
        tx.records.set_note(S, "2", Note(NoteCode.AMBIGUOUS, "three contacts"))
        tx.records.set_note(S, "3", BY_DECISION)
        tx.records.set_note(S, "2", None)
    with store.reading() as tx:
        assert tx.records.noted_ids(NoteCode.AMBIGUOUS) == {H: ["1"], S: []}
        assert tx.records.noted_ids(NoteCode.BY_DECISION) == {H: [], S: ["3"]}
        notes = {stored.id: stored.note for stored in tx.records.get_many([(H, "1"), (S, "2"), (S, "3")]).values()}
        assert notes == {"1": Note(NoteCode.AMBIGUOUS, "two contacts"), "2": None, "3": BY_DECISION}


def test_a_link_comes_back_as_it_went_in(store: Store) -> None:
    link = replace(a_link("l1", "1", "cus_1"), parked={"email": (H, "x@example.com")}, state=LinkState.RELEASED)
    with store.transaction() as tx:
        tx.links.put(link)
    with store.reading() as tx:
        assert tx.links.get("l1") == link
        assert tx.links.get("l2") is None


def test_links_are_found_by_either_end_in_any_state(store: Store) -> None:
    one, two = a_link("l1", "1", "a"), replace(a_link("l2", "1", "b", primary=False), state=LinkState.ORPHANED)
    three = a_link("l3", "3", "c")
    with store.transaction() as tx:
        for link in (one, two, three):
            tx.links.put(link)
    with store.reading() as tx:
        assert tx.links.of_records([(H, "1"), (S, "a"), (S, "zz")]) == [one, two]
        assert tx.links.of_ids([], ["b", "c"]) == [two, three]
        assert tx.links.of_ids([], []) == []
        assert tx.links.count_active() == 2
        assert [link.id for link in tx.links.outlines("l1", 5)] == ["l2", "l3"]


def test_a_link_changes_only_from_its_newest_version(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        tx.links.put(a_link("l1", "1", "a"))
    with other_store.transaction() as tx:
        tx.links.put(replace(a_link("l1", "1", "a", version=2), base={}))
    for version in (1, 2, 4):
        with pytest.raises(LinkMoved), store.transaction() as tx:
            tx.links.put(a_link("l1", "1", "a", version=version))
    with store.reading() as tx:
        link = tx.links.get("l1")
    assert link
    assert (link.version, link.base) == (2, {})


@pytest.mark.parametrize(
    "second",
    [
        a_link("l2", "1", "a", primary=False),  # the pair again
        a_link("l2", "2", "a", primary=False),  # a second active link of the customer
        a_link("l2", "1", "b"),  # a second primary of the contact
    ],
)
def test_the_database_itself_holds_one_link_per_customer_and_one_primary(store: Store, second: Link) -> None:
    with store.transaction() as tx:
        tx.links.put(a_link("l1", "1", "a"))
    with pytest.raises(ConstraintViolated, match="links"), store.transaction() as tx:
        tx.links.put(second)


def test_links_that_are_not_active_free_their_places(store: Store) -> None:
    with store.transaction() as tx:
        tx.links.put(replace(a_link("l1", "1", "a"), state=LinkState.ORPHANED))
        tx.links.put(a_link("l2", "2", "a"))
        tx.links.put(a_link("l3", "1", "b"))
        tx.links.put(a_link("l4", "1", "c", primary=False))
        tx.links.put(replace(a_link("l3", "1", "b", version=2), primary=False))
        tx.links.put(a_link("l4", "1", "c", version=2))
    with store.reading() as tx:
        assert [link.id for link in tx.links.of_ids(["1"], []) if link.primary and link.state == "active"] == ["l4"]


def an_event(key: str, record_id: str = "1", occurred_ms: int = 100, side: Side = H) -> Event:
    return Event(
        key=key,
        side=side,
        kind="updated",
        record_id=record_id,
        occurred_ms=occurred_ms,
        values={"email": "a@example.com"},
        previous={"email": "b@example.com"},
        request_key="k",
        source="CRM_UI",
        record=a_seen(side, record_id).record,
        merged_ids=("5",),
        received_ms=200,
    )


def test_an_event_is_stored_once_whoever_brings_it(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        assert tx.events.put_many([an_event("k1"), an_event("k2"), an_event("k1")]) == {"k1", "k2"}
    with other_store.transaction() as tx:
        assert tx.events.put_many([an_event("k2", "9"), an_event("k3")]) == {"k3"}
        assert tx.events.put_many([]) == set()
    with store.reading() as tx:
        assert tx.events.get("k2") == an_event("k2")
        assert tx.events.get("k9") is None


def test_events_are_read_and_judged_apart(store: Store) -> None:
    events = [an_event("a", occurred_ms=3), an_event("b", occurred_ms=1), an_event("c", "2"), an_event("d", side=S)]
    with store.transaction() as tx:
        tx.events.put_many(events)
        tx.events.mark_read(["a"])
        tx.events.mark_judged(["b", "c"])
        tx.events.mark_read([])
    with store.reading() as tx:
        unread = tx.events.unread(H, ["1", "2", "3"])
        assert {record: [event.key for event in found] for record, found in unread.items()} == {"1": ["b"], "2": ["c"]}
        unjudged = tx.events.unjudged(H, ["1", "2"])
        assert {record: [event.key for event in found] for record, found in unjudged.items()} == {"1": ["a"]}
        assert [(event.key, event.judged, event.read) for event in tx.events.window(H, "1", 1)] == [
            ("b", True, False),
            ("a", False, True),
        ]
        assert [event.key for event in tx.events.window(H, "1", 2)] == ["a"]
        assert count_events(tx) == {"total": 4, "unread": 3, "unjudged": 2, "open": 4}
        assert tx.events.unread(H, []) == {}


def test_an_event_without_a_time_of_arrival_arrives_now(store: Store) -> None:
    with store.transaction() as tx:
        tx.events.put_many([replace(an_event("k"), received_ms=0, record=None)])
        event = tx.events.get("k")
        assert event
        assert (event.received_ms, event.record) == (tx.now_ms, None)


def test_what_is_set_aside_keeps_its_bytes(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        tx.rejected.put(H, "no objectId", b'{"\xff"')
    clock.advance(1)
    with store.transaction() as tx:
        tx.rejected.put(S, "no id", b"{}")
    with store.reading() as tx:
        assert [(row.side, row.reason, row.body) for row in tx.rejected.list(5)] == [
            (S, "no id", b"{}"),
            (H, "no objectId", b'{"\xff"'),
        ]
        assert (tx.rejected.count(), len(tx.rejected.list(1))) == (2, 1)


def test_the_same_lost_value_is_kept_once_until_it_is_settled(store: Store) -> None:
    lost = Conflict(S, "cus_1", "name", "Ann", "policy")
    with store.transaction() as tx:
        assert tx.conflicts.put(lost, "l1")
        assert not tx.conflicts.put(lost, "l1")
        assert tx.conflicts.put(replace(lost, value="Bea"), "l1")
        assert tx.conflicts.put(replace(lost, side=H, kind="differ"), "")
    with store.transaction() as tx:
        rows = tx.conflicts.of_record(S, "cus_1")
        assert {row.conflict.value for row in rows} == {"Ann", "Bea"}
        assert {row.conflict for row in tx.conflicts.list(side=H)} == {replace(lost, side=H, kind="differ")}
        assert len(tx.conflicts.list(kind="policy")) == 2
        assert tx.conflicts.list(field="phone") == []
        assert tx.conflicts.close([rows[0].id]) == 1
        assert tx.conflicts.close([rows[0].id]) == 0
        assert tx.conflicts.count_open() == 2
        assert tx.conflicts.put(rows[0].conflict, "l1"), "settled, so it counts anew"


def test_tombstones_answer_by_address(store: Store) -> None:
    with store.transaction() as tx:
        tx.tombstones.put(H, "1", ["h1", "h2"])
        tx.tombstones.put(H, "1", ["h1"])
        tx.tombstones.put(S, "cus_1", [])
    with store.reading() as tx:
        assert tx.tombstones.match(["h1", "h3", ""]) == {"h1"}
        assert tx.tombstones.match([]) == set()


def test_the_journal_tells_the_newest_first(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        for number in range(12):
            tx.journal.add("seen", H, "1", "l1", {"number": number})
        tx.journal.add("started", None, "", "", {})
    clock.advance(5)
    with store.transaction() as tx:
        tx.journal.add("written", S, "cus_1", "l1", {"fields": ["name"]})
    with store.reading() as tx:
        assert [row.kind for row in tx.journal.latest(2)] == ["written", "started"]
        assert [row.data["number"] for row in tx.journal.of(["1"], 3)] == [11, 10, 9]
        both = tx.journal.of(["1", "l1", "cus_1"], 50)
        assert len(both) == 13, "an entry found twice is told once"
        assert (both[0].side, both[0].record_id) == (S, "cus_1")
        assert tx.journal.of([""], 5) == []


def test_settings_and_pauses_are_kept(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        assert tx.settings.get("writes") is None
        tx.settings.put("writes", "off")
        tx.settings.put("writes", "on")
        assert all_settings(tx) == {"writes": "on"}
        tx.pauses.set("stripe", "401", False, tx.now_ms + 60_000)
        began_ms = tx.now_ms
    clock.advance(1_000)
    with store.transaction() as tx:
        tx.pauses.set("stripe", "refused", True, 7)
        tx.pauses.set("hubspot:events", "403", False, 8)
    with store.transaction() as tx:
        pause = tx.pauses.get_all()["stripe"]
        assert (pause.reason, pause.away, pause.since_ms, pause.probe_ms) == ("refused", True, began_ms, 7)
        tx.pauses.clear("stripe")
        assert set(tx.pauses.get_all()) == {"hubspot:events"}


def test_reading_cannot_write(store: Store) -> None:
    with pytest.raises(WanesyncError, match="only reads"), store.reading() as tx:
        tx.settings.put("writes", "on")


def test_payloads_are_not_readable_in_the_database(store: Store) -> None:
    with store.transaction() as tx:
        tx.records.put_many([a_seen(H, "secret-person", "h")])
        tx.links.put(a_link("l", "1", "a"))
        tx.events.put_many([an_event("k")])
        for row in tx._session.rows("records_of_side", side=H, ids=["secret-person"]):
            assert b"example.com" not in row[1]
        event = tx._session.row("get_event", key="k")
        assert event
        assert b"example.com" not in event[8]
