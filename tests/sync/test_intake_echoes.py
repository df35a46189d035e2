"""The echo of our own write is looked at a little later, with others; what anybody else did, at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wanesync.core.jobs import JobKind
from wanesync.core.model import Event, PendingWrite, Side, WriteKind
from wanesync.store import Store, open_store
from wanesync.sync.intake import ECHOES_MS, store_events


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("sqlite::memory:", migrate=True)
    with opened.transaction() as tx:
        tx.pending_writes.put(
            PendingWrite(
                "w1",
                Side.STRIPE,
                WriteKind.CREATE,
                "contact:1",
                source_id="1",
                target_id="",
                idempotency_key="wane-ours",
                body="{}",
                changes={},
            )
        )
    yield opened
    opened.close()


def event(customer_id: str, request_key: str) -> Event:
    return Event(f"{customer_id} {request_key}", Side.STRIPE, "updated", customer_id, 1, {}, request_key=request_key)


def due_in_ms(store: Store, *events: Event) -> int:
    with store.transaction() as tx:
        assert len(store_events(tx, events)) == len(events)
        due_ms = tx.jobs.next_due_ms(Side.STRIPE)
        assert due_ms is not None
        return due_ms - tx.now_ms


def test_an_echo_waits_for_its_answer_and_for_others(store: Store) -> None:
    assert ECHOES_MS <= due_in_ms(store, event("cus_1", "wane-ours")) <= 2 * ECHOES_MS


@pytest.mark.parametrize("other", ["", "somebody else's"])
def test_what_another_did_does_not_wait(store: Store, other: str) -> None:
    assert due_in_ms(store, event("cus_1", other)) == 0


def test_an_echo_does_not_hide_what_another_did(store: Store) -> None:
    assert due_in_ms(store, event("cus_1", "wane-ours"), event("cus_1", "")) == 0


def test_what_another_did_later_makes_the_echo_due(store: Store) -> None:
    assert due_in_ms(store, event("cus_1", "wane-ours")) > 0
    assert due_in_ms(store, event("cus_1", "")) <= 0
    with store.transaction() as tx:
        assert [job.key for job in tx.jobs.claim(Side.STRIPE, [JobKind.READ], 10, "me")] == ["cus_1"]
