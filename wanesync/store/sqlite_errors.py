"""SQLite's errors as ours."""

from __future__ import annotations

import sqlite3

from wanesync.core.errors import DatabaseUnavailable
from wanesync.store.session import ConstraintViolated

_TROUBLES = {
    sqlite3.SQLITE_BUSY: "is busy: another process holds its lock; try again",
    sqlite3.SQLITE_LOCKED: "is busy: another connection holds its lock; try again",
    sqlite3.SQLITE_NOMEM: "ran out of memory",
    sqlite3.SQLITE_READONLY: "cannot be written: check its owner, its folder and the disk",
    sqlite3.SQLITE_IOERR: "cannot be read or written: check the disk",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore it from a backup",
    sqlite3.SQLITE_FULL: "is on a full disk: make room",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check its folder and its owner",
    sqlite3.SQLITE_PROTOCOL: "is busy: its lock cannot be had; try again",
    sqlite3.SQLITE_NOTADB: "is no SQLite database: check the key database",
}


def translate(error: sqlite3.Error, label: str) -> Exception:
    """Our error for one of SQLite's, without the statement and its values; a mistake of ours stays as it is."""
    if isinstance(error, sqlite3.IntegrityError):
        return ConstraintViolated(str(error).rpartition(": ")[2])
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return DatabaseUnavailable(f"the database {label} is closed: this process is ending")
    trouble = _TROUBLES.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF)
    return DatabaseUnavailable(f"the database {label} {trouble}") if trouble else error
