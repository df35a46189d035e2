"""What the loss meter asks of the stored events."""

from __future__ import annotations

from wanesync.core.model import Event, Side
from wanesync.store import Store

H, S = Side.HUBSPOT, Side.STRIPE


def an_event(key: str, record_id: str, at_ms: int, side: Side = H, *, read: bool = False) -> Event:
    return Event(key, side, "updated", record_id, at_ms, {"city": "Lyon"}, read=read)


def test_marks_tell_which_events_are_stored_and_which_of_them_a_read_covers(store: Store) -> None:
    with store.transaction() as tx:
        tx.events.put_many([an_event("a", "1", 5), an_event("b", "1", 6, read=True)])
    with store.reading() as tx:
        assert tx.events.marks(["a", "b", "c"]) == {"a": False, "b": True}
        assert tx.events.marks([]) == {}


def test_records_with_events_come_once_in_order_and_page_by_page(store: Store) -> None:
    with store.transaction() as tx:
        tx.events.put_many([an_event(f"{i}-{n}", str(i), 100 + n) for i in (3, 1, 2) for n in range(2)])
        tx.events.put_many([an_event("old", "0", 99), an_event("other", "cus_1", 100, S)])
    with store.reading() as tx:
        assert tx.events.records(H, 100, "", 2) == ["1", "2"]
        assert tx.events.records(H, 100, "2", 2) == ["3"]
        assert tx.events.records(H, 102, "", 2) == []
        assert tx.events.records(S, 0, "", 2) == ["cus_1"]
