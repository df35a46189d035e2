"""Events and webhooks set aside, in the store."""

from __future__ import annotations

from dataclasses import replace

from tests.support.store_fixtures import Clock
from tests.support.store_reads import count_events
from tests.support.store_rows import a_stored, an_event
from wanesync.core.model import (
    Event,
    Side,
)
from wanesync.store import Store

H, S = Side.HUBSPOT, Side.STRIPE


def test_an_event_is_stored_once_by_whichever_process(store: Store, other_store: Store) -> None:
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
        assert [(event.key, event.judged, event.read) for event in tx.events.windows(H, ["1"], 1)["1"]] == [
            ("b", True, False),
            ("a", False, True),
        ]
        assert [event.key for event in tx.events.windows(H, ["1"], 2)["1"]] == ["a"]
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


def an_event_at(key: str, record_id: str, at_ms: int, side: Side = H, *, read: bool = False) -> Event:
    return Event(key, side, "updated", record_id, at_ms, {"city": "Lyon"}, read=read)


def test_marks_tell_which_events_are_stored_and_which_of_them_a_read_covers(store: Store) -> None:
    with store.transaction() as tx:
        tx.events.put_many([an_event_at("a", "1", 5), an_event_at("b", "1", 6, read=True)])
    with store.reading() as tx:
        assert tx.events.marks(["a", "b", "c"]) == {"a": False, "b": True}
        assert tx.events.marks([]) == {}


def test_records_with_events_come_once_in_order_and_page_by_page(store: Store) -> None:
    with store.transaction() as tx:
        tx.events.put_many([an_event_at(f"{i}-{n}", str(i), 100 + n) for i in (3, 1, 2) for n in range(2)])
        tx.events.put_many([an_event_at("old", "0", 99), an_event_at("other", "cus_1", 100, S)])
    with store.reading() as tx:
        assert tx.events.records(H, 100, "", 2) == ["1", "2"]
        assert tx.events.records(H, 100, "2", 2) == ["3"]
        assert tx.events.records(H, 102, "", 2) == []
        assert tx.events.records(S, 0, "", 2) == ["cus_1"]


def test_the_unread_events_of_some_records_are_listed_without_their_values(store: Store) -> None:
    with store.transaction() as tx:
        tx.events.put_many([an_event("a"), an_event("b"), an_event("c", "2"), an_event("d", side=S)])
        tx.events.mark_read(["b"])
        assert [(mark.key, mark.record_id) for mark in tx.events.unread_marks(H, ["1", "3"])] == [("a", "1")]
        assert tx.events.unread_marks(H, []) == []


def test_of_an_alive_record_only_events_that_a_read_covers_are_to_be_judged(store: Store) -> None:
    with store.transaction() as tx:
        tx.records.put_many([a_stored(H, "1"), a_stored(H, "2"), replace(a_stored(H, "3"), deleted=True)])
        tx.events.put_many([an_event("a"), an_event("b"), an_event("c", "2"), an_event("d", "3"), an_event("e", "4")])
        tx.events.mark_read(["b"])
        assert sorted(tx.events.with_unjudged(H, ["1", "2", "3", "4"])) == ["1", "3", "4"]
        tx.events.mark_judged(["b"])
        assert sorted(tx.events.with_unjudged(H, ["1", "2", "3"])) == ["3"]


def test_events_of_a_window_come_newest_first(store: Store) -> None:
    with store.transaction() as tx:
        tx.events.put_many([an_event(f"e{at_ms}", occurred_ms=at_ms) for at_ms in (1, 3, 2)])
        newest = tx.events.newest_first(H, ["1"], 2)
        assert {record: [event.key for event in events] for record, events in newest.items()} == {"1": ["e3", "e2"]}
        windows = tx.events.windows(H, ["1", "2"], 2)
        assert {record: sorted(event.key for event in events) for record, events in windows.items()} == {
            "1": ["e2", "e3"]
        }
