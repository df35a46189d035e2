"""The search endpoint of contacts, and the filters and sorts all searches share.

A search returns at most 10,000 results and sees the portal with a lag (HubSpot, search guide).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from wanesync.sandbox.hubspot.answers import Answer, Json, bad_request, parse_ms
from wanesync.sandbox.hubspot.call import Call, as_text, listed, optional_text, record
from wanesync.sandbox.hubspot.contacts import BY_DEFAULT
from wanesync.sandbox.hubspot.portal import Portal
from wanesync.sandbox.hubspot.properties import finite
from wanesync.sandbox.hubspot.search_index import Row, SearchIndex

# Limits of one query (HubSpot, search guide).
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
    """A record that a filter can test."""

    def value(self, name: str) -> str | None:
        """The value of a property."""
        ...

    def number(self, name: str) -> int | None:
        """The value of a property that is stored as a number or time."""
        ...


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition. ``keys``: its values in comparable form; ``kind``: time, number or text."""

    name: str
    operator: str
    kind: str
    keys: tuple[Key, ...]

    def matches(self, row: Searchable) -> bool:
        """Whether a row meets the condition; without a value, it meets only NOT_HAS_PROPERTY."""
        key = read_key(row, self.name, self.kind)
        if key is None:
            return self.operator == "NOT_HAS_PROPERTY"
        return TESTS[self.operator](key, self.keys)


@dataclass(frozen=True, slots=True)
class Sort:
    """The sort of a search, which may have only one."""

    name: str
    kind: str
    descending: bool


def read_key(row: Searchable, name: str, kind: str) -> Key | None:
    """The value of a property of a row in comparable form."""
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
    """``filterGroups``: a row meets all filters of one group. ``kinds``: property to kind. Raises the 400."""
    given = [record(group, "filterGroups", {"filters"}).get("filters") for group in listed(value, "filterGroups")]
    groups = [[_filter(entry, kinds) for entry in listed(group, "filters")] for group in given]
    too_many = len(groups) > GROUPS_LIMIT or any(len(group) > FILTERS_LIMIT for group in groups)
    if too_many or sum(map(len, groups)) > FILTERS_TOTAL_LIMIT:
        raise bad_request(
            f"at most {GROUPS_LIMIT} filter groups, {FILTERS_LIMIT} filters in each and {FILTERS_TOTAL_LIMIT} in all"
        )
    return groups


def parse_sorts(value: object, kinds: Mapping[str, str]) -> Sort | None:
    """``sorts``: at most one, an object or a property name (``-`` before it: descending). Raises the 400."""
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
        texts = values
    elif operator == "BETWEEN":
        texts = [] if value is None or high is None else [value, high]
    elif operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return []
    else:
        texts = [] if value is None else [value]
    if not texts:
        raise bad_request(f"the filter with operator {operator} has no value")
    return texts


def _kind(name: str, kinds: Mapping[str, str]) -> str:
    if name not in kinds:
        raise bad_request(f"there is no property {name} to filter or sort by")
    return kinds[name]


def _contains(key: Key, keys: tuple[Key, ...]) -> bool:
    # Tokens are separated by non-word characters; * matches any characters.
    pattern = ".*".join(re.escape(part) for part in str(keys[0]).split("*"))
    return re.search(rf"(?<!\w){pattern}(?!\w)", str(key)) is not None


def _between(key: Key, keys: tuple[Key, ...]) -> bool:
    return _at_least(key, keys[0]) and _at_least(keys[1], key)


def _at_least(key: Key, low: Key) -> bool:
    # Both have the kind of the same property: two numbers or two texts.
    if isinstance(key, str) or isinstance(low, str):
        return str(key) >= str(low)
    return key >= low


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


MEMBERS = {"query", "limit", "after", "sorts", "properties", "filterGroups"}
RESULTS_LIMIT = 10_000  # results of one query, over all pages
PAGE_LIMIT = 200
# The properties that the free text ``query`` searches.
QUERIED = ("email", "firstname", "lastname", "phone", "company", "hs_additional_emails")
KINDS = {"number": "number", "date": "time", "datetime": "time"}
RANGES = ("GT", "GTE", "LT", "LTE", "BETWEEN", "EQ")
Bounds = tuple[int, int]
T = TypeVar("T", bound=Searchable)


