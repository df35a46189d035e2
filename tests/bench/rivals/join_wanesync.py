"""The join of a snapshot by wanesync in a process of its own: ``python -m … SNAPSHOT KEY``."""

from __future__ import annotations

import json
import sys
import time

from wanesync.reconcile.compare import find_same_pairs
from wanesync.reconcile.snapshot.file import Snapshot
from wanesync.store.encryption import load_keyring


def main(path: str, key: str) -> None:
    """Join the snapshot and print the time and the counts."""
    snapshot = Snapshot(path, load_keyring([key], "sqlite::memory:"))
    began_s = time.perf_counter()
    snapshot.index_links()
    settled = find_same_pairs(snapshot, snapshot.count_linked().plain)
    join_s = time.perf_counter() - began_s
    opened = snapshot.count_by("SELECT COUNT(*) FROM to_plan")
    sys.stdout.write(
        json.dumps({"join_s": join_s, "linked": settled.linked, "to_link": settled.to_link, "opened": opened})
    )
    snapshot.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
