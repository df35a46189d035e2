"""SQLite's write-ahead log: its lock, and moving it into the file in the background (sqlite.org/wal.html)."""

from __future__ import annotations

import sqlite3
import time

LONG_PAGES = 16_000
"""64 MB: where no worker tidies up, whoever commits moves the log itself once it is so long."""
SHORT_PAGES = 4_000
"""16 MB: from here on the log should begin anew."""
_AGAIN_S = 0.02
_SOON_S = 0.002
_IN_A_ROW = 5


class Turns:
    """Lets other processes in: the threads of one that write at once hand the lock on faster than others can ask."""

    def __init__(self) -> None:
        self._ended_s, self._in_a_row = 0.0, 0

    def give_way(self) -> None:
        """Before each writing transaction of this process, by whoever has its turn."""
        rested = time.monotonic() - self._ended_s > _SOON_S
        self._in_a_row = 0 if rested else self._in_a_row + 1
        if self._in_a_row >= _IN_A_ROW:
            time.sleep(2 * _SOON_S)
            self._in_a_row = 0

    def end(self) -> None:
        """The transaction is over."""
        self._ended_s = time.monotonic()


def begin(connection: sqlite3.Connection, patience_ms: int, *, writing: bool) -> None:
    """A transaction; one that writes has the lock of the file at once. Raises sqlite3.OperationalError.

    Asked every 2 ms: SQLite itself waits longer each time, and a lock that was free again is taken by others meanwhile.
    """
    _ask(connection, "BEGIN IMMEDIATE" if writing else "BEGIN", patience_ms, _SOON_S)


def turn_wal_on(connection: sqlite3.Connection, patience_ms: int) -> None:
    """Once for the life of the file. SQLite does not wait here for another process that does the same."""
    _ask(connection, "PRAGMA journal_mode = WAL", patience_ms, _AGAIN_S)


def _ask(connection: sqlite3.Connection, text: str, patience_ms: int, pause_s: float) -> None:
    deadline = time.monotonic() + patience_ms / 1000
    while True:
        try:
            connection.execute(text)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(pause_s)
        else:
            return


def move_log(connection: sqlite3.Connection) -> bool:
    """Copies what is committed from the log into the file while others write; False: the log should begin anew."""
    _busy, pages, _moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(pages < SHORT_PAGES)


def restart_log(connection: sqlite3.Connection, patience_ms: int) -> bool:
    """The rest is copied and the log begins anew, unless somebody still reads the old one: False.

    Writers wait meanwhile, so it never waits for readers. ``patience_ms``: the connection's, for everything else.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        busy, _pages, _moved = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        return not busy
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
