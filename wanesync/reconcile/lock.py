"""Only one comparison at a time: a lock that is renewed while its process lives, and runs out when it does not."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from wanesync.core.errors import DatabaseUnavailable, GuardError
from wanesync.store.database import Store, Tx

NAME = "reconcile_run"
LASTS_MS = 60_000
RENEW_S = 15.0


class AlreadyRunning(GuardError):
    """Another run is under way; later it will not be."""


class RunLock:
    """A context manager; entering raises ``Taken`` while another run holds it. ``name``: this run's own."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Self:
        """Take it, and keep it."""
        self._store.run(self._take)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give it back."""
        self._ended.set()
        self._thread.join()
        self._store.run(self._release)

    def renew(self) -> bool:
        """Make it last from now on; False: it ran out, and another run has it."""
        return self._store.run(self._extend)

    def check(self) -> None:
        """Raises ``GuardError`` if it ran out meanwhile: another run may have begun."""
        if not self.renew():
            raise GuardError("this run was stopped for so long that its lock ended; run it again")

    def _take(self, tx: Tx) -> None:
        before = tx.settings.add(NAME, "")
        holder, until_ms = _read(before)
        if holder and holder != self._name and until_ms > tx.now_ms:
            left_s = (until_ms - tx.now_ms + 999) // 1000
            raise AlreadyRunning(
                "another diff or reconcile is running on this database; wait for it. "
                f"If it was killed, its lock ends by itself in {left_s} s"
            )
        # Of two that found it free, one finds it changed.
        if not tx.settings.swap(NAME, before, self._value(tx)):
            raise AlreadyRunning("another diff or reconcile began at the same moment; wait for it")

    def _extend(self, tx: Tx) -> bool:
        before = tx.settings.get(NAME) or ""
        return _read(before)[0] == self._name and tx.settings.swap(NAME, before, self._value(tx))

    def _release(self, tx: Tx) -> None:
        before = tx.settings.get(NAME) or ""
        if _read(before)[0] == self._name:
            tx.settings.swap(NAME, before, "")

    def _value(self, tx: Tx) -> str:
        return f"{self._name} {tx.now_ms + LASTS_MS}"

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            try:
                self.renew()
            except DatabaseUnavailable:
                continue  # asked again in a moment; four times before it runs out


def _read(value: str) -> tuple[str, int]:
    """Who holds it, "" if nobody does, and until when."""
    holder, _, until = value.partition(" ")
    return holder, int(until or 0)
