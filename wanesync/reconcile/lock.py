"""The run lock: one comparison at a time. It is renewed while its process runs, and expires afterwards."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from wanesync.core.errors import DatabaseUnavailable, GuardError
from wanesync.store.database import Store, Tx
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS

RUN_LOCK = "reconcile_run"
"""The setting that holds the lock: the holder's name and the time it expires, ms."""
LOCK_MS = 60_000
"""How long a lock lasts without renewal; our choice: after a kill the next run waits at most a minute."""
RENEWAL_S = 15.0
"""How often it is renewed: three renewals in a row may fail before it expires."""


class AlreadyRunning(GuardError):
    """Another run holds the lock; a later attempt can succeed."""


class RunLock:
    """A context manager; entering raises ``AlreadyRunning`` while another run holds the lock. ``name``: this holder."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_ended, daemon=True)

    def __enter__(self) -> Self:
        """Take the lock, and renew it from a thread."""
        self._store.run(self._take)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Release the lock."""
        self._ended.set()
        self._thread.join()
        self._store.run(self._release)

    def renew(self) -> bool:
        """Extend the lock from now; False: it expired and another run holds it."""
        return self._store.run(self._extend)

    def check(self) -> None:
        """Raises ``GuardError`` if the lock expired meanwhile: another run may have begun."""
        if not self.renew():
            raise GuardError("this run was stopped for so long that its lock ended; run it again")

    def _take(self, tx: Tx) -> None:
        before = tx.settings.add(RUN_LOCK, "")
        holder, until_ms = _parse(before)
        latest_ms = tx.now_ms + LOCK_MS + CLOCK_TOLERANCE_MS
        if holder and holder != self._name and tx.now_ms < until_ms <= latest_ms:
            left_s = (until_ms - tx.now_ms + 999) // 1000
            raise AlreadyRunning(
                "another diff or reconcile is running on this database; wait for it. "
                f"If it was killed, its lock ends by itself in {left_s} s"
            )
        # Of two processes that found it free, one finds the value changed.
        if not tx.settings.swap(RUN_LOCK, before, self._make_value(tx)):
            raise AlreadyRunning("another diff or reconcile began at the same moment; wait for it")

    def _extend(self, tx: Tx) -> bool:
        before = tx.settings.get(RUN_LOCK) or ""
        return _parse(before)[0] == self._name and tx.settings.swap(RUN_LOCK, before, self._make_value(tx))

    def _release(self, tx: Tx) -> None:
        before = tx.settings.get(RUN_LOCK) or ""
        if _parse(before)[0] == self._name:
            tx.settings.swap(RUN_LOCK, before, "")

    def _make_value(self, tx: Tx) -> str:
        return f"{self._name} {tx.now_ms + LOCK_MS}"

    def _renew_until_ended(self) -> None:
        while not self._ended.wait(RENEWAL_S):
            try:
                self.renew()
            except DatabaseUnavailable:
                continue  # the next renewal may succeed


def _parse(value: str) -> tuple[str, int]:
    """The holder, "" if the lock is free, and the time it expires, ms."""
    holder, _, until = value.partition(" ")
    return holder, int(until or 0)
