"""Matching the answers of batches to their inputs: by id, trace id, intent or address, never by position."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from wanesync.adapters.hubspot.errors import ErrorTable, Refused
from wanesync.adapters.json_values import mapping, rows, text
from wanesync.core.errors import CallError, Failure
from wanesync.core.ids import INTENT_PROPERTY
from wanesync.core.model import Side, normalise_email
from wanesync.core.ports import CreateItem, UpdateItem

BATCH_LIMIT = 100
Raw = Mapping[str, object]
Outcomes = dict[str, Raw | CallError]
Item = TypeVar("Item", CreateItem, UpdateItem)
T = TypeVar("T")
V = TypeVar("V")


def match_created(items: Sequence[CreateItem], body: Raw, table: ErrorTable) -> Outcomes:
    """Trace id -> raw contact or error. Results carry no trace id: the intent tells, else the address."""
    by_mark: dict[tuple[str, str], str] = {}
    for item in items:
        for mark in _admitted(item.properties):
            by_mark.setdefault(mark, item.trace)
    outcomes: Outcomes = {}
    known = {item.trace for item in items}
    for raw in map(mapping, rows(body.get("results"))):
        told = text(raw.get("objectWriteTraceId"))
        marks = _admitted(mapping(raw.get("properties")))
        trace = told if told in known else next((by_mark[mark] for mark in marks if mark in by_mark), None)
        if trace is None and len(items) == 1:
            trace = items[0].trace
        if trace is not None and text(raw.get("id")):
            outcomes.setdefault(trace, raw)
    _match_errors([(item.trace, "") for item in items], body, table, outcomes)
    return _complete([item.trace for item in items], outcomes)


def _admitted(properties: Raw) -> list[tuple[str, str]]:
    marks = (
        (INTENT_PROPERTY, text(properties.get(INTENT_PROPERTY))),
        ("email", normalise_email(text(properties.get("email")))),
    )
    return [mark for mark in marks if mark[1]]


def match_updated(items: Sequence[UpdateItem], body: Raw, table: ErrorTable) -> Outcomes:
    """Trace id -> raw contact or error, by record id."""
    by_id = {item.id: item.trace for item in items}
    outcomes: Outcomes = {}
    for raw in map(mapping, rows(body.get("results"))):
        trace = by_id.get(text(raw.get("id")))
        if trace is None and len(items) == 1:
            trace = items[0].trace  # merged away: the survivor answers
        if trace is not None:
            outcomes.setdefault(trace, raw)
    _match_errors([(item.trace, item.id) for item in items], body, table, outcomes)
    return _complete([item.trace for item in items], outcomes)


def _match_errors(asked: Sequence[tuple[str, str]], body: Raw, table: ErrorTable, outcomes: Outcomes) -> None:
    for entry in map(mapping, rows(body.get("errors"))):
        error = table.read_entry(entry)
        traces = [trace for trace, own_id in asked if trace in error.traces or own_id in error.ids]
        if not traces and len(asked) == 1:
            traces = [asked[0][0]]
        for trace in traces:
            outcomes.setdefault(trace, error)


def _complete(traces: Sequence[str], outcomes: Outcomes) -> Outcomes:
    for trace in traces:
        if trace not in outcomes:
            reason = "the answer to the batch does not name this input"
            outcomes[trace] = CallError(Side.HUBSPOT, Failure.NO_ANSWER, reason, status=207)
    return outcomes


def blame_contacts(refused: Refused, items: Sequence[Item]) -> list[Item]:
    """The inputs a refusal of the whole batch names: by trace id, id, or a property that nobody defined."""
    unknown = frozenset(refused.unknown)
    return [
        item
        for item in items
        if item.trace in refused.traces or _id(item) in refused.ids or not unknown.isdisjoint(item.properties)
    ]


def _id(item: CreateItem | UpdateItem) -> str:
    return item.id if isinstance(item, UpdateItem) else ""


class Parts(Generic[T, V]):
    """Runs work of any size in parts that one request can carry."""

    def __init__(self, size: int, key: Callable[[T], str], before_extra: Callable[[], None]) -> None:
        self._size, self._key, self._before_extra = size, key, before_extra

    def run(
        self, items: Sequence[T], work: Callable[[Sequence[T]], Mapping[str, V | CallError]]
    ) -> dict[str, V | CallError]:
        """Key -> outcome. Raises CallError when the first part came to nothing; later ones keep it as their outcome."""
        outcomes: dict[str, V | CallError] = {}
        for start in range(0, len(items), self._size):
            part = items[start : start + self._size]
            if start:
                self._before_extra()
            try:
                outcomes |= work(part)
            except CallError as error:
                if not start:
                    raise
                outcomes |= dict.fromkeys(map(self._key, part), error)
        return outcomes


def check_size(count: int, distinct: Callable[[], int]) -> None:
    """Raise ValueError for a batch no request can carry."""
    if count > BATCH_LIMIT:
        raise ValueError(f"{count} inputs: a batch takes at most {BATCH_LIMIT}")
    if distinct() < count:
        raise ValueError("two inputs of a batch share a key")
