"""Turns values into the JSON bytes that are encrypted, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from wanesync.core.errors import DatabaseRefused
from wanesync.core.model import BasePair, Change, Parked, ParkReason, PendingWrite, PutBack, Record, Side

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]


def pack(value: object) -> bytes:
    """A value as JSON bytes. Raises DatabaseRefused for half a character, and for a number of more than 64 bits."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        # Its own message may show the value.
        raise DatabaseRefused("json") from error


def unpack_object(blob: bytes) -> dict[str, JSON]:
    """The JSON object in a payload."""
    found: dict[str, JSON] = orjson.loads(blob)
    return found


def pack_record(record: Record, generation: int = 0) -> bytes:
    """A record as JSON bytes, without its side and id: those are columns. ``generation``: of the field map."""
    return pack(
        {
            "values": dict(record.values),
            "emails": sorted(record.emails),
            "other_id": record.other_id,
            "intent": record.intent,
            "created_ms": record.created_ms,
            "modified_ms": record.modified_ms,
            "billed": record.billed,
            "merged_ids": record.merged_ids,
            "carry": dict(record.carry),
            "unknown": sorted(record.unknown),
            "free_keys": record.free_keys,
            "map": generation,
        }
    )


def unpack_record(blob: bytes, side: Side, record_id: str) -> Record:
    """The record in a payload as it was stored; its side and id come from the row."""
    return unpack_versioned(blob, side, record_id)[0]


def unpack_versioned(blob: bytes, side: Side, record_id: str) -> tuple[Record, int]:
    """The record in a payload as it was stored, and the generation of the field map under which it was."""
    data = orjson.loads(blob)
    record = Record(
        side=side,
        id=record_id,
        values=data["values"],
        emails=frozenset(data["emails"]),
        other_id=data["other_id"],
        intent=data["intent"],
        created_ms=data["created_ms"],
        modified_ms=data["modified_ms"],
        billed=data["billed"],
        merged_ids=tuple(data["merged_ids"]),
        carry=data["carry"],
        unknown=frozenset(data["unknown"]),
        free_keys=data["free_keys"],
    )
    return record, data["map"]


def pack_base(base: Mapping[str, BasePair]) -> bytes:
    """A base as JSON bytes: ``{"field": [hubspot value, stripe value]}``."""
    return pack(dict(base))


def unpack_base(blob: bytes) -> dict[str, BasePair]:
    """The base in a payload: field -> (hubspot value, stripe value)."""
    return {field: (base_pair[0], base_pair[1]) for field, base_pair in orjson.loads(blob).items()}


def pack_parked(parked: Mapping[str, Parked]) -> bytes:
    """Parked fields as JSON bytes: ``{"field": ["side", "value", "reason", at_ms]}``."""
    return pack(_list_parked(parked))


def unpack_parked(blob: bytes) -> dict[str, Parked]:
    """The parked fields in a payload."""
    return _read_parked(orjson.loads(blob))


def _list_parked(parked: Mapping[str, Parked]) -> dict[str, list[JSON]]:
    return {field: [park.side, park.value, park.reason, park.at_ms] for field, park in parked.items()}


def _read_parked(listed: Mapping[str, tuple[str, str, str, int]]) -> dict[str, Parked]:
    return {
        field: Parked(Side(side), value, ParkReason(reason), at_ms)
        for field, (side, value, reason, at_ms) in listed.items()
    }


def pack_put_back(values: Mapping[str, PutBack]) -> bytes:
    """Values to be put back as JSON bytes: field -> [side, value, base, contested, decided]."""
    return pack(
        {name: [back.side, back.value, back.over, back.contested, back.decided] for name, back in values.items()}
    )


def unpack_put_back(blob: bytes) -> dict[str, PutBack]:
    """The values to be put back in a payload, by field."""
    return {
        name: PutBack(Side(side), value, (over[0], over[1]), contested, decided)
        for name, (side, value, over, contested, decided) in orjson.loads(blob).items()
    }


def pack_write(write: PendingWrite, generation: int = 0) -> bytes:
    """The body, changes, address hashes and authorship of a pending write as JSON bytes."""
    changes = {
        field: [change.before, change.after, change.source, *([True] if change.put_back else [])]
        for field, change in write.changes.items()
    }
    more: dict[str, object] = {"authorship": dict(write.authorship)} if write.authorship else {}
    if write.planned_ms:
        more["planned_ms"] = write.planned_ms
    if write.left_out:
        more["left_out"] = _list_parked(write.left_out)
    rest = {"hmacs": sorted(write.hmacs), "map": generation}
    return pack({"body": write.body, "changes": changes, **rest, **more})


class WritePayload(NamedTuple):
    """The encrypted part of a pending write; ``generation``: the field map's."""

    body: str
    changes: Mapping[str, Change]
    hmacs: frozenset[str]
    authorship: Mapping[str, tuple[int, bool]]
    generation: int
    planned_ms: int = 0
    left_out: Mapping[str, Parked] = {}


def unpack_write(blob: bytes) -> WritePayload:
    """The pending write in a payload."""
    data = orjson.loads(blob)
    changes = {field: Change(*change) for field, change in data["changes"].items()}
    authorship = {name: (modified_ms, ours) for name, (modified_ms, ours) in data.get("authorship", {}).items()}
    hmacs = frozenset(data["hmacs"])
    left_out = _read_parked(data.get("left_out", {}))
    return WritePayload(data["body"], changes, hmacs, authorship, data["map"], data.get("planned_ms", 0), left_out)
