"""``bench reconcile --compare-only``: compare and plan millions of pairs without a listing.

The database and the snapshot are written directly. The people that differ are records of two stand-ins, the others only
rows with equal hashes. The comparison runs in a new process, ``compare_process``.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from wanesync.bench import BenchFailed
from wanesync.bench.environment import Environment, Limits, build_sandbox, open_environment
from wanesync.bench.figures import describe_machine
from wanesync.bench.large_tables import SEALED
from wanesync.bench.reconcile import compare_process
from wanesync.bench.reconcile.compare_process import open_snapshot
from wanesync.bench.reconcile.differences import (
    Difference,
    Pair,
    count_class,
    count_in_sync,
    create_differences,
    create_pairs,
    match_found,
    pairs_needed,
    read_found,
)
from wanesync.bench.reconcile.linked_state import SandboxReader, link_pairs
from wanesync.bench.resource_usage import Usage, log_tail, run_measured
from wanesync.config.model import load
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.fields import FieldMap, exact
from wanesync.core.model import Record, Side
from wanesync.reconcile.snapshot.codec import ChangedRecord
from wanesync.reconcile.snapshot.file import ListedRow, Snapshot
from wanesync.store.database import Store
from wanesync.store.tables.links import Outline
from wanesync.wiring import open_database

CHUNK = 5_000
MAX_WAIT_S = 1800.0
SNAPSHOT = "compared.snapshot"
MUST_BE_0 = ("missed", "invented", "in_sync_off_by")
TARGETS = dict.fromkeys(MUST_BE_0, "0") | {"compare_s": "<= 30 for 1,000,000", "peak_rss_mb": "<= 300 for 1,000,000"}
_RECORD = (
    "INSERT INTO records (side, id, content, valid_from_ms, valid_to_ms, revision, stale, deleted, erased, absent_ms, "
    "missing, survivor, other_id, note_code, note, stored_ms) "
    "VALUES (?, ?, ?, 0, 0, 1, 0, 0, 0, 0, 0, '', '', '', '', 0)"
)
_LINK = (
    "INSERT INTO links (id, hubspot_id, stripe_id, is_primary, base, parked, put_back, version, state, map_generation, "
    "created_ms, updated_ms, hubspot_hash, stripe_hash) "
    "VALUES (?, ?, ?, 1, ?, x'', x'', 1, 'active', 0, 0, 0, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A pair that is equal on both sides, with made-up hashes. ``same``: the hash that is compared."""

    hubspot_id: str
    stripe_id: str
    same: str
    side_hashes: tuple[str, str]
    hmac: str


def measure(sizes: Sequence[int], differences: int) -> dict[str, dict[str, object]]:
    """For each number of pairs: ``compare_s cpu_s peak_rss_mb``, and the matching. Raises BenchFailed, ConfigError."""
    figures: dict[str, dict[str, object]] = {}
    for size in sizes:
        with open_environment(None) as environment:
            planted = fill(environment, size, differences)
            usage, document = compare(environment)
            matched = match_found(planted, read_found(document))
            figures[f"{size:,} pairs"] = {
                "compare_s": document["compare_s"],
                "compare_us_per_pair": round(_seconds(document) * 1e6 / size, 2),
                "cpu_s": round(usage.cpu_s, 2),
                "peak_rss_mb": round(usage.peak_rss_mb, 1),
                **matched.figures(),
                "in_sync_off_by": count_class(document, [DifferenceClass.IN_SYNC]) - count_in_sync(size, differences),
                "counts": document["counts"],
                "machine": describe_machine(environment.database),
            }
    return figures


def find_wrong(figures: Mapping[str, object]) -> list[str]:
    """The names of figures that show a wrong result."""
    return [name for name in MUST_BE_0 if figures.get(name)]


