"""Contact search: filters over the lagging rows, at most 10,000 results a query."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from wanesync.sandbox.hubspot.answers import Answer, Json, bad_request
from wanesync.sandbox.hubspot.call import Call, as_text
from wanesync.sandbox.hubspot.contacts import BY_DEFAULT
from wanesync.sandbox.hubspot.filters import Filter, Searchable, Sort, parse_groups, parse_sorts, read_key
from wanesync.sandbox.hubspot.portal import Portal
from wanesync.sandbox.hubspot.rows import Row, SearchFeed

MEMBERS = {"query", "limit", "after", "sorts", "properties", "filterGroups"}
RESULTS_LIMIT = 10_000
PAGE_LIMIT = 200
QUERIED = ("email", "firstname", "lastname", "phone", "company", "hs_additional_emails")
KINDS = {"number": "number", "date": "time", "datetime": "time"}
RANGES = ("GT", "GTE", "LT", "LTE", "BETWEEN", "EQ")
Bounds = tuple[int, int]
T = TypeVar("T", bound=Searchable)


def search_contacts(portal: Portal, call: Call) -> Answer:
    """POST search: states older than the lag, without rate headers."""
    portal.feed.settle(call.now_ms)
    kinds = {name: KINDS.get(item.type, "text") for name, item in portal.properties.by_name.items()}
    groups = parse_groups(call.body.get("filterGroups"), kinds)
    found: dict[int, Row] = {}
    for group in groups or [[]]:
        found.update((row.id, row) for row in matching(portal.feed, group))
    rows = _queried(call, found.values())
    names = call.names("properties") or BY_DEFAULT
    sort = parse_sorts(call.body.get("sorts"), kinds)
    return page(call, ordered(rows, sort, lambda row: row.id), lambda row: row.view(names, portal.settings.portal_id))


def matching(feed: SearchFeed, group: Sequence[Filter]) -> Iterable[Row]:
    """The rows that meet a group: looked up by the best index, the rest of the filters tried on each."""
    ids, times = (
        _bounds([condition for condition in group if condition.name == name and condition.operator in RANGES])
        for name in ("hs_object_id", "lastmodifieddate")
    )
    others = [c for c in group if c.operator not in RANGES or c.name not in ("hs_object_id", "lastmodifieddate")]
    for number in _numbers(feed, others, ids, times):
        row = feed.rows[number]
        within = ids[0] <= number <= ids[1] and times[0] <= row.modified_ms <= times[1]
        if within and all(condition.matches(row) for condition in others):
            yield row


def _numbers(feed: SearchFeed, others: Sequence[Filter], ids: Bounds, times: Bounds) -> Sequence[int]:
    """The ids of a superset of the wanted rows, as small as an index gives it."""
    found = [listed for condition in others if (listed := _equal(feed, condition)) is not None]
    if found:
        return min(found, key=len)
    start, end = bisect_left(feed.ids, ids[0]), bisect_right(feed.ids, ids[1])
    first, last = bisect_left(feed.modified, (times[0], 0)), bisect_right(feed.modified, (times[1], math.inf))
    # Unless the times are clearly fewer, ids are better: they are in the order most searches want.
    if end - start <= 2 * (last - first):
        return feed.ids[start:end]
    return [number for _, number in feed.modified[first:last]]


def _equal(feed: SearchFeed, condition: Filter) -> list[int] | None:
    if condition.operator not in ("EQ", "IN"):
        return None
    if condition.name == "hs_object_id":
        return [int(key) for key in condition.keys if key in feed.rows]
    if condition.name not in feed.indexed:
        return None
    return [number for key in condition.keys for number in feed.equal.get((condition.name, str(key)), ())]


def _bounds(conditions: Iterable[Filter]) -> Bounds:
    """The whole numbers, both included, between which all conditions on one number or time hold."""
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


def ordered(rows: Iterable[T], sort: Sort | None, number: Callable[[T], int]) -> list[T]:
    """Rows in the wanted order, those without a value last; without a sort by id."""
    by_id = sorted(rows, key=number)
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
