"""One comparison in a process of its own, so that its time and memory are nobody else's.

``python -m wanesync.bench.compared SNAPSHOT`` prints one JSON document: ``compare_s``, and what ``diff`` tells.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from wanesync.config.model import load
from wanesync.reconcile.compare import Comparison
from wanesync.reconcile.snapshot.results import Snapshot
from wanesync.store.database import Store
from wanesync.wiring import build_engine, open_state

_IDENTITY = {"made by": "bench reconcile"}


def open_snapshot(path: Path, store: Store) -> Snapshot:
    """The bench's own: a new one, or the one that was filled."""
    return Snapshot.resume(str(path), store.encryption, _IDENTITY, 0)


def _main(path: str) -> None:
    config = load(None, os.environ)
    store = open_state(config)
    snapshot = open_snapshot(Path(path), store)
    runtime = build_engine(config, store, ())
    began_s = time.perf_counter()
    report = Comparison(runtime, snapshot).run(lambda _: None)
    took_s = time.perf_counter() - began_s
    differences = [
        {"class": d.kind, "hubspot_id": d.hubspot_id, "stripe_id": d.stripe_id, "fields": dict.fromkeys(d.fields, "")}
        for d in report.differences()
    ]
    document = {
        "compare_s": round(took_s, 3),
        "counts": {str(kind): n for kind, n in report.counts.items()},
        "differences": differences,
    }
    sys.stdout.write(json.dumps(document))
    snapshot.close()
    store.close()


if __name__ == "__main__":
    _main(sys.argv[1])
