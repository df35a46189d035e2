"""SQLite's write-ahead log: switching it on, and copying it into the file in the background (sqlite.org/wal.html)."""

from __future__ import annotations

import sqlite3
import time

AUTO_CHECKPOINT_PAGES = 16_000
"""64 MB of 4 KiB pages: without a worker that checkpoints, the commit that reaches it copies the log itself."""
RESTART_PAGES = 4_000
"""16 MB of 4 KiB pages: from this length on, a checkpoint also restarts the log."""
_WAL_MODE_RETRY_S = 0.02  # rare: once in the life of a file


def execute_when_free(connection: sqlite3.Connection, text: str, timeout_ms: int, retry_s: float) -> None:
    """Runs a statement that needs a lock, again every ``retry_s`` until the time-out.

    Raises sqlite3.OperationalError (SQLITE_BUSY) when the lock was not free in time.
    """
    deadline_s = time.monotonic() + timeout_ms / 1000
    while True:
        try:
            connection.execute(text)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                raise
            time.sleep(retry_s)
        else:
            return


def enable_wal(connection: sqlite3.Connection, timeout_ms: int) -> None:
    """Switches the file to WAL, once in its life. SQLite's busy time-out does not apply to this statement."""
    execute_when_free(connection, "PRAGMA journal_mode = WAL", timeout_ms, _WAL_MODE_RETRY_S)


def checkpoint_passive(connection: sqlite3.Connection) -> bool:
    """Copies committed pages from the log into the file while others write; False: the log is due for a restart."""
    _busy, pages, _moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(pages < RESTART_PAGES)


def restart_log(connection: sqlite3.Connection, timeout_ms: int) -> bool:
    """Copies the rest and restarts the log; False if a reader still uses the old one.

    Writers wait meanwhile, so it does not wait for readers. ``timeout_ms``: the connection's busy time-out, set again
    afterwards.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        busy, _pages, _moved = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        return not busy
    finally:
        connection.execute(f"PRAGMA busy_timeout = {timeout_ms}")