def search_contacts(portal: Portal, call: Call) -> Answer:
    """POST search: states older than the lag; the answer has no rate headers."""
    portal.search_index.refresh(call.now_ms)
    kinds = {name: KINDS.get(item.type, "text") for name, item in portal.properties.by_name.items()}
    groups = parse_groups(call.body.get("filterGroups"), kinds)
    found: dict[int, Row] = {}
    for group in groups or [[]]:
        found.update((row.id, row) for row in matching(portal.search_index, group))
    rows = _queried(call, found.values())
    names = call.names("properties") or BY_DEFAULT
    sort = parse_sorts(call.body.get("sorts"), kinds)
    return page(call, ordered(rows, sort, lambda row: row.id), lambda row: row.view(names, portal.settings.portal_id))


def matching(index: SearchIndex, group: Sequence[Filter]) -> Iterable[Row]:
    """The rows that meet a group: found by the best index, then tested with the other filters."""
    ids, times = (
        _bounds([condition for condition in group if condition.name == name and condition.operator in RANGES])
        for name in ("hs_object_id", "lastmodifieddate")
    )
    others = [
        condition
        for condition in group
        if condition.operator not in RANGES or condition.name not in ("hs_object_id", "lastmodifieddate")
    ]
    for number in _numbers(index, others, ids, times):
        row = index.rows[number]
        within = ids[0] <= number <= ids[1] and times[0] <= row.modified_ms <= times[1]
        if within and all(condition.matches(row) for condition in others):
            yield row


def _numbers(index: SearchIndex, others: Sequence[Filter], ids: Bounds, times: Bounds) -> Sequence[int]:
    """The ids of a superset of the matching rows, as small as an index allows."""
    found = [ids_found for condition in others if (ids_found := _equal(index, condition)) is not None]
    if found:
        return min(found, key=len)
    start, end = bisect_left(index.ids, ids[0]), bisect_right(index.ids, ids[1])
    first, last = bisect_left(index.modified, (times[0], 0)), bisect_right(index.modified, (times[1], math.inf))
    # Prefer ids unless far fewer times match: most searches sort by id.
    if end - start <= 2 * (last - first):
        return index.ids[start:end]
    return [number for _, number in index.modified[first:last]]


def _equal(index: SearchIndex, condition: Filter) -> list[int] | None:
    if condition.operator not in ("EQ", "IN"):
        return None
    if condition.name == "hs_object_id":
        return [int(key) for key in condition.keys if key in index.rows]
    if condition.name not in index.indexed:
        return None
    return [number for key in condition.keys for number in index.equal.get((condition.name, str(key)), ())]


def _bounds(conditions: Iterable[Filter]) -> Bounds:
    """The inclusive integer bounds between which all conditions on one number or time hold."""
    low, high = 0, 2**62
    for condition in conditions:
        numbers = [float(key) for key in condition.keys]
        if condition.operator in ("GTE", "BETWEEN", "EQ"):
            low = max(low, math.ceil(numbers[0]))
        if condition.operator in ("LTE", "BETWEEN", "EQ"):
            high = min(high, math.floor(numbers[-1]))
        if condition.operator == "GT":
            low = max(low, math.floor(numbers[0]) + 1)
        if condition.operator == "LT":
            high = min(high, math.ceil(numbers[0]) - 1)
    return low, high


def _queried(call: Call, rows: Iterable[Row]) -> list[Row]:
    words = as_text(call.body.get("query") or "", "query").lower().split()
    if not words:
        return list(rows)
    texts = ((row, " ".join(row.value(name) or "" for name in QUERIED).lower()) for row in rows)
    return [row for row, text in texts if all(word in text for word in words)]


def ordered(rows: Iterable[T], sort: Sort | None, record_id: Callable[[T], int]) -> list[T]:
    """The rows sorted, those without a value last; by id without a sort."""
    by_id = sorted(rows, key=record_id)
    if sort is None or sort.name == "hs_object_id":
        return by_id[::-1] if sort is not None and sort.descending else by_id
    valued = [(key, row) for row in by_id if (key := read_key(row, sort.name, sort.kind)) is not None]
    valued.sort(key=lambda pair: pair[0], reverse=sort.descending)
    rest = [row for row in by_id if read_key(row, sort.name, sort.kind) is None]
    return [row for _, row in valued] + rest


def page(call: Call, rows: Sequence[T], view: Callable[[T], Json]) -> Answer:
    """One page; ``after`` is an offset. Beyond 10,000 results: 400."""
    limit, offset = call.whole("limit", 10, 0, PAGE_LIMIT), call.whole("after", 0, 0, 10**18)
    if offset + limit > RESULTS_LIMIT:
        raise bad_request(f"a search cannot page beyond {RESULTS_LIMIT} results")
    body: Json = {"total": len(rows), "results": [view(row) for row in rows[offset : offset + limit]]}
    if offset + limit < len(rows):
        body["paging"] = {"next": {"after": str(offset + limit)}}
    return Answer(200, body)
