"""Upkeep: what is older than its retention goes, in short transactions with rests between, once a day by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from wanesync.core.errors import DatabaseUnavailable
from wanesync.store.clock import Clock, DatabaseClock
from wanesync.store.database import Store, Tx
from wanesync.store.tables.retention import RetentionPolicy, RetentionRule

PRUNED_ON = "pruned_on"
STRETCH_MS = 25
REST = 2
REST_MOST_MS = 10_000
LEAST_ROWS, MOST_ROWS = 20, 5_000
AT_FIRST_S, LOOK_S = 60.0, 600.0

log = structlog.get_logger()

Counts = dict[str, int]
Progress = Callable[[str, int], None]


class _TakenBack(Exception):
    """Ends a dry run's savepoint."""


def _ignore(_name: str, _rows: int) -> None:
    """No progress is shown."""


@dataclass(slots=True)
class RetentionTask:
    """Clears what is too old. Live work goes first: a stretch takes about 25 ms, then twice as long is rested."""

    store: Store
    keep: RetentionPolicy
    clock: Clock = field(default_factory=DatabaseClock)
    stopping: threading.Event = field(default_factory=threading.Event)

    def prune(self, *, dry: bool = False, progress: Progress = _ignore) -> Counts:
        """Everything that is too old: how many of each went. ``dry``: each stretch is taken back. Raises DatabaseUnavailable."""
        with self.store.reading() as tx:
            shelves = tx.retention.rules(self.keep)
        gone: Counts = dict.fromkeys((shelf.name for shelf in shelves), 0)
        for shelf in shelves:
            for rows in self._clear(shelf, dry=dry):
                gone[shelf.name] += rows
                progress(shelf.name, rows)
        if not dry and any(gone.values()):
            self.store.run(lambda tx: tx.journal.add("pruned", None, "", "", gone))
        return gone

    def _clear(self, shelf: RetentionRule, *, dry: bool) -> Iterator[int]:
        """Stretch by stretch: how many rows went in each."""
        after: int | str | None = shelf.after
        rows = 100
        while after is not None and not self.stopping.is_set():
            began_ms = self.clock.now_ms()
            count, after = self.store.run(lambda tx, a=after, r=rows: _step(tx, shelf, a, r, dry=dry))  # type: ignore[misc] # binds the loop's values
            took_ms = max(1, self.clock.now_ms() - began_ms)
            rows = max(LEAST_ROWS, min(MOST_ROWS, rows * 2, rows * STRETCH_MS // took_ms))
            yield count
            if after is not None:
                # A clock that was set forward meanwhile makes a stretch look long.
                self.clock.sleep_until(self.clock.now_ms() + min(REST * took_ms, REST_MOST_MS))

    # -- by itself

    def run(self) -> None:
        """Once a day, until told to stop; of several processes one does it. Trouble is logged and tried next day."""
        wait_s = AT_FIRST_S
        while not self.stopping.wait(wait_s):
            wait_s = LOOK_S
            try:
                self.turn()
            except DatabaseUnavailable as error:
                log.warning("upkeep did not work", reason=str(error))
            except Exception as error:  # noqa: BLE001 - one bad day must not end upkeep for good
                # Where the program ends under its feet, the database is closed already.
                if not self.stopping.is_set():
                    log.error("upkeep failed", error=type(error).__name__)

    def turn(self) -> Counts | None:
        """Prunes if nobody has today (UTC); None if somebody has."""
        if not self.store.run(_take_day):
            return None
        gone = self.prune()
        log.info("pruned", **{name.replace(" ", "_"): count for name, count in gone.items()})
        return gone


def _take_day(tx: Tx) -> bool:
    today = datetime.fromtimestamp(tx.now_ms / 1000, UTC).date().isoformat()
    last = tx.settings.add(PRUNED_ON, "never")
    return last != today and tx.settings.swap(PRUNED_ON, last, today)


def _step(tx: Tx, shelf: RetentionRule, after: int | str, rows: int, *, dry: bool) -> tuple[int, int | str | None]:
    cleared: list[tuple[int, int | str | None]] = []
    try:
        with tx.savepoint():
            cleared.append(tx.retention.apply(shelf, after, rows))
            if dry:
                raise _TakenBack
    except _TakenBack:
        pass
    return cleared[0]
