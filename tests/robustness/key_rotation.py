"""Encryption keys are rotated, and every row encrypted again, during a burst: no job may fail, no row keep an old key.

    python -m tests.robustness.key_rotation [--people N] [--rotations N] [--database sqlite|postgres]

Contacts are created on the sandbox at once while a web process and two workers run. Meanwhile the commands ``keys
rotate``, ``keys rewrap`` and ``keys remove`` run again and again, as an operator runs them. Exits 1 if a job died, a
batch failed, a person is missing on one side, a command failed, or a row carries another key than the last one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.support.stage import Stage
from wanesync.bench.postgres_cluster import UNSAFE_SETTINGS, temporary_cluster
from wanesync.core.model import Side
from wanesync.output import print_line

REST_S = 300.0


@dataclass(slots=True)
class Figures:
    """What a run came to. ``during``: rotations that ended while people were still being synced."""

    people: int
    rotations: int = 0
    during: int = 0
    rewrapped: int = 0
    slowest_transaction_ms: float = 0.0
    slowest_rotation_s: float = 0.0
    burst_s: float = 0.0
    dead: int = 0
    rows: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def play(stage: Stage, people: int, rotations: int) -> Figures:
    """Run a burst on a set-up whose keys stand in a file, and rotate meanwhile, ``rotations`` times at least."""
    found, key_file = Figures(people), stage.file.with_name("test.keys")
    stage.live()
    stage.work()
    addresses = [f"burst{number}@example.com" for number in range(people)]
    began_s = time.monotonic()
    creating = threading.Thread(target=_create, args=(stage, addresses))
    creating.start()
    while found.rotations < rotations or not _is_synced(stage, addresses):
        found.during += not _is_synced(stage, addresses)
        _rotate(stage, key_file, found)
        if time.monotonic() - began_s > REST_S:
            found.wrong.append("the burst did not end")
            break
    creating.join()
    stage.until(lambda: _is_synced(stage, addresses), "all are synced", REST_S)
    found.burst_s = time.monotonic() - began_s
    stage.rest(REST_S)
    # Rows of the last moments carry the key of the last rotation: all processes had it before it ended.
    _check(stage, found)
    return found


def _create(stage: Stage, addresses: list[str]) -> None:
    for number, address in enumerate(addresses):
        stage.edit(Side.HUBSPOT, "create", email=address, firstname=f"Name {number}", city="Ulm")


def _is_synced(stage: Stage, addresses: list[str]) -> bool:
    synced = {row.get("email") for row in stage.sandbox.records(Side.STRIPE)}
    return synced.issuperset(addresses)


def _rotate(stage: Stage, key_file: Path, found: Figures) -> None:
    began_s = time.monotonic()
    old = key_file.read_text()[:4]
    rotated = stage.run("keys", "rotate", "--json")
    rewrapped = stage.run("keys", "rewrap", "--json")
    removed = stage.run("keys", "remove", old)
    found.rotations += 1
    found.slowest_rotation_s = max(found.slowest_rotation_s, time.monotonic() - began_s)
    for done in (rotated, rewrapped, removed):
        if done.returncode:
            found.wrong.append(
                f"{done.args[:3]} ended with {done.returncode}: {done.stderr[-300:]}{done.stdout[-300:]}"
            )
    if not rewrapped.returncode:
        told = json.loads(rewrapped.stdout)
        found.rewrapped += sum(told["rewrapped"].values())
        found.slowest_transaction_ms = max(found.slowest_transaction_ms, told["slowest_transaction_ms"])


def _check(stage: Stage, found: Figures) -> None:
    told = stage.ask("keys", "status")
    keys = told["keys"]
    assert isinstance(keys, list)
    found.keys = {key["id"]: key["rows"] for key in keys}
    found.rows = sum(found.keys.values())
    if len(found.keys) != 1:
        found.wrong.append(f"rows of several keys: {found.keys}")
    with stage.store.reading() as tx:
        found.dead = sum(row.count for row in tx.dead_letters.count(0))
        failed = tx.failed_batches.all()
    if found.dead or failed:
        found.wrong.append(f"{found.dead} jobs died, batches failed: {failed}")


def main() -> int:
    """Run one burst and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--rotations", type=int, default=5)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wanesync-rotation-")))
        url = f"sqlite:{folder / 'wanesync.db'}"
        if options.database == "postgres":
            url = stack.enter_context(temporary_cluster(UNSAFE_SETTINGS)).url
        stage = stack.enter_context(Stage(url, folder, key_file=True))
        found = play(stage, options.people, options.rotations)
    print_line(json.dumps(asdict(found), indent=2))
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
