"""Batches: splitting work into requests, and matching answers to inputs by id, trace id, intent or e-mail address.

Answers are never matched by position: HubSpot does not keep the order of inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from wanesync.adapters.hubspot.errors import ErrorTable, RefusedCall
from wanesync.adapters.json_values import mapping, rows, text
from wanesync.core.errors import CallError, Failure
from wanesync.core.ids import INTENT_PROPERTY
from wanesync.core.model import Side, normalise_email
from wanesync.core.ports import CreateItem, UpdateItem

MAX_BATCH_INPUTS = 100
"""Inputs of one batch request (developers.hubspot.com, CRM objects API)."""
Raw = Mapping[str, object]
Outcomes = dict[str, Raw | CallError]
Item = TypeVar("Item", CreateItem, UpdateItem)
T = TypeVar("T")
V = TypeVar("V")


def match_created(items: Sequence[CreateItem], body: Raw, table: ErrorTable) -> Outcomes:
    """Return trace id -> raw contact or error.

    Results hold no trace id: the intent identifies them, else the e-mail address.
    """
    by_mark: dict[tuple[str, str], str] = {}
    for item in items:
        for mark in _identifying_marks(item.properties):
            by_mark.setdefault(mark, item.trace)
    outcomes: Outcomes = {}
    known = {item.trace for item in items}
    for raw in map(mapping, rows(body.get("results"))):
        trace_id = text(raw.get("objectWriteTraceId"))
        marks = _identifying_marks(mapping(raw.get("properties")))
        trace = trace_id if trace_id in known else next((by_mark[mark] for mark in marks if mark in by_mark), None)
        if trace is None and len(items) == 1 and not trace_id and not marks:
            trace = items[0].trace  # nothing shown says that it is another contact
        if trace is not None and text(raw.get("id")):
            outcomes.setdefault(trace, raw)
    _match_errors([(item.trace, "") for item in items], body, table, outcomes)
    return _complete([item.trace for item in items], outcomes)


def _identifying_marks(properties: Raw) -> list[tuple[str, str]]:
    marks = (
        (INTENT_PROPERTY, text(properties.get(INTENT_PROPERTY))),
        ("email", normalise_email(text(properties.get("email")))),
    )
    return [mark for mark in marks if mark[1]]


def match_updated(items: Sequence[UpdateItem], body: Raw, table: ErrorTable) -> Outcomes:
    """Return trace id -> raw contact or error, by record id."""
    by_id = {item.id: item.trace for item in items}
    outcomes: Outcomes = {}
    for raw in map(mapping, rows(body.get("results"))):
        trace = by_id.get(text(raw.get("id")))
        if trace is None and len(items) == 1:
            trace = items[0].trace  # merged away: the answer holds the survivor
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


def find_named_contacts(refused: RefusedCall, items: Sequence[Item]) -> list[Item]:
    """Return the inputs that a refusal of the whole batch names: by trace id, id, or an undefined property."""
    unknown = frozenset(refused.unknown)
    return [
        item
        for item in items
        if item.trace in refused.traces or _id(item) in refused.ids or not unknown.isdisjoint(item.properties)
    ]


def _id(item: CreateItem | UpdateItem) -> str:
    return item.id if isinstance(item, UpdateItem) else ""


class ChunkedBatch(Generic[T, V]):
    """Runs work of any size in chunks that fit one request."""

    def __init__(self, size: int, key: Callable[[T], str], before_extra: Callable[[], None]) -> None:
        self._size, self._key, self._before_extra = size, key, before_extra

    def run(
        self, items: Sequence[T], work: Callable[[Sequence[T]], Mapping[str, V | CallError]]
    ) -> dict[str, V | CallError]:
        """Return key -> outcome. Raises ``CallError`` if the first chunk failed as a whole.

        The items of a later chunk that failed have the error as their outcome.
        """
        outcomes: dict[str, V | CallError] = {}
        for start in range(0, len(items), self._size):
            chunk = items[start : start + self._size]
            if start:
                self._before_extra()
            try:
                outcomes |= work(chunk)
            except CallError as error:
                if not start:
                    raise
                outcomes |= dict.fromkeys(map(self._key, chunk), error)
        return outcomes


def check_size(count: int, distinct: Callable[[], int]) -> None:
    """Raise ``ValueError`` for a batch that no request can carry."""
    if count > MAX_BATCH_INPUTS:
        raise ValueError(f"{count} inputs: a batch takes at most {MAX_BATCH_INPUTS}")
    if distinct() < count:
        raise ValueError("two inputs of a batch share a key")
