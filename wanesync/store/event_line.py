"""Events of webhooks that are stored in one message to the database, for an event loop that may not wait.

The message is a whole transaction: it looks at the field map, stores the events, queues a read of the record that each
new one names, closes dead letters of the same records and wakes those who wait for work (docs/correctness.md#web-door).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NoReturn, Protocol

from wanesync.core.errors import FieldMapChanged, WanesyncError
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Event
from wanesync.store.queries import Dialect, Parameters, Query, load_queries
from wanesync.store.session import Row, Session, SessionContext
from wanesync.store.tables.events import Events
from wanesync.store.tables.jobs import Jobs

STORE_EVENTS = "store_events"
"""The statement of such a message; its parameters: arrays of ``event_…`` and ``job_…``, ``map`` and ``now``."""
SHARE_COUNTS = "share_counts"
"""Adds the counts of some sources and returns those of all doors: ``id source at_ms records``, ``since_ms``."""

MAX_MESSAGE_S = 1.5
"""How long a message may take until the database refuses it (our choice)."""


class Line(Protocol):
    """A connection to the database whose statements are sent without a wait, one after the other."""

    def fileno(self) -> int:
        """The file that is readable when an answer may have come, open until ``close``."""
        ...

    def send(self, statement: str, values: Mapping[str, object]) -> bool:
        """Send a statement, whose answer must be taken before the next one; whether a part of it is left."""
        ...

    def flush(self) -> bool:
        """Send what is left; whether a part still is."""
        ...

    def receive(self) -> list[Row] | None:
        """Return the rows of the answer, None while it is not there. Raises what a session raises."""
        ...

    @property
    def is_usable(self) -> bool:
        """Whether another statement can be sent after an error."""
        ...

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        ...


class Draft(Session):
    """What a table needs to make its rows, without a transaction."""

    def __init__(self, context: SessionContext) -> None:
        super().__init__(load_queries(Dialect.POSTGRES), _refuse, context, writing=True)

    def execute_each(self, query: Query, batch: Sequence[Parameters]) -> list[Row]:
        """Raises WanesyncError."""
        _refuse(query.name, batch)

    def translate(self, error: BaseException) -> BaseException:
        """The error as it is."""
        return error


def _refuse(name: str, *_: object, **__: object) -> NoReturn:
    raise WanesyncError(f"a draft of a message executes nothing ({name})")


class EventLine:
    """Stores events over a line; used in one thread."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._sent: set[str] = set()
        self.fileno = line.fileno
        self.flush = line.flush
        self.receive = line.receive
        self.close = line.close

    @property
    def is_usable(self) -> bool:
        """Whether another message can be sent after an error."""
        return self._line.is_usable

    def send_events(
        self, context: SessionContext, events: Sequence[tuple[Event, Priority]], check: Callable[[], None]
    ) -> bool:
        """Send events, each with the priority of its read; whether a part of the message is left (``flush``).

        ``check`` is called when they are encrypted. Raises DatabaseRefused, and what the database's driver raises, for
        what cannot be stored.
        """
        draft = Draft(context)
        rows = [Events(draft).as_row(event) for event, _ in events]
        self._sent = {str(row["key"]) for row in rows}
        values = _as_columns("event_", rows)
        requests = [JobRequest(one.side, JobKind.READ, one.record_id, priority) for one, priority in events]
        jobs = [Jobs(draft).as_row(request) for request in requests]
        values |= _as_columns("job_", jobs) | {"cause": [row["key"] for row in rows]}
        generation = context.generations.generation
        values |= {"map": str(generation) if generation else "", "now": draft.now_ms}
        check()
        return self._line.send(STORE_EVENTS, values)

    def find_new(self, rows: Sequence[Row]) -> set[str]:
        """Return the keys of the events that were new, by the answer. Raises FieldMapChanged: nothing was stored."""
        (is_ours, number, keys, _), *_ = rows
        if not int(is_ours):
            raise FieldMapChanged
        return set(self._sent) if int(number) == len(self._sent) else set((keys or "").split(",")) - {""}

    def send_counts(self, context: SessionContext, records: Mapping[str, int], window_ms: int) -> bool:
        """Send how many records each source changed, to be added to those of all doors."""
        draft = Draft(context)
        hashes = {draft.encryption.row_hash(source): number for source, number in records.items()}
        return self._line.send(
            SHARE_COUNTS,
            {
                "id": [draft.make_id() for _ in hashes],
                "source": [*hashes],
                "at_ms": [draft.now_ms] * len(hashes),
                "records": [*hashes.values()],
                "since_ms": draft.now_ms - window_ms,
            },
        )


def _as_columns(prefix: str, rows: Sequence[Parameters]) -> dict[str, object]:
    columns = zip(*[row.values() for row in rows], strict=True)
    return dict(zip(_prefix_names(prefix, tuple(rows[0]) if rows else ()), map(list, columns), strict=True))


@lru_cache(maxsize=4)
def _prefix_names(prefix: str, names: Sequence[str]) -> list[str]:
    return [prefix + name for name in names]
