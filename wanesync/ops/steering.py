"""What an operator steers, in one reading: limits, pauses of sides and fields, holds, and the writes switch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.change_guard import HoldKind, HoldState, show_source
from wanesync.core.model import Side
from wanesync.core.rate_limits import VENDOR_ALLOWANCES, LimitUnit, format_value
from wanesync.ops.holds import describe_hold
from wanesync.ops.limits import explain_limit
from wanesync.ops.writes import read_switch
from wanesync.ratelimit.limit_settings import LimitState, read_limits
from wanesync.ratelimit.quotas import find_alarms
from wanesync.store.tables.journal import JournalFilter
from wanesync.store.tables.operating.log_lines import NEWEST
from wanesync.store.tables.settings import OPERATOR, operator_pause
from wanesync.terminal import format_duration

CHANGES = ("limit set", "paused", "resumed", "hold released", "hold discarded", "writes")
"""Kinds of journal entries about what an operator steers."""
MAX_CHANGES = 12
"""Changes that are listed; the journal has all of them (our choice)."""

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx
    from wanesync.store.tables.journal import JournalRow
    from wanesync.store.tables.settings import PauseRow


@dataclass(frozen=True, slots=True)
class LimitSummary:
    """A limit as it is shown; ``scope`` names it, numbers are in its ``unit``, None where there is none.

    ``allowed``: the vendor's published default, in words. ``used`` of ``of``: a mean over 10 s, or within the period of
    a quota. ``why``: what lowers it, or who set it.
    """

    scope: str
    unit: LimitUnit
    configured: float | None
    effective: float | None
    filed: float | None
    used: float
    of: float | None
    why: str
    lowered_for_s: float
    is_set_by_operator: bool
    allowed: str

    @property
    def note(self) -> str:
        """Return why it is lower, since when, and whether an operator set it."""
        notes = [self.why, f"{format_duration(self.lowered_for_s * 1000)} ago" if self.lowered_for_s else ""]
        if self.is_set_by_operator:
            notes.append(f"set by hand{f', in the file {self.show(self.filed)}' if self.filed else ''}")
        return ", ".join(filter(None, notes))

    def show(self, value: float | None) -> str:
        """Return a value with its unit."""
        return "–" if value is None else format_value(self.scope, value)


@dataclass(frozen=True, slots=True)
class SidePause:
    """Whether requests are sent to a side, or to one operation of it.

    ``by_operator``: an operator stopped it, and ends it. ``away``: it does not answer, and is tried again.
    """

    name: str
    side: Side
    paused: bool
    by_operator: bool
    away: bool
    reason: str
    for_s: float


@dataclass(frozen=True, slots=True)
class FieldPause:
    """Whether the changes of a field are held. ``people``, ``values``: what is held of it now."""

    name: str
    paused: bool
    people: int
    values: int
    for_s: float


@dataclass(frozen=True, slots=True)
class OpenHold:
    """What the change guard keeps back of one source; addresses in ``source`` are masked."""

    id: str
    source: str
    kind: HoldKind
    people: int
    values: int
    for_s: float


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was changed, from the journal: when, by which operator, and what in words."""

    at_ms: int
    operator: str
    what: str


@dataclass(frozen=True, slots=True)
class Steering:
    """Everything that an operator steers, at one moment."""

    at_ms: int
    limits: Sequence[LimitSummary]
    alarms: Sequence[str]
    sides: Sequence[SidePause]
    fields: Sequence[FieldPause]
    holds: Sequence[OpenHold]
    writes: str
    changes: Sequence[Change]


def read_steering(store: Store, fields: Collection[str]) -> Steering:
    """Read everything. ``fields``: the configured ones. Raises ``DatabaseUnavailable``."""
    with store.reading() as tx:
        return Steering(
            tx.now_ms,
            summarize_limits(tx),
            [alarm.text for alarm in find_alarms(tx)],
            _list_sides(tx),
            _list_fields(tx, fields),
            _list_holds(tx),
            read_switch(tx),
            _list_changes(tx),
        )


