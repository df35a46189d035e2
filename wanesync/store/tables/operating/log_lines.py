"""Log lines that the database keeps, where ``[log] store`` is on. They were masked before; their data is encrypted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from wanesync.core.ids import bound, make_id
from wanesync.store.codec import JSON, pack, unpack_object
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table

LEVELS: Mapping[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""Name of a level -> its number, as Python's ``logging`` has them."""
LEVEL_NAMES = {number: name for name, number in LEVELS.items()}


@dataclass(frozen=True, slots=True)
class Position:
    """A place in rows ordered by time, newest first: rows before it in time, or of its time with a lower number."""

    at_ms: int
    seq: int = 2**31 - 1
    id: str = "~"

    def as_parameters(self) -> dict[str, Value]:
        """Return the parameters of a query for the rows before it."""
        return {"at_ms": self.at_ms, "seq": self.seq, "id": self.id}


NEWEST = Position(2**62)
"""Before every row."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A log line. ``seq``: its number among those of its process, by which lines of one ms stay in order.

    ``record_id``: the record, link or payment it is about; ``correlation_id``: the id of the trace, vendor request or
    run it belongs to; "" without one. ``data``: all other keys of the line, serialisable as JSON.
    """

    at_ms: int
    seq: int
    level: str
    event: str
    logger: str
    process: str
    side: str
    record_id: str
    correlation_id: str
    data: Mapping[str, JSON]
    id: str = ""

    @property
    def position(self) -> Position:
        """The place behind which older lines follow."""
        return Position(self.at_ms, self.seq, self.id)


@dataclass(frozen=True, slots=True)
class LogLineFilter:
    """Which lines are wanted: "" and () for any. ``level``: this one and higher; ``record_ids``: of any of these."""

    since_ms: int = 0
    level: str = ""
    event: str = ""
    correlation_id: str = ""
    record_ids: tuple[str, ...] = ()


class LogLines(Table):
    """The table ``log_lines``."""

    __slots__ = ()

    def add(self, lines: Collection[LogLine]) -> None:
        """Store lines."""
        session = self._session
        batch: list[dict[str, Value]] = []
        for line in lines:
            row_id = make_id(line.at_ms, session.rng)
            batch.append(
                {
                    "id": row_id,
                    "at_ms": line.at_ms,
                    "seq": line.seq,
                    "level": LEVELS.get(line.level, 20),
                    "event": bound(line.event),
                    "logger": bound(line.logger),
                    "process": bound(line.process),
                    "side": bound(line.side),
                    "record_id": bound(line.record_id),
                    "correlation_id": bound(line.correlation_id),
                    "data": session.encryption.encrypt(pack(dict(line.data)), "log_lines", row_id, "data"),
                }
            )
        session.each("add_log_line", batch)

    def find(self, wanted: LogLineFilter, before: Position, limit: int) -> list[LogLine]:
        """Return up to ``limit`` lines before a place, the newest first."""
        values: dict[str, Value] = {
            "since_ms": wanted.since_ms,
            "least": LEVELS.get(wanted.level, 0),
            "event": wanted.event,
            "correlation_id": wanted.correlation_id,
            "limit": limit,
            **before.as_parameters(),
        }
        rows = self._find_rows(wanted, values)
        # Rows of several queries: each has its newest ones.
        rows.sort(key=lambda row: (row[1], row[2], row[0]), reverse=True)
        return [self._line(row) for row in rows[:limit]]

    def _find_rows(self, wanted: LogLineFilter, values: dict[str, Value]) -> list[Row]:
        session = self._session
        if wanted.record_ids:
            return session.rows("log_lines_of_records", refs=wanted.record_ids, **values)
        if wanted.correlation_id:
            return session.rows("log_lines_of_correlation", **values)
        if wanted.event:
            return session.rows("log_lines_of_event", **values)
        if LEVELS.get(wanted.level, 0) > LEVELS["info"]:
            least = LEVELS[wanted.level]
            levels = [number for number in LEVEL_NAMES if number >= least]
            return [row for level in levels for row in session.rows("log_lines_of_level", level=level, **values)]
        return session.rows("log_lines_page", **values)

    def any(self) -> bool:
        """Return whether there is a line."""
        return self.find_excess_ms(0) is not None

    def find_excess_ms(self, kept: int) -> int | None:
        """Return the time of the newest line that is too much when ``kept`` are kept; None: there are not so many."""
        found = self._session.row("log_lines_excess", kept=kept)
        return None if found is None else int(found[0])

    def _line(self, row: Row) -> LogLine:
        row_id, at_ms, seq, level, event, logger, process, side, record_id, correlation_id, blob = row
        data = unpack_object(self._session.encryption.decrypt(blob, "log_lines", row_id, "data"))
        name = LEVEL_NAMES.get(level, str(level))
        return LogLine(at_ms, seq, name, event, logger, process, side, record_id, correlation_id, data, row_id)
