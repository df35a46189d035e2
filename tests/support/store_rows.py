"""Rows of the store, as tests put them in."""

from __future__ import annotations

from dataclasses import replace

from wanesync.core.model import (
    Change,
    Event,
    Link,
    PendingWrite,
    Record,
    Side,
    StoredRecord,
    WriteKind,
)


def a_stored(side: Side, record_id: str, *hmacs: str, revision: int = 1) -> StoredRecord:
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
        record=record, valid_from_ms=10, valid_to_ms=2_000_000_000_000, revision=revision, hmacs=frozenset(hmacs)
    )


def a_link(link_id: str, contact: str, customer: str, *, primary: bool = True, version: int = 1) -> Link:
    return Link(link_id, contact, customer, primary, {"email": ("a", "A")}, version)


def an_event(key: str, record_id: str = "1", occurred_ms: int = 100, side: Side = Side.HUBSPOT) -> Event:
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
        record=a_stored(side, record_id).record,
        merged_ids=("5",),
        received_ms=200,
    )


def a_create(write_id: str, *hmacs: str, side: Side = Side.STRIPE, source_id: str = "1") -> PendingWrite:
    return PendingWrite(
        id=write_id,
        side=side,
        kind=WriteKind.CREATE,
        link_key=f"contact:{source_id}",
        source_id=source_id,
        target_id="",
        idempotency_key=f"key-{write_id}",
        body='{"email": "ann@example.com"}',
        changes={"email": Change("", "ann@example.com", "Ann@example.com")},
        hmacs=frozenset(hmacs),
        generation=2,
    )


def an_update(write_id: str, target_id: str = "cus_1") -> PendingWrite:
    return replace(a_create(write_id), kind=WriteKind.UPDATE, target_id=target_id, link_id="l1")
