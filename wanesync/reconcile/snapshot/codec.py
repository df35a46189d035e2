"""Differences as bytes, for the snapshot to seal."""

from __future__ import annotations

import orjson

from wanesync.core.diff.difference import Difference, DifferenceClass, FieldDifference
from wanesync.core.diff.value_kinds import ValueKind


def pack_difference(found: Difference) -> bytes:
    """JSON bytes."""
    fields = {
        name: [value.hubspot, value.stripe, value.writes, value.why, value.after, value.how]
        for name, value in found.fields.items()
    }
    return orjson.dumps([found.kind, found.hubspot_id, found.stripe_id, fields, found.note, found.key])


def unpack_difference(packed: bytes) -> Difference:
    """What ``pack_difference`` packed."""
    kind, hubspot_id, stripe_id, fields, note, key = orjson.loads(packed)
    values = {
        name: FieldDifference(hubspot, stripe, writes, why, after, ValueKind(how))
        for name, (hubspot, stripe, writes, why, after, how) in fields.items()
    }
    return Difference(DifferenceClass(kind), hubspot_id, stripe_id, values, note, key)