def list_sizes(largest: int) -> list[int]:
    """10,000 pairs, ten times as many, and so on, up to ``largest``."""
    sizes = [largest]
    while sizes[0] > 10_000:
        sizes.insert(0, max(10_000, sizes[0] // 10))
    return sizes


def compare(environment: Environment) -> tuple[Usage, dict[str, object]]:
    """Run the comparison in a process of its own."""
    command = [sys.executable, "-m", compare_process.__name__, str(environment.folder / SNAPSHOT)]
    usage = run_measured(environment.folder, environment.env, command, MAX_WAIT_S)
    if usage.code:
        raise BenchFailed(f"the comparison failed: {log_tail(environment.folder)}")
    document: dict[str, object] = json.loads(usage.output)
    return usage, document


def _seconds(document: dict[str, object]) -> float:
    took_s = document["compare_s"]
    return took_s if isinstance(took_s, float) else 0.0


# -- data


def fill(environment: Environment, size: int, differences: int) -> list[Difference]:
    """Write ``size`` linked and listed pairs into a new database and snapshot; return their differences."""
    sandbox = build_sandbox(Limits())
    pairs = create_pairs(sandbox, max(min(size, 10), pairs_needed(differences)))
    config = load(None, environment.env)
    fields = FieldMap(config.specs)
    store = open_database(config, migrate=True)
    snapshot = open_snapshot(environment.folder / SNAPSHOT, store)
    try:
        link_pairs(store, reader := SandboxReader(sandbox, fields), pairs, fields)
        known = _known(reader, pairs)
        planted = create_differences(sandbox, pairs, differences)
        _list_records(store, snapshot, reader, known)
        _fill_equal(Path(environment.database.removeprefix("sqlite:")), snapshot, size - len(pairs))
    finally:
        snapshot.close()
        store.close()
    return planted


def make_rows(count: int) -> Iterator[Row]:
    """Make equal pairs by ascending contact id; customer ids and hashes are in no order, like real ones."""
    for number in range(count):
        digest = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=64).hexdigest()
        yield Row(
            f"2{number:011d}",
            f"cus_{hashlib.blake2b(digest.encode(), digest_size=7).hexdigest()}",
            digest[:32],
            (digest[32:64], digest[64:96]),
            digest[96:],
        )


def put_equal_rows(snapshot: Snapshot, rows: Sequence[Row]) -> None:
    """Write both sides of some pairs into the snapshot, as a listing does."""
    with snapshot.transaction():
        for side, index in ((Side.HUBSPOT, 0), (Side.STRIPE, 1)):
            snapshot.put_rows(
                side,
                [
                    ListedRow(
                        (row.hubspot_id, row.stripe_id)[index],
                        row.same,
                        row.side_hashes[index],
                        "",
                        frozenset([row.hmac]),
                    )
                    for row in rows
                ],
            )


def make_outlines(rows: Sequence[Row]) -> list[Outline]:
    """Make the links of some pairs."""
    return [Outline("", row.hubspot_id, row.stripe_id, 1, 1, *row.side_hashes) for row in rows]


def _known(reader: SandboxReader, pairs: Sequence[Pair]) -> dict[tuple[Side, str], Record]:
    known = {(Side.HUBSPOT, pair.hubspot_id): reader.contact(pair.hubspot_id) for pair in pairs}
    return known | {(Side.STRIPE, pair.stripe_id): reader.customer(pair.stripe_id) for pair in pairs}


def _list_records(
    store: Store, snapshot: Snapshot, reader: SandboxReader, known: dict[tuple[Side, str], Record]
) -> None:
    """Write the records of the stand-ins into the snapshot, as a listing does: with a copy of those that changed."""
    fields = reader.fields
    for side in Side:
        rows = []
        for record in reader.all(side):
            old = known.get((side, record.id))
            changed = None
            if record != old:
                at_ms = record.modified_ms or store.now_ms()
                changed = ChangedRecord(record, 0 if old is None else 1, at_ms, at_ms)
            same, own = store.row_hash(fields.comparison(record)), store.row_hash(exact(record.values.items()))
            hmacs = frozenset(store.hmac(address) for address in record.emails)
            rows.append(ListedRow(record.id, same, own, record.other_id, hmacs, changed))
        with snapshot.transaction():
            snapshot.put_rows(side, rows)


def _fill_equal(database: Path, snapshot: Snapshot, count: int) -> None:
    file = sqlite3.connect(database, isolation_level=None)
    file.execute("PRAGMA synchronous = OFF")
    left, first = make_rows(count), 0
    while rows := list(islice(left, CHUNK)):
        put_equal_rows(snapshot, rows)
        file.execute("BEGIN")
        for side, index in (("hubspot", 0), ("stripe", 1)):
            ids = [(row.hubspot_id, row.stripe_id)[index] for row in rows]
            file.executemany(_RECORD, [(side, record_id, SEALED) for record_id in ids])
        links = [
            (f"link-{first + position:012d}", row.hubspot_id, row.stripe_id, SEALED, *row.side_hashes)
            for position, row in enumerate(rows)
        ]
        file.executemany(_LINK, links)
        file.execute("COMMIT")
        first += len(rows)
    file.close()
