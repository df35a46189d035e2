"""``bench reconcile --compare-only``: comparing and planning of millions, without any listing.

The database and the snapshot are filled directly. Whoever differs is real, as planted on two stand-ins that nobody
calls; the others are rows with hashes that agree. The comparison itself runs in a fresh process, ``compared``.
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

from wanesync.bench import BenchFailed, compared
from wanesync.bench.compared import open_snapshot
from wanesync.bench.cost import Cost, run_costed, said
from wanesync.bench.figures import describe_machine
from wanesync.bench.filling import SEALED
from wanesync.bench.linking import Reader, link_pairs
from wanesync.bench.planting import Pair, count_alike, pairs_needed, plant_differences, plant_pairs
from wanesync.bench.stage import Limits, Stage, build_sandbox, open_stage
from wanesync.bench.truth import Truth, count_class, judge_found, read_found
from wanesync.config.model import load
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.fields import FieldMap, exact
from wanesync.core.model import Record, Side
from wanesync.reconcile.snapshot.results import Copy, ListedRow, Snapshot
from wanesync.store.database import Store
from wanesync.store.tables.links import Outline
from wanesync.wiring import open_state

CHUNK = 5_000
PATIENCE_S = 1800.0
SNAPSHOT = "compared.snapshot"
MUST_BE_0 = ("missed", "invented", "in_sync_off_by")
TARGETS = dict.fromkeys(MUST_BE_0, "0") | {"compare_s": "<= 30 for 1,000,000", "peak_rss_mb": "<= 300 for 1,000,000"}
_RECORD = (
    "INSERT INTO records (side, id, seen, valid_from_ms, valid_to_ms, moved, stale, deleted, survivor, other_id, "
    "intent, note, row_hash, canon_version, moved_ms) VALUES (?, ?, ?, 0, 0, 1, 0, 0, '', '', '', '', ?, 1, 0)"
)
_LINK = (
    "INSERT INTO links (id, hubspot_id, stripe_id, is_primary, base, parked, version, state, fields_version, "
    "canon_version, created_ms, updated_ms, hubspot_hash, stripe_hash) "
    "VALUES (?, ?, ?, 1, ?, x'', 1, 'active', '1', 1, 0, 0, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A pair that is the same on both sides, as hashes that look like the real ones."""

    hubspot_id: str
    stripe_id: str
    same: str
    halves: tuple[str, str]
    hmac: str


def measure(sizes: Sequence[int], differences: int) -> dict[str, dict[str, object]]:
    """Per number of pairs: ``compare_s cpu_s peak_rss_mb``, and what was found. Raises BenchFailed, ConfigError."""
    figures: dict[str, dict[str, object]] = {}
    for size in sizes:
        with open_stage(None) as stage:
            truths = fill(stage, size, differences)
            cost, document = compare(stage)
            verdict = judge_found(truths, read_found(document))
            figures[f"{size:,} pairs"] = {
                "compare_s": document["compare_s"],
                "compare_us_per_pair": round(_seconds(document) * 1e6 / size, 2),
                "cpu_s": round(cost.cpu_s, 2),
                "peak_rss_mb": round(cost.peak_rss_mb, 1),
                **verdict.figures(),
                "in_sync_off_by": count_class(document, [DifferenceClass.IN_SYNC]) - count_alike(size, differences),
                "counts": document["counts"],
                "machine": describe_machine(stage.database),
            }
    return figures


def find_wrong(figures: Mapping[str, object]) -> list[str]:
    """The names of figures that say that something is not right, however fast it was."""
    return [name for name in MUST_BE_0 if figures.get(name)]


