"""Search: the query language of Stripe over an index that lags behind.

docs.stripe.com/search: up to ten clauses joined by AND (or a space) or by OR, never both; ``:`` is a case-insensitive
match, ``~`` a substring of three characters or more, ``<`` and ``>`` compare numbers, ``-`` negates.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from wanesync.sandbox.stripe.collection import FOREVER, Collection, Position, Window
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.refusals import Refusal

COMMON = {"created": "number", "metadata": "token"}
MONEY = {**COMMON, "amount": "number", "currency": "token", "customer": "token", "status": "token"}
CARD = "payment_method_details.card."
FIELDS = {
    "customer": {**COMMON, "email": "text", "name": "text", "phone": "text"},
    "payment_intent": MONEY,
    "charge": {
        **MONEY,
        "disputed": "token",
        "refunded": "token",
        "billing_details.address.postal_code": "token",
        **{CARD + name: "token" for name in ("brand", "exp_month", "exp_year", "fingerprint", "last4")},
    },
}
FIELDS |= {
    "invoice": {
        **COMMON,
        **dict.fromkeys(("currency", "customer", "number", "receipt_number", "status", "subscription"), "token"),
        "total": "number",
    },
    "price": {"metadata": "token", **dict.fromkeys(("active", "currency", "lookup_key", "product", "type"), "token")},
    "product": {
        **COMMON,
        **dict.fromkeys(("active", "shippable", "url"), "token"),
        "description": "text",
        "name": "text",
    },
    "subscription": {**COMMON, "canceled_at": "number", "status": "token"},
}
QUOTED = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
CLAUSE = re.compile(
    rf"\s*(?P<no>-?)(?P<field>[a-z0-9_.]+)(?:\[(?P<key>{QUOTED})\])?\s*(?P<op>:|~|>=|<=|>|<)\s*(?P<value>{QUOTED}|[^\s\"']+)"
)
JOIN = re.compile(r"\s+(?:(AND|OR)\s+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition; ``value``: lower case, None for the bare word null."""

    field: str
    key: str | None
    op: str
    value: str | None
    negated: bool

    def matches(self, record: Record) -> bool:
        """Whether a record meets the condition."""
        return self._holds(record) != self.negated

    def _holds(self, record: Record) -> bool:
        found = read_value(record, self.field, self.key)
        if found is None or self.value is None:
            return found is None and self.value is None and self.op == ":"
        if self.op == ":":
            return fold(found) == self.value
        if self.op == "~":
            return self.value in fold(found)
        left, right = float(str(found)), float(self.value)
        return {">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right}[self.op]


@dataclass(frozen=True, slots=True)
class Query:
    """Clauses of which all (``every``) or any must hold."""

    clauses: tuple[Clause, ...]
    every: bool

    def matches(self, record: Record) -> bool:
        """Whether a record matches."""
        return (all if self.every else any)(clause.matches(record) for clause in self.clauses)


class SearchIndex:
    """The search index of one collection: a version of a record becomes visible after the lag."""

    def __init__(self, kind: str, collection: Collection) -> None:
        self.kind = kind
        self._collection = collection
        self._pending: deque[tuple[int, str, Record | None]] = deque()
        self._visible: dict[str, Record] = {}
        self._exact: dict[tuple[str, str | None, str], dict[str, None]] = {}

    def note(self, record_id: str, record: Record | None, visible_ms: int) -> None:
        """Add a new version (None: deleted) that is visible from ``visible_ms`` on."""
        self._pending.append((visible_ms, record_id, record))

    def find(self, query: Query, window: Window, now_ms: int) -> Iterator[Record]:
        """Matching visible records, newest first. ``~``, ``>``, OR and ``-`` scan the whole collection."""
        self._refresh(now_ms)
        exact = [
            self._exact.get((clause.field, clause.key, clause.value), {})
            for clause in query.clauses
            if query.every and clause.op == ":" and not clause.negated and clause.value is not None
        ]
        for _, _, record_id in self._candidates(min(exact, key=len) if exact else None, window):
            record = self._visible.get(record_id)
            if record is not None and query.matches(record):
                yield record

    def _candidates(self, ids: dict[str, None] | None, window: Window) -> list[Position] | Iterator[Position]:
        order = self._collection.listed()[0]
        if ids is None:
            low, high = window.bounds(order)
            return (order[at] for at in range(high - 1, low - 1, -1))
        positions = sorted(
            position for record_id in ids if (position := self._collection.position(record_id)) is not None
        )
        low, high = window.bounds(positions)
        return [position for position in reversed(positions[low:high]) if not self._collection.was_deleted(position[2])]

    def _refresh(self, now_ms: int) -> None:
        while self._pending and self._pending[0][0] <= now_ms:
            _, record_id, record = self._pending.popleft()
            old = self._visible.pop(record_id, None)
            for entry in self._entries(old) if old else ():
                self._exact[entry].pop(record_id, None)
                if not self._exact[entry]:
                    del self._exact[entry]
            if record is not None:
                self._visible[record_id] = record
                for entry in self._entries(record):
                    self._exact.setdefault(entry, {})[record_id] = None

    def _entries(self, record: Record) -> Iterator[tuple[str, str | None, str]]:
        for name in FIELDS[self.kind]:
            if name == "metadata":
                for key, value in record["metadata"].items():
                    yield (name, key, fold(value))
            elif (value := read_value(record, name, None)) is not None:
                yield (name, None, fold(value))


def fold(value: object) -> str:
    """The form in which search compares: lower case, true and false as words."""
    return str(value).lower()


def read_value(record: Record, name: str, key: str | None) -> object:
    """The value of a searched member, None when it is missing."""
    value: object = record
    for part in [name] if key is None and "." not in name else ([name, key] if key is not None else name.split(".")):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def parse_query(text: str, kind: str) -> Query:
    """Parse a query. Raises the 400 of Stripe."""
    clauses: list[Clause] = []
    joins: set[str] = set()
    at, text = 0, text.strip()
    while at < len(text):
        match = CLAUSE.match(text, at)
        if match is None:
            raise _refuse('We were unable to parse your search query. Try using the format `metadata["key"]:"value"`.')
        clauses.append(_read_clause(match, FIELDS[kind]))
        at = match.end()
        if at < len(text):
            join = JOIN.match(text, at)
            if join is None or join.end() == len(text):
                raise _refuse("We were unable to parse your search query: a clause is missing at its end.")
            joins.add((join[1] or "AND").upper())
            at = join.end()
    if not clauses:
        raise _refuse("Search query must not be empty.")
    if len(joins) > 1:
        raise _refuse("You cannot combine AND and OR in one search query.")
    if len(clauses) > 10:
        raise _refuse("A search query can have up to 10 clauses.")
    return Query(tuple(clauses), every="OR" not in joins)


def _read_clause(match: re.Match[str], fields: dict[str, str]) -> Clause:
    name, op, raw = match["field"], match["op"], match["value"]
    kind = fields.get(name)
    if kind is None or (match["key"] is not None) != (name == "metadata"):
        raise _refuse(f"Field `{name}` is an unsupported search field for resource.")
    quoted = raw[0] in "\"'"
    value = None if raw == "null" else re.sub(r"\\(.)", r"\1", raw[1:-1]) if quoted else raw
    allowed = {"text": ":~", "token": ":", "number": ": > < >= <="}[kind]
    if op not in allowed or (value is None and op != ":"):
        raise _refuse(f"Operator `{op}` is not supported on the field `{name}`.")
    if op == "~" and value is not None and len(value) < 3:
        raise _refuse("Substring search needs at least 3 characters.")
    if kind == "number" and value is not None and not re.fullmatch(r"-?[0-9]{1,15}", value):
        raise _refuse(f"Field `{name}` needs a number.")
    key = match["key"]
    folded = None if value is None else value.lower()
    return Clause(name, re.sub(r"\\(.)", r"\1", key[1:-1]) if key else None, op, folded, bool(match["no"]))


def _refuse(message: str) -> Refusal:
    return Refusal(400, message, param="query")


def read_token(page: str) -> Position:
    """The position of a ``next_page`` token. Raises Refusal."""
    match = re.fullmatch(r"p_([0-9]{1,12})_([0-9]{1,12})", page)
    if match is None:
        raise Refusal(400, "Invalid page token: use the next_page of the last answer.", param="page")
    return (int(match[1]), int(match[2]), "")


def write_token(position: Position) -> str:
    """The ``next_page`` token for a position."""
    return f"p_{position[0]}_{position[1]}"


def whole_window(page: str | None) -> Window:
    """The window after a page token."""
    return Window(FOREVER, after=read_token(page) if page else None)
