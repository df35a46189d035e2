"""Commits of webhooks from an event loop: one message to the database at a time, without a thread.

What arrives while a message is under way shares the next one. What does not fit into a message, and what a message
could not store, goes the usual way, in transactions (docs/correctness.md#group-commit).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from wanesync.core.jobs import Priority
from wanesync.core.model import Event
from wanesync.store.database import KEYS_CHECK_S, Store
from wanesync.sync.group_commit import MAX_SHARED_WEIGHT

if TYPE_CHECKING:
    from wanesync.core.change_guard import BulkSources
    from wanesync.store.event_line import EventLine
    from wanesync.store.session import Row

OVERDUE_S = 0.1
"""Nothing waits behind a message that has taken so long: it waits for a lock (our choice)."""
REOPEN_S = 1.0
"""Pause between two connections that could not be opened, or did not last (our choice)."""

_T = TypeVar("_T")
log = structlog.get_logger()


@dataclass(slots=True)
class LoopCommit(Generic[_T]):
    """Stores items over one connection; all of it runs in the event loop, but the opening of the connection.

    ``find_events``: the events of an item. ``fall_back``: stores items the usual way; at once it returns. ``end``:
    takes items that are stored, with the keys of the new events. ``pass_point``: failpoints.
    """

    store: Store
    loop: asyncio.AbstractEventLoop
    bulk_sources: BulkSources
    find_events: Callable[[_T], Sequence[Event]]
    fall_back: Callable[[Sequence[_T]], None]
    end: Callable[[Sequence[_T], set[str]], None]
    pass_point: Callable[[str], None]
    _line: EventLine | None = None
    _opens: bool = False
    _opened_s: float = float("-inf")
    _queue: list[_T] = field(default_factory=list)
    _sent: list[_T] = field(default_factory=list)
    _sent_s: float = 0.0
    _take: Callable[[EventLine, Sequence[Row]], None] | None = None

    def put(self, items: Sequence[_T]) -> None:
        """Have items stored; returns at once."""
        if self._line is None:
            self._open()
            self.fall_back(items)
            return
        self._queue += items
        if not self._sent:
            self._send_next()
        elif self.loop.time() - self._sent_s > OVERDUE_S:
            waiting, self._queue = self._queue, []
            self.fall_back(waiting)

    # -- the connection

    def _open(self) -> None:
        if not self._opens and self.loop.time() - self._opened_s >= REOPEN_S:
            self._opens, self._opened_s = True, self.loop.time()
            opening = self.loop.run_in_executor(None, self.store.open_event_line)
            opening.add_done_callback(self._take_line)

    def _take_line(self, opening: asyncio.Future[EventLine | None]) -> None:
        self._opens = False
        if opening.cancelled():
            return
        error = opening.exception()
        if error is not None:
            log.warning("no connection for messages", error=type(error).__name__)
            return
        self._line = opening.result()
        if self._line is None:
            # Behind a pooler there never is one.
            self._opened_s = float("inf")
        else:
            self.loop.add_reader(self._line.fileno(), self._receive)

    def _drop_line(self) -> None:
        if self._line is not None:
            self.loop.remove_reader(self._line.fileno())
            self.loop.remove_writer(self._line.fileno())
            self._line.close()
            self._line = None

    # -- one message after the other

    def _send_next(self) -> None:
        """Send what waits."""
        if not self._queue or self._line is None:
            return
        count, weight = 0, 0
        for item in self._queue:
            weight += len(self.find_events(item))
            if count and weight > MAX_SHARED_WEIGHT:
                break
            count += 1
        self._sent, self._queue = self._queue[:count], self._queue[count:]
        self._sent_s = self.loop.time()
        if self.store.keys_age_s > KEYS_CHECK_S:
            checking = self.loop.run_in_executor(None, self.store.refresh_keys)
            checking.add_done_callback(self._take_check)
        else:
            self._attempt(self._begin)

    def _take_check(self, checking: asyncio.Future[None]) -> None:
        if not self._sent:
            return
        if checking.cancelled() or checking.exception() is not None:
            self._fail()
        else:
            self._attempt(self._begin)

    def _attempt(self, step: Callable[[EventLine], None]) -> None:
        try:
            if self._line is None:
                self._fail()
            else:
                step(self._line)
        except Exception as error:  # noqa: BLE001 - whatever it is, transactions find out, and answer
            log.info("a message is repeated as a transaction", error=type(error).__name__)
            self._fail()

    def _begin(self, line: EventLine) -> None:
        """Count what each source changed, together with the other doors where that is due, then send the events."""
        records: dict[str, set[str]] = defaultdict(set)
        for item in self._sent:
            for event in self.find_events(item):
                records[_name_source(event)].add(event.record_id)
        now_ms = self.store.now_ms()
        bulk = {name for name, ids in records.items() if self.bulk_sources.note(name, len(ids), now_ms)}
        unshared = self.bulk_sources.take_unshared(records)
        if not unshared:
            self._send_events(line, bulk)
            return
        names = {self.store.row_hash(name): name for name in unshared}

        def take_counts(line: EventLine, rows: Sequence[Row]) -> None:
            shared = {names[one]: int(number) for one, number in rows}
            found = {name for name, number in shared.items() if self.bulk_sources.note_shared(name, number, now_ms)}
            self._send_events(line, bulk | found)

        self._take = take_counts
        self._await(line, is_left=line.send_counts(self.store.context, unshared, self.bulk_sources.window_ms))

    def _send_events(self, line: EventLine, bulk: set[str]) -> None:
        events = [
            (event, Priority.LIVE_BULK if bulk and _name_source(event) in bulk else Priority.LIVE)
            for item in self._sent
            for event in self.find_events(item)
        ]
        self.pass_point("intake.before")
        self._take = self._take_stored
        self._await(line, is_left=line.send_events(self.store.context, events, self.store.check_keys_lease))

    def _take_stored(self, line: EventLine, rows: Sequence[Row]) -> None:
        new = line.find_new(rows)
        self.pass_point("intake.after")
        ended, self._sent = self._sent, []
        # The database works while these are answered.
        self._send_next()
        self.end(ended, new)

    def _await(self, line: EventLine, *, is_left: bool) -> None:
        if is_left:
            self.loop.add_writer(line.fileno(), partial(self._attempt, self._flush))

    def _flush(self, line: EventLine) -> None:
        if not line.flush():
            self.loop.remove_writer(line.fileno())

    def _receive(self) -> None:
        """Take what arrived."""
        self._attempt(self._take_answer)

    def _take_answer(self, line: EventLine) -> None:
        rows, take = line.receive(), self._take
        if rows is not None and take is not None:
            self._take = None
            take(line, rows)

    def _fail(self) -> None:
        """Have everything stored the usual way."""
        self._take = None
        if self._line is not None and not self._line.is_usable:
            self._drop_line()
        failed, self._sent, self._queue = [*self._sent, *self._queue], [], []
        if failed:
            self.fall_back(failed)


def _name_source(event: Event) -> str:
    return f"{event.side}:{event.source}"