def list_sizes(most: int) -> list[int]:
    """10,000 pairs, ten times as many, and so on, up to ``most``."""
    sizes = [most]
    while sizes[0] > 10_000:
        sizes.insert(0, max(10_000, sizes[0] // 10))
    return sizes


def compare(stage: Stage) -> tuple[Cost, dict[str, object]]:
    """The comparison in a process of its own."""
    command = [sys.executable, "-m", compared.__name__, str(stage.folder / SNAPSHOT)]
    cost = run_costed(stage.folder, stage.env, command, PATIENCE_S)
    if cost.code:
        raise BenchFailed(f"the comparison failed: {said(stage.folder)}")
    document: dict[str, object] = json.loads(cost.told)
    return cost, document


def _seconds(document: dict[str, object]) -> float:
    took_s = document["compare_s"]
    return took_s if isinstance(took_s, float) else 0.0


# -- filling


def fill(stage: Stage, size: int, differences: int) -> list[Truth]:
    """``size`` linked and listed pairs in a new database and a snapshot beside it, the differences among them."""
    sandbox = build_sandbox(Limits())
    pairs = plant_pairs(sandbox, max(min(size, 10), pairs_needed(differences)))
    config = load(None, stage.env)
    fields = FieldMap(config.fields)
    store = open_state(config, migrate=True)
    snapshot = open_snapshot(stage.folder / SNAPSHOT, store)
    try:
        link_pairs(store, reader := Reader(sandbox, fields), pairs, fields)
        known = _known(reader, pairs)
        truths = plant_differences(sandbox, pairs, differences)
        _list_real(store, snapshot, reader, known)
        _fill_alike(Path(stage.database.removeprefix("sqlite:")), snapshot, size - len(pairs))
    finally:
        snapshot.close()
        store.close()
    return truths


def make_rows(count: int) -> Iterator[Row]:
    """Pairs that are the same: contacts by ascending id, all else without any order, as real hashes and ids are."""
    for number in range(count):
        digest = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=64).hexdigest()
        yield Row(
            f"2{number:011d}",
            f"cus_{hashlib.blake2b(digest.encode(), digest_size=7).hexdigest()}",
            digest[:32],
            (digest[32:64], digest[64:96]),
            digest[96:],
        )


def put_alike(snapshot: Snapshot, rows: Sequence[Row]) -> None:
    """Both sides of some pairs, as a listing would write them down."""
    with snapshot.writing():
        for side, half in ((Side.HUBSPOT, 0), (Side.STRIPE, 1)):
            snapshot.put_rows(
                side,
                [
                    ListedRow(
                        (row.hubspot_id, row.stripe_id)[half], row.same, row.halves[half], "", frozenset([row.hmac])
                    )
                    for row in rows
                ],
            )


def link_rows(rows: Sequence[Row]) -> list[Outline]:
    """The links of some pairs."""
    return [Outline("", row.hubspot_id, row.stripe_id, 1, 1, *row.halves) for row in rows]


def _known(reader: Reader, pairs: Sequence[Pair]) -> dict[tuple[Side, str], Record]:
    known = {(Side.HUBSPOT, pair.hubspot_id): reader.contact(pair.hubspot_id) for pair in pairs}
    return known | {(Side.STRIPE, pair.stripe_id): reader.customer(pair.stripe_id) for pair in pairs}


def _list_real(store: Store, snapshot: Snapshot, reader: Reader, known: dict[tuple[Side, str], Record]) -> None:
    """The real people as a listing would write them down: what changed since they became known, with a copy."""
    fields = reader.fields
    for side in Side:
        rows = []
        for record in reader.all(side):
            old = known.get((side, record.id))
            copy = None
            if record != old:
                at_ms = record.modified_ms or store.now_ms()
                copy = Copy(record, 0 if old is None else 1, at_ms, at_ms)
            same, own = store.row_hash(fields.comparison(record)), store.row_hash(exact(record.values.items()))
            hmacs = frozenset(store.hmac(address) for address in record.emails)
            rows.append(ListedRow(record.id, same, own, record.other_id, hmacs, copy))
        with snapshot.writing():
            snapshot.put_rows(side, rows)


def _fill_alike(database: Path, snapshot: Snapshot, count: int) -> None:
    file = sqlite3.connect(database, isolation_level=None)
    file.execute("PRAGMA synchronous = OFF")
    left, first = make_rows(count), 0
    while rows := list(islice(left, CHUNK)):
        put_alike(snapshot, rows)
        file.execute("BEGIN")
        for side, half in (("hubspot", 0), ("stripe", 1)):
            ids = [(row.hubspot_id, row.stripe_id)[half] for row in rows]
            file.executemany(_RECORD, [(side, i, SEALED, row.same) for i, row in zip(ids, rows, strict=True)])
        links = [
            (f"link-{first + place:012d}", row.hubspot_id, row.stripe_id, SEALED, *row.halves)
            for place, row in enumerate(rows)
        ]
        file.executemany(_LINK, links)
        file.execute("COMMIT")
        first += len(rows)
    file.close()
