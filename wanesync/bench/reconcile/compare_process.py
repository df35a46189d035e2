"""One comparison in a process of its own, to measure its time and memory alone.

``python -m wanesync.bench.reconcile.compare_process SNAPSHOT`` prints one JSON document: ``compare_s``, and the counts
and differences of ``diff``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from wanesync.config.model import load
from wanesync.reconcile.compare import Comparison
from wanesync.reconcile.snapshot.file import Snapshot
from wanesync.store.database import Store
from wanesync.wiring import build_runtime, open_database

_IDENTITY = {"made by": "bench reconcile"}


def open_snapshot(path: Path, store: Store) -> Snapshot:
    """Open the snapshot of the benchmark, or create it."""
    return Snapshot.resume(str(path), store.encryption, _IDENTITY, 0)


def _main(path: str) -> None:
    config = load(None, os.environ)
    store = open_database(config)
    snapshot = open_snapshot(Path(path), store)
    runtime = build_runtime(config, store, ())
    began_s = time.perf_counter()
    report = Comparison(runtime, snapshot).run(lambda _: None)
    took_s = time.perf_counter() - began_s
    differences = [
        {
            "class": found.kind,
            "hubspot_id": found.hubspot_id,
            "stripe_id": found.stripe_id,
            "fields": dict.fromkeys(found.fields, ""),
        }
        for found in report.differences()
    ]
    document = {
        "compare_s": round(took_s, 3),
        "counts": {str(kind): count for kind, count in report.counts.items()},
        "differences": differences,
    }
    sys.stdout.write(json.dumps(document))
    snapshot.close()
    store.close()


if __name__ == "__main__":
    _main(sys.argv[1])