def summarize_limits(tx: Tx) -> list[LimitSummary]:
    """Return every limit that there can be, those that have no value of their own among them."""
    states = {state.limit.scope: state for state in read_limits(tx)}
    others = [scope for scope in states if scope not in VENDOR_ALLOWANCES]
    return [_summarize(scope, states.get(scope)) for scope in (*VENDOR_ALLOWANCES, *others)]


def _summarize(scope: str, state: LimitState | None) -> LimitSummary:
    allowance = VENDOR_ALLOWANCES.get(scope)
    unit, allowed = (allowance.unit, allowance.text) if allowance else (LimitUnit.PER_S, "")
    if state is None:
        return LimitSummary(scope, unit, None, None, None, 0.0, None, "", 0.0, False, allowed)
    limit = state.limit
    return LimitSummary(
        scope,
        unit,
        limit.configured,
        limit.effective,
        limit.filed or None,
        round(state.used, 3),
        state.of if unit is not LimitUnit.PER_S else None,
        explain_limit(limit),
        round(state.lowered_for_s, 1),
        state.is_set_by_operator,
        allowed,
    )


def _list_sides(tx: Tx) -> list[SidePause]:
    """Return both sides, and each operation that is paused by itself."""
    rows = tx.pauses.get_all()
    found = []
    for side in Side:
        row = rows.get(operator_pause(side)) or rows.get(str(side))
        found.append(_describe(tx, str(side), side, row))
    known = {str(side) for side in Side}
    for name, row in sorted(rows.items()):
        if name not in known and not name.startswith(OPERATOR):
            found.append(_describe(tx, name, Side(name.partition(":")[0]), row))
    return found


def _describe(tx: Tx, name: str, side: Side, row: PauseRow | None) -> SidePause:
    if row is None:
        return SidePause(name, side, False, False, False, "", 0.0)
    by_operator = row.name.startswith(OPERATOR)
    return SidePause(name, side, True, by_operator, row.away, row.reason, _age_s(tx, row.since_ms))


def _list_fields(tx: Tx, fields: Collection[str]) -> list[FieldPause]:
    """Return the configured fields, and those that are paused although they are not configured any more."""
    paused = {
        row.source.partition(":")[2]: row
        for row in tx.holds.all()
        if row.kind is HoldKind.FIELD and row.state is HoldState.OPEN
    }
    found = []
    for name in sorted({*fields, *paused}):
        row = paused.get(name)
        people, values = (row.people, row.fields) if row else (0, 0)
        found.append(FieldPause(name, row is not None, people, values, _age_s(tx, row.since_ms) if row else 0.0))
    return found


def _list_holds(tx: Tx) -> list[OpenHold]:
    return [
        OpenHold(row.id, describe_hold(row), row.kind, row.people, row.fields, _age_s(tx, row.since_ms))
        for row in tx.holds.all()
        if row.state is HoldState.OPEN and row.kind is not HoldKind.FIELD
    ]


def _list_changes(tx: Tx) -> list[Change]:
    rows = tx.journal.find(JournalFilter(kinds=CHANGES), NEWEST, MAX_CHANGES)
    return [Change(row.at_ms, str(row.operator) if row.operator else "", _describe_change(row)) for row in rows]


def _describe_change(row: JournalRow) -> str:
    data = row.data
    match row.kind:
        case "limit set":
            scope = str(data.get("scope", ""))
            return f"{scope}: {_show(scope, data.get('from'))} → {_show(scope, data.get('to'))}"
        case "writes":
            return f"writes {data.get('writes', '')}"
        case "paused" | "resumed":
            return f"{data.get('field') or row.side or ''} {row.kind}"
    return f"{row.kind}: {show_source(str(data.get('source', '')))}, {_count_people(data.get('people'))}"


def _show(scope: str, value: object) -> str:
    return format_value(scope, value) if isinstance(value, float | int) else "no limit of its own"


def _count_people(people: object) -> str:
    return "1 person" if people == 1 else f"{people or 0} people"


def _age_s(tx: Tx, at_ms: int) -> float:
    return round(max(0, tx.now_ms - at_ms) / 1000, 1)
