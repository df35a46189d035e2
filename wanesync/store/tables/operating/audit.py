"""The audit log: who changed what, when, from and to. Rows are appended and never changed.

Each row has a keyed hash over its contents and the hash of the row before it, so that a changed, removed or inserted
row is found (docs/security.md#audit-log). The database refuses changes: on Postgres by the rights of the roles and by a
trigger, on SQLite by a trigger. ``audit_head`` holds the newest hash, so that rows cut off at the end are found, too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from wanesync.core.ids import bound
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.values.characters import remove_invisible
from wanesync.store.codec import JSON, pack
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table

MAX_TEXT_CHARS = 500
"""Longest text of a state (our choice): names, codes, and reasons of operators."""
State = Mapping[str, object]
"""What stood before or after a change, serialisable as JSON: ids, names and numbers, never a person's values."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of the audit log. ``before``, ``after``: None where there was nothing."""

    seq: int
    at_ms: int
    operator: Operator
    action: str
    subject: str
    before: JSON
    after: JSON


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows are wanted; "" and 0 for any. ``below``: rows before this number, 0 from the newest on."""

    operator: str = ""
    action: str = ""
    subject: str = ""
    since_ms: int = 0
    until_ms: int = 0
    below: int = 0


@dataclass(frozen=True, slots=True)
class AuditLink:
    """A row as the chain sees it: its number, its hash as stored, and the hash that its contents have."""

    seq: int
    stored: str
    computed: str


class Audit(Table):
    """The table ``audit_log``."""

    __slots__ = ()

    def add(
        self, operator: Operator, action: str, subject: str, before: State | None = None, after: State | None = None
    ) -> None:
        """Append a row about a change of this transaction. Call it last: other operators wait from here to the commit.

        ``action``: noun and verb with a dot, such as ``limit.change``. ``subject``: the id or name of what was changed.
        """
        session = self._session
        seq, previous = self._lock_head()
        row: dict[str, Value] = {
            "seq": seq + 1,
            "at_ms": session.now_ms,
            "operator": bound(operator.name),
            "via": str(operator.via),
            "action": bound(action),
            "subject": bound(subject),
            "before_state": _as_text(before),
            "after_state": _as_text(after),
        }
        digest = self._hash(tuple(row.values()), previous)
        session.rows("add_audit", **row, hash=digest)
        session.rows("move_audit_head", seq=seq + 1, hash=digest)

    def find(self, wanted: AuditFilter, limit: int) -> list[AuditRow]:
        """Return rows, the newest first."""
        rows = self._session.rows(
            "find_audit",
            operator=wanted.operator,
            action=wanted.action,
            subject=wanted.subject,
            since_ms=wanted.since_ms,
            until_ms=wanted.until_ms or 2**62,
            below=wanted.below or 2**62,
            limit=limit,
        )
        return [_row(row) for row in rows]

    def links(self, after: int, previous: str, limit: int) -> list[AuditLink]:
        """Return the rows above a number as the chain sees them, in their order. ``previous``: hash of that row."""
        links = []
        for *values, stored in self._session.rows("audit_after", after=after, limit=limit):
            links.append(AuditLink(values[0], stored, self._hash(values, previous)))
            previous = stored
        return links

    def head(self) -> tuple[int, str]:
        """Return the number and the hash of the newest row as the head holds them; (0, "") before the first."""
        row = self._session.row("audit_head")
        return (int(row[0]), str(row[1])) if row else (0, "")

    def _lock_head(self) -> tuple[int, str]:
        row = self._session.row("lock_audit_head")
        return (int(row[0]), str(row[1])) if row else (0, "")

    def _hash(self, values: Sequence[object], previous: str) -> str:
        text = orjson.dumps([*values, previous])
        return hmac.digest(self._session.encryption.audit_key, text, hashlib.sha256).hex()


def _as_text(state: State | None) -> str:
    return "" if state is None else pack(_clean(dict(state))).decode()


def _clean(value: object) -> object:
    """Return a value whose texts are bounded and hold no controls: they stay for good, and are shown everywhere."""
    match value:
        case str():
            return remove_invisible(value)[:MAX_TEXT_CHARS]
        case Mapping():
            return {name: _clean(item) for name, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
    return value


def _row(row: Row) -> AuditRow:
    seq, at_ms, name, via, action, subject, before, after = row
    operator = Operator(name, Via(via))
    return AuditRow(seq, at_ms, operator, action, subject, _as_state(before), _as_state(after))


def _as_state(text: str) -> JSON:
    found: JSON = orjson.loads(text) if text else None
    return found
