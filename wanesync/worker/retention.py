"""Retention: deletes what is older than its retention, in short transactions with pauses, daily beside a worker."""

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
from wanesync.sync.erasure import sweep
from wanesync.sync.writes.recovery import queue_forgotten

PRUNED_ON = "pruned_on"
LOG_LINES = "log lines"
TRANSACTION_TARGET_MS = 25
"""How long one transaction should last: webhooks and workers wait for it on SQLite."""
PAUSE_FACTOR = 2
"""A pause lasts so many times as long as the transaction before it: live work goes first."""
MAX_PAUSE_MS = 10_000
"""A process that was stopped during a transaction does not pause for as long as that."""
FIRST_ROWS, MIN_ROWS, MAX_ROWS = 100, 20, 5_000
"""Rows of one transaction: of the first one, and the bounds between which the number follows the time it took."""
FIRST_ROUND_S, POLL_INTERVAL_S = 60.0, 600.0
"""When the first round begins after the start, and how often it is checked whether the day's round is due."""

log = structlog.get_logger()

Counts = dict[str, int]
Progress = Callable[[str, int], None]


class _RolledBack(Exception):
    """Ends the savepoint of a dry run."""


def _ignore(_name: str, _rows: int) -> None:
    """Show no progress."""


@dataclass(slots=True)
class RetentionTask:
    """Deletes what is older than its retention: transactions of about 25 ms, then pauses of twice as long."""

    store: Store
    keep: RetentionPolicy
    clock: Clock = field(default_factory=DatabaseClock)
    stopping: threading.Event = field(default_factory=threading.Event)
    max_log_lines: int | None = None
    """The newest log lines that are kept (``[log] store_lines``); None: as many as their age allows."""

    def prune(self, *, dry: bool = False, progress: Progress = _ignore) -> Counts:
        """Delete everything that is too old; return the number of rows by kind. Raises ``DatabaseUnavailable``.

        ``dry``: each transaction is rolled back. ``progress`` is called with a kind and a number of rows.
        """
        with self.store.reading() as tx:
            rules = tx.retention.rules(self.keep)
        deleted: Counts = dict.fromkeys((rule.name for rule in rules), 0)
        for rule in rules:
            for rows in self._delete(rule, dry=dry):
                deleted[rule.name] += rows
                progress(rule.name, rows)
        if not dry and any(deleted.values()):
            self.store.run(lambda tx: tx.journal.add("pruned", None, "", "", deleted))
        return deleted

    def _delete(self, rule: RetentionRule, *, dry: bool) -> Iterator[int]:
        """Delete what one rule covers, one transaction at a time; yields the number of rows of each."""
        after: int | str | None = rule.after
        rows = FIRST_ROWS
        while after is not None and not self.stopping.is_set():
            began_ms = self.clock.monotonic_ms()
            count, after = self.store.run(lambda tx, a=after, r=rows: _delete_rows(tx, rule, a, r, dry=dry))  # type: ignore[misc] # binds the loop's values
            took_ms = max(1, self.clock.monotonic_ms() - began_ms)
            rows = max(MIN_ROWS, min(MAX_ROWS, rows * 2, rows * TRANSACTION_TARGET_MS // took_ms))
            yield count
            if after is not None:
                self.clock.sleep_until(self.clock.monotonic_ms() + min(PAUSE_FACTOR * took_ms, MAX_PAUSE_MS))

    # -- once a day

    def run(self) -> None:
        """Run once a day until stopped; of several processes one does it. A failed round is repeated the next day."""
        wait_s = FIRST_ROUND_S
        while not self.stopping.wait(wait_s):
            wait_s = POLL_INTERVAL_S
            try:
                self.run_if_due()
                self.trim_log_lines()
            except DatabaseUnavailable as error:
                log.warning("retention failed", reason=str(error))
            except Exception as error:  # noqa: BLE001 - one failed round must not end retention for good
                # At the end of the program the database is closed while a round may still run.
                if not self.stopping.is_set():
                    log.error("retention failed in our own code", error=type(error).__name__)

    def run_if_due(self) -> Counts | None:
        """Delete what is too old unless a process did so today (UTC); None if one did."""
        if not self.store.run(_claim_day):
            return None
        self.store.run(sweep)
        while self.store.run(queue_forgotten) and not self.stopping.is_set():
            log.warning("writes without a job were queued")
        deleted = self.prune()
        log.info("pruned", **{name.replace(" ", "_"): count for name, count in deleted.items()})
        return deleted

    def trim_log_lines(self) -> int:
        """Delete the oldest log lines that are more than are kept; return their number. Cheap without any."""
        if self.max_log_lines is None:
            return 0
        kept = self.max_log_lines
        excess_ms = self.store.read(lambda tx: tx.log_lines.find_excess_ms(kept))
        if excess_ms is None:
            return 0
        return sum(
            self._delete(RetentionRule(LOG_LINES, "log_lines_bound", "drop_log_lines", excess_ms + 1), dry=False)
        )


def _claim_day(tx: Tx) -> bool:
    today = datetime.fromtimestamp(tx.now_ms / 1000, UTC).date().isoformat()
    last = tx.settings.add(PRUNED_ON, "never")
    return last != today and tx.settings.swap(PRUNED_ON, last, today)


def _delete_rows(
    tx: Tx, rule: RetentionRule, after: int | str, rows: int, *, dry: bool
) -> tuple[int, int | str | None]:
    """Delete up to ``rows`` rows of one rule; return their number and where to go on, None at the end."""
    result: list[tuple[int, int | str | None]] = []
    try:
        with tx.savepoint():
            result.append(tx.retention.apply(rule, after, rows))
            if dry:
                raise _RolledBack
    except _RolledBack:
        pass
    return result[0]
