"""Only one comparison at a time: a lock that is renewed while its process lives, and runs out when it does not."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from wanesync.core.errors import GuardError, StoreDown
from wanesync.store.store import Store, Tx

NAME = "reconcile_run"
LASTS_MS = 60_000
RENEW_S = 15.0


class RunLock:
    """A context manager; entering raises ``GuardError`` while another run holds it. ``name``: this run's own."""

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

    def _take(self, tx: Tx) -> None:
        holder, until_ms = self._read(tx)
        if holder and holder != self._name and until_ms > tx.now_ms:
            left_s = (until_ms - tx.now_ms + 999) // 1000
            raise GuardError(
                "another diff or reconcile is running on this database; wait for it. "
                f"If it was killed, its lock ends by itself in {left_s} s"
            )
        tx.settings.put(NAME, self._value(tx))

    def _extend(self, tx: Tx) -> bool:
        holder, _ = self._read(tx)
        if holder == self._name:
            tx.settings.put(NAME, self._value(tx))
        return holder == self._name

    def _release(self, tx: Tx) -> None:
        if self._read(tx)[0] == self._name:
            tx.settings.put(NAME, "")

    def _read(self, tx: Tx) -> tuple[str, int]:
        holder, _, until = (tx.settings.get(NAME) or "").partition(" ")
        return holder, int(until or 0)

    def _value(self, tx: Tx) -> str:
        return f"{self._name} {tx.now_ms + LASTS_MS}"

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            try:
                self.renew()
            except StoreDown:
                continue  # asked again in a moment; four times before it runs out
