"""Differences and changed records as bytes, before the snapshot encrypts them."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from wanesync.core.diff.difference import Difference, DifferenceClass, FieldDifference
from wanesync.core.diff.value_kinds import ValueKind
from wanesync.core.model import Record, Side
from wanesync.store.codec import pack_record, unpack_record

CHANGED_MEANWHILE = -1
"""``ChangedRecord.base_revision`` of a record that was stored again after the call began."""


@dataclass(frozen=True, slots=True)
class ChangedRecord:
    """A listed record that differs from the database's stored record.

    ``base_revision``: the stored record's revision when the call began; 0: it is new to the database. The record was
    valid from ``valid_from_ms`` to ``valid_to_ms``.
    """

    record: Record
    base_revision: int
    valid_from_ms: int
    valid_to_ms: int


def pack_changed(changed: ChangedRecord) -> bytes:
    """One line of numbers, then the packed record."""
    head = f"{changed.base_revision} {changed.valid_from_ms} {changed.valid_to_ms}\n".encode()
    return head + pack_record(changed.record)


def unpack_changed(packed: bytes, side: Side, record_id: str) -> ChangedRecord:
    """The inverse of ``pack_changed``."""
    head, _, record = packed.partition(b"\n")
    base_revision, from_ms, to_ms = (int(part) for part in head.split())
    return ChangedRecord(unpack_record(record, side, record_id), base_revision, from_ms, to_ms)


def pack_difference(difference: Difference) -> bytes:
    """A JSON array."""
    fields = {
        name: [value.hubspot, value.stripe, value.writes, value.why, value.after, value.how]
        for name, value in difference.fields.items()
    }
    ids = difference.hubspot_id, difference.stripe_id
    return orjson.dumps([difference.kind, *ids, fields, difference.note, difference.key])


def unpack_difference(packed: bytes) -> Difference:
    """The inverse of ``pack_difference``."""
    kind, hubspot_id, stripe_id, fields, note, key = orjson.loads(packed)
    values = {
        name: FieldDifference(hubspot, stripe, writes, why, after, ValueKind(how))
        for name, (hubspot, stripe, writes, why, after, how) in fields.items()
    }
    return Difference(DifferenceClass(kind), hubspot_id, stripe_id, values, note, key)
