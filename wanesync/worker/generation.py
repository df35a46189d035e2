"""The marker outside the database by which a restored or copied database is recognised at once.

The database and a small file hold the same time-ordered id, renewed every minute. A file with a newer id than the
database's means that the database is an older state. At the start of a process a missing file, or an id that was not
renewed for minutes, leaves that open: creations wait for a catch-up (docs/correctness.md#restored-databases).
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.ids import made_ms, make_id
from wanesync.store.database import Store, Tx
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS
from wanesync.store.tables.settings import GENERATION
from wanesync.sync.restored import await_confirmation, suspect
from wanesync.terminal import format_duration

RENEWAL_S = 60.0
"""How old a backup may be at most without being recognised (our choice)."""
PAUSE_MS = 180_000
"""A database that no process renewed for this long may be an older state, whatever the file says (our choice)."""
OLDER = "its state is older than the marker in {path}"

log = structlog.get_logger()


@dataclass(slots=True)
class GenerationMarker:
    """The marker of one database on this machine; ``path`` None: a database in memory has none.

    ``beside``: the file lies beside the database, so that it is missing only where the database was put.
    """

    store: Store
    path: Path | None
    stopping: threading.Event
    beside: bool = False
    _checked: bool = False

    def run(self) -> None:
        """Renew the marker until stopped."""
        while not self.stopping.wait(RENEWAL_S):
            try:
                self.check()
            except DatabaseUnavailable as error:
                log.warning("marker not renewed", reason=str(error))
            except Exception as error:  # noqa: BLE001 - one failed renewal must not end the others
                if not self.stopping.is_set():
                    log.error("marker failed in our own code", error=type(error).__name__)

    def check(self) -> None:
        """Switch creations off if the database is older than the marker; renew both. Raises DatabaseUnavailable."""
        if self.path is None:
            return
        # A clock that was set since the last heartbeat must not stamp the marker.
        self.store.sync_clock()
        outside = self._read()
        doubt = self._find_doubt if not self._checked else None
        newest = self.store.run(lambda tx: _renew(tx, outside, OLDER.format(path=self.path), doubt))
        self._checked = True
        self._write(newest)

    def _find_doubt(self, tx: Tx, inside: str, outside: str) -> str:
        """Return why a database may be an older state when a process starts, "" if it is not."""
        if self.beside and not outside:
            return f"{self.path} is missing"
        # One of the future dates from a wrong clock: nothing is known of it.
        away_ms = tx.now_ms - made_ms(inside)
        return f"no process ran for {format_duration(away_ms)}" if away_ms > PAUSE_MS else ""

    def _read(self) -> str:
        """The id in the file; "" without one, or where it cannot be read."""
        try:
            text = self.path.read_text(encoding="ascii").strip() if self.path else ""
            return text if text and made_ms(text) else ""
        except (OSError, ValueError):
            return ""

    def _write(self, generation: str) -> None:
        path, outside = self.path, self._read()
        # Another process may have renewed it meanwhile; what a wrong clock wrote would raise suspicion once it is over.
        if path is None or (outside >= generation and made_ms(outside) <= made_ms(generation) + CLOCK_TOLERANCE_MS):
            return
        draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            draft.touch(mode=0o600)
            draft.write_text(generation + "\n", encoding="ascii")
            draft.replace(path)
        except OSError as error:
            log.warning("marker not written: a restored database is recognised later", reason=error.strerror)


def _renew(tx: Tx, outside: str, reason: str, doubt: Callable[[Tx, str, str], str] | None) -> str:
    """Return the marker of the database, renewed. Others renew it as well, so it is compared and swapped.

    One that were replaced by an older one would be older than its file at the next renewal.
    """
    fresh = make_id(tx.now_ms, random.SystemRandom())
    found = tx.settings.get(GENERATION)
    inside = tx.settings.add(GENERATION, fresh) if found is None else found
    # A marker of the future dates from a wrong clock.
    believed = bool(outside) and made_ms(outside) <= tx.now_ms + CLOCK_TOLERANCE_MS
    if believed and outside > inside:
        suspect(tx, reason)
    elif found and doubt is not None and (doubted := doubt(tx, found, outside)):
        await_confirmation(tx, doubted)
    future = bool(inside) and made_ms(inside) > tx.now_ms + CLOCK_TOLERANCE_MS
    if (fresh > inside or future) and tx.settings.swap(GENERATION, inside, fresh):
        return fresh
    return tx.settings.get(GENERATION) or fresh
