"""One API call: path variables, query parameters and body, with the checks all endpoints share."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from wanesync.sandbox import json_text
from wanesync.sandbox.hubspot.answers import Json, bad_request, malformed
from wanesync.sandbox.hubspot.contacts import Source, number_of

BATCH_LIMIT = 100  # inputs of one batch request (HubSpot, contacts guide)


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of an endpoint. ``source``: the caller; ``variables``: the variable parts of the path."""

    now_ms: int
    source: Source
    variables: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] = field(default_factory=dict)

    def names(self, key: str) -> list[str]:
        """A list parameter: comma-separated in a query, an array in a body."""
        given = self.query.get(key)
        if given is not None:
            return [name.strip() for name in given.split(",") if name.strip()]
        return [as_text(name, key) for name in listed(self.body.get(key), key)]

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """An integer parameter. Raises the 400 when it is outside its limits."""
        given = self.query.get(key, self.body.get(key))
        if given is None:
            return default
        number = number_of(str(given))
        if number is None or not low <= number <= high:
            raise bad_request(f"{key} must be between {low} and {high}")
        return number

    def flag(self, key: str) -> bool:
        """A Boolean query parameter; absent is false."""
        return self.query.get(key, "").lower() == "true"

    def inputs(self, allowed: AbstractSet[str], limit: int = BATCH_LIMIT) -> list[Json]:
        """The inputs of a batch: between 1 and ``limit``, with only ``allowed`` members. Raises the 400."""
        inputs = [record(entry, "inputs", allowed) for entry in listed(self.body.get("inputs"), "inputs")]
        if not 1 <= len(inputs) <= limit:
            raise bad_request(f"inputs: between 1 and {limit} are allowed in one request, {len(inputs)} were given")
        return inputs


def parse_query(pairs: tuple[tuple[str, str], ...], allowed: AbstractSet[str]) -> dict[str, str]:
    """The query parameters; a repeated parameter is joined with commas. Raises the 400 for unknown ones."""
    query: dict[str, str] = {}
    for key, value in pairs:
        if key not in allowed:
            raise bad_request(f"unknown query parameter: {key}")
        query[key] = f"{query[key]},{value}" if key in query else value
    return query


def parse_body(body: bytes, allowed: AbstractSet[str]) -> Json:
    """The JSON object of a body. Raises the 400 when it is not an object or has unknown members."""
    if not body and not allowed:
        return {}
    try:
        value = json_text.read(body)
    except ValueError as error:
        raise malformed("not JSON") from error
    return record(value, "body", allowed)


def record(value: object, where: str, allowed: AbstractSet[str] | None = None) -> Json:
    """``value`` as an object with only ``allowed`` members (None: any). Raises the 400."""
    if not isinstance(value, dict):
        raise malformed(f"{where}: an object is expected")
    unknown = [] if allowed is None else sorted(set(value) - set(allowed))
    if unknown:
        raise malformed(f"{where}: unrecognized field {unknown[0]!r}")
    return value


def listed(value: object, where: str) -> list[object]:
    """``value`` as an array; absent is empty. Raises the 400."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise malformed(f"{where}: an array is expected")
    return value


def as_text(value: object, where: str) -> str:
    """``value`` as a string; an integer becomes its digits. Raises the 400."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise malformed(f"{where}: a string is expected")


def optional_text(value: object, where: str) -> str | None:
    """``value`` as a string, or None when it is absent. Raises the 400."""
    return None if value is None else as_text(value, where)
