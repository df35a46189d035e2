"""A process that writes encrypted rows without heartbeats, as a command does, until it is ended.

python -m tests.support.endless_writer DATABASE KEY_FILE
"""

from __future__ import annotations

import sys
import time
from contextlib import closing, suppress
from pathlib import Path

from wanesync.core.errors import DatabaseUnavailable
from wanesync.store import open_store
from wanesync.store.key_source import FileKeys

PAUSE_S = 0.002


def main(url: str, key_file: str) -> None:
    """Write one row after the other."""
    with closing(open_store(url, FileKeys(Path(key_file)))) as store:
        while True:
            # Postgres ends the connection of a process that was stopped inside a transaction.
            with suppress(DatabaseUnavailable):
                store.run(lambda tx: tx.journal.add("test", None, "", "", {"city": "Ulm"}))
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
