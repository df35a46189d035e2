"""Filters and sorts of the search endpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from wanesync.sandbox.hubspot.answers import bad_request, parse_ms
from wanesync.sandbox.hubspot.call import as_text, listed, optional_text, record
from wanesync.sandbox.hubspot.properties import finite

GROUPS_LIMIT = 5
FILTERS_LIMIT = 6
FILTERS_TOTAL_LIMIT = 18
OPERATORS = {
    "EQ", "NEQ", "GT", "GTE", "LT", "LTE", "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY",
    "CONTAINS_TOKEN",
}  # fmt: skip
FILTER_MEMBERS = {"propertyName", "operator", "value", "values", "highValue"}
Key = float | str


class Searchable(Protocol):
    """What a filter looks at."""

    def value(self, name: str) -> str | None:
        """The value of a property."""
        ...

    def number(self, name: str) -> int | None:
        """The value of a number or time, for the properties kept as such."""
        ...


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition. ``keys`` are its values in comparable form; ``kind`` is time, number or text."""

    name: str
    operator: str
    kind: str
    keys: tuple[Key, ...]

    def matches(self, row: Searchable) -> bool:
        """Whether a row meets the condition; only NOT_HAS_PROPERTY is met by a row without a value."""
        key = read_key(row, self.name, self.kind)
        if key is None:
            return self.operator == "NOT_HAS_PROPERTY"
        return TESTS[self.operator](key, self.keys)


@dataclass(frozen=True, slots=True)
class Sort:
    """The one sort a search may have."""

    name: str
    kind: str
    descending: bool


def read_key(row: Searchable, name: str, kind: str) -> Key | None:
    """A row's value of a property in comparable form."""
    if kind != "text":
        number = row.number(name)
        if number is not None:
            return number
    value = row.value(name)
    return None if value is None else as_key(value, kind)


def as_key(value: str, kind: str) -> Key:
    """A value in comparable form: epoch ms, number, or lower-case text. Raises ValueError."""
    if kind == "time":
        return parse_ms(value)
    return finite(value) if kind == "number" else value.lower()


def parse_groups(value: object, kinds: Mapping[str, str]) -> list[list[Filter]]:
    """``filterGroups``: a row must meet all filters of one of them. ``kinds`` leads from property to kind."""
    given = [record(group, "filterGroups", {"filters"}).get("filters") for group in listed(value, "filterGroups")]
    groups = [[_filter(entry, kinds) for entry in listed(group, "filters")] for group in given]
    too_many = len(groups) > GROUPS_LIMIT or any(len(group) > FILTERS_LIMIT for group in groups)
    if too_many or sum(map(len, groups)) > FILTERS_TOTAL_LIMIT:
        raise bad_request(
            f"at most {GROUPS_LIMIT} filter groups, {FILTERS_LIMIT} filters in each and {FILTERS_TOTAL_LIMIT} in all"
        )
    return groups


def parse_sorts(value: object, kinds: Mapping[str, str]) -> Sort | None:
    """``sorts``: at most one, an object or a property name (``-`` before it: descending)."""
    sorts = listed(value, "sorts")
    if len(sorts) > 1:
        raise bad_request("only one sort is allowed")
    if not sorts:
        return None
    if isinstance(sorts[0], str):
        name, descending = sorts[0].removeprefix("-"), sorts[0].startswith("-")
    else:
        given = record(sorts[0], "sorts", {"propertyName", "direction"})
        name, direction = as_text(given.get("propertyName"), "propertyName"), given.get("direction", "ASCENDING")
        if direction not in ("ASCENDING", "DESCENDING"):
            raise bad_request("direction must be ASCENDING or DESCENDING")
        descending = direction == "DESCENDING"
    return Sort(name, _kind(name, kinds), descending)


def _filter(value: object, kinds: Mapping[str, str]) -> Filter:
    given = record(value, "filters", FILTER_MEMBERS)
    name = as_text(given.get("propertyName"), "propertyName")
    operator = as_text(given.get("operator"), "operator")
    if operator not in OPERATORS:
        raise bad_request(f"operator {operator} is not one of {', '.join(sorted(OPERATORS))}")
    kind = _kind(name, kinds)
    try:
        return Filter(name, operator, kind, tuple(as_key(text, kind) for text in _texts(given, operator)))
    except ValueError as error:
        raise bad_request(f"the value of the filter on {name} cannot be read as {kind}") from error


def _texts(given: Mapping[str, object], operator: str) -> list[str]:
    value, high = optional_text(given.get("value"), "value"), optional_text(given.get("highValue"), "highValue")
    values = [as_text(entry, "values") for entry in listed(given.get("values"), "values")]
    if operator in ("IN", "NOT_IN"):
        wanted = values
    elif operator == "BETWEEN":
        wanted = [] if value is None or high is None else [value, high]
    elif operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return []
    else:
        wanted = [] if value is None else [value]
    if not wanted:
        raise bad_request(f"the filter with operator {operator} lacks its value")
    return wanted


def _kind(name: str, kinds: Mapping[str, str]) -> str:
    if name not in kinds:
        raise bad_request(f"there is no property {name} to filter or sort by")
    return kinds[name]


def _contains(key: Key, keys: tuple[Key, ...]) -> bool:
    # Tokens are what stands between separators; * stands for any characters within one.
    pattern = ".*".join(re.escape(part) for part in str(keys[0]).split("*"))
    return re.search(rf"(?<!\w){pattern}(?!\w)", str(key)) is not None


def _between(key: Key, keys: tuple[Key, ...]) -> bool:
    return _at_least(key, keys[0]) and _at_least(keys[1], key)


def _at_least(key: Key, least: Key) -> bool:
    # Both have the kind of one property: two numbers or two texts.
    if isinstance(key, str) or isinstance(least, str):
        return str(key) >= str(least)
    return key >= least


TESTS: Mapping[str, Callable[[Key, tuple[Key, ...]], bool]] = {
    "EQ": lambda key, keys: key == keys[0],
    "NEQ": lambda key, keys: key != keys[0],
    "GT": lambda key, keys: not _at_least(keys[0], key),
    "GTE": lambda key, keys: _at_least(key, keys[0]),
    "LT": lambda key, keys: not _at_least(key, keys[0]),
    "LTE": lambda key, keys: _at_least(keys[0], key),
    "BETWEEN": _between,
    "IN": lambda key, keys: key in keys,
    "NOT_IN": lambda key, keys: key not in keys,
    "HAS_PROPERTY": lambda _key, _keys: True,
    "NOT_HAS_PROPERTY": lambda _key, _keys: False,
    "CONTAINS_TOKEN": _contains,
}
