"""The snapshots of simulated runs: in memory, emptied and lent again, so that no run pays for a schema of its own."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from importlib.resources import files

from wanesync.reconcile.snapshot.file import Snapshot
from wanesync.store.encryption import Encryption

UNSAFE_SETTINGS = "PRAGMA secure_delete = OFF"
"""What is deleted in memory need not be overwritten."""
SCHEMA = files("wanesync.reconcile.snapshot").joinpath("snapshot.sql")
TABLES = tuple(re.findall(r"CREATE TABLE (\w+)", SCHEMA.read_text()))

_spare: list[sqlite3.Connection] = []
_closed = sqlite3.connect(":memory:")
_closed.close()


class SimSnapshot(Snapshot):
    """As every snapshot; once it is closed it refuses to work, while its connection serves the next one."""

    @classmethod
    def _begin(cls, path: str, encryption: Encryption, identity: Mapping[str, str]) -> Snapshot:
        if not _spare:
            made = super()._begin(path, encryption, identity)
            made._db.execute(UNSAFE_SETTINGS)
            return made
        made = cls.__new__(cls)
        made.path, made._encryption, made._db = path, encryption, _spare.pop()
        made.put_metadata(identity)
        return made

    def close(self) -> None:
        """Give the connection back."""
        connection, self._db = self._db, _closed
        if connection is not _closed:
            _wipe(connection)
            _spare.append(connection)

    def erase(self) -> None:
        """There is no file to overwrite."""
        self.close()


def _wipe(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    connection.execute("BEGIN")
    for table in TABLES:
        connection.execute(f"DELETE FROM {table}")
    connection.execute("COMMIT")
