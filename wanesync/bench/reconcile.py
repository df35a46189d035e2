"""``bench reconcile``: many people on both sides, differences of every class among them, and what diff makes of it."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from wanesync.bench import BenchFailed
from wanesync.bench.cost import Cost, run_wanesync, said
from wanesync.bench.figures import describe_machine
from wanesync.bench.linking import Reader, link_pairs
from wanesync.bench.planting import count_alike, plant_differences, plant_pairs
from wanesync.bench.stage import Limits, Stage, build_sandbox, open_stage
from wanesync.bench.stopwatch import Stopwatch
from wanesync.bench.truth import PARKED, Truth, count_actionable, count_class, judge_found, read_found
from wanesync.config.model import load
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.fields import FieldMap
from wanesync.core.model import Side
from wanesync.sandbox.journal import Entry
from wanesync.sandbox.server import Sandbox
from wanesync.wiring import open_state

PAGE = 100
PATIENCE_S = 3600.0
LIFTED = 100_000
"""Requests a second: no limit at all."""
MOST_RATE = 1_000
"""What a configuration may say at most."""
MUST_BE_0 = (
    *("missed", "invented", "in_sync_off_by", "written_by_diff", "windows_over_limit", "rate_limited"),
    *("writes_too_many_or_few", "actionable_after", "parked_changed"),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """``records`` people on both sides. ``parallel``: contacts are listed side by side; ``apply``: all is repaired."""

    records: int = 100_000
    differences: int = 1_500
    limits: Limits = field(default_factory=Limits)
    parallel: bool = False
    apply: bool = False


@dataclass(slots=True)
class _Bench:
    """Both stand-ins run, the database knows everybody, and the differences are planted."""

    wish: Wish
    stage: Stage
    sandbox: Sandbox
    watches: dict[str, Stopwatch]
    truths: Sequence[Truth]

    def diff(self) -> tuple[Cost, dict[str, object]]:
        """``wanesync diff`` as an operator runs it, and the document it prints."""
        cost = self.run("diff", "--json")
        try:
            document = json.loads(cost.told)
        except ValueError as error:
            raise BenchFailed(f"wanesync diff --json printed no JSON document: {said(self.stage.folder)}") from error
        if not isinstance(document, dict):
            raise BenchFailed("wanesync diff --json printed something else than one JSON object")
        return cost, document

    def run(self, *arguments: str) -> Cost:
        """A command that lists both sides, to its end."""
        how = ["--parallel-listing"] if self.wish.parallel else []
        return run_wanesync(self.stage.folder, self.stage.env, [*arguments, *how], PATIENCE_S)

    def count(self, name: str) -> dict[Side, int]:
        """One of the counts of ``/_sandbox/stats``."""
        stats = self.sandbox.stats()
        return {side: n for side in Side if isinstance(n := stats[str(side)][name], int)}

    def journal(self) -> int:
        """How many changes were committed on both sides."""
        with self.sandbox.lock:
            return sum(len(machine.journal) for machine in self.sandbox.machines.values())

    def writes(self) -> list[Entry]:
        """What was committed on both sides by our key."""
        with self.sandbox.lock:
            entries = [entry for machine in self.sandbox.machines.values() for entry in machine.journal.after(0)]
        return [entry for entry in entries if entry.source.startswith("api:")]


def measure(wish: Wish, database: str | None) -> dict[str, object]:
    """The figures; keys as in the design's doors. Raises BenchFailed, ConfigError."""
    with _ready(wish, database) as bench:
        bound_s = find_bound_s(_pages(bench.sandbox), wish.limits, parallel=wish.parallel)
        requests, committed = bench.count("requests"), bench.journal()
        cost, document = bench.diff()
        verdict = judge_found(bench.truths, read_found(document))
        after = bench.count("requests")
        figures = verdict.figures() | {
            **_times(cost, document),
            "requests": sum(after.values()) - sum(requests.values()),
            "bound_s": round(bound_s, 2),
            "in_sync_off_by": count_class(document, [DifferenceClass.IN_SYNC])
            - count_alike(wish.records, wish.differences),
            "written_by_diff": bench.journal() - committed,
            "windows_over_limit": sum(watch.windows_over for watch in bench.watches.values()),
            "rate_limited": sum(bench.count("rate_limited").values()),
            "records": {str(side): len(bench.sandbox.records(side)) for side in Side},
            "counts": document.get("counts"),
        }
        if wish.apply:
            figures |= _apply(bench, document)
        return figures | {"machine": describe_machine(bench.stage.database)}


def find_limits(hubspot: int, stripe: int, latency_ms: tuple[float, float], *, unlimited: bool) -> Limits:
    """The limits and latencies asked for, or none."""
    return Limits(LIFTED, LIFTED, (0, 0)) if unlimited else Limits(hubspot, stripe, latency_ms)


def find_targets(wish: Wish, figures: Mapping[str, object]) -> dict[str, str]:
    """Figure -> what is wanted."""
    targets = {name: "0" for name in MUST_BE_0 if name in figures}
    if wish.limits.hubspot == LIFTED:
        return targets | {"cpu_s": "<= 40 for 100,000", "peak_rss_mb": "<= 200 for 100,000"}
    return targets | {"total_s": f"<= bound_s + {15 if wish.parallel else 10} %"}


def find_wrong(figures: Mapping[str, object]) -> list[str]:
    """The names of figures that say that something is not right, however fast it was."""
    return [name for name in MUST_BE_0 if figures.get(name)]


def find_bound_s(pages: dict[Side, int], limits: Limits, *, parallel: bool) -> float:
    """No program can list faster: the limit lets no more pages through, and one page after the other takes its time.

    Customers are always listed in slices side by side, contacts only where ``parallel``.
    """
    contacts_s = pages[Side.HUBSPOT] / limits.hubspot
    if not parallel:
        contacts_s = max(contacts_s, pages[Side.HUBSPOT] * sum(limits.latency_ms) / 2000)
    return max(contacts_s, pages[Side.STRIPE] / limits.stripe)


def _pages(sandbox: Sandbox) -> dict[Side, int]:
    return {side: -(-len(sandbox.records(side)) // PAGE) for side in Side}


def _times(cost: Cost, document: dict[str, object]) -> dict[str, object]:
    timing = document.get("timing")
    told = timing if isinstance(timing, dict) else {}
    return {
        "list_s": told.get("list_s"),
        "compare_s": told.get("compare_s"),
        "total_s": round(cost.took_s, 2),
        "peak_rss_mb": round(cost.peak_rss_mb, 1),
        "cpu_s": round(cost.cpu_s, 2),
    }


def _apply(bench: _Bench, before: dict[str, object]) -> dict[str, object]:
    """Have the workers repair it, and look again."""
    earlier = len(bench.writes())
    with bench.stage.start("worker") as worker:
        worker.first_line()
        creations = count_class(before, [DifferenceClass.CREATE_CUSTOMER, DifferenceClass.CREATE_CONTACT])
        cost = bench.run("reconcile", "--wait", "--max-creates", str(creations))
        worker.check()
    if cost.code:
        raise BenchFailed(f"wanesync reconcile --wait ended with {cost.code}: {cost.told[-500:]}")
    writes = len(bench.writes()) - earlier
    _, after = bench.diff()
    counts = {str(kind): [count_class(before, [kind]), count_class(after, [kind])] for kind in PARKED}
    changed = {kind: pair for kind, pair in counts.items() if pair[0] != pair[1]}
    return {
        "actionable": count_actionable(before),
        "writes": writes,
        "writes_too_many_or_few": abs(writes - count_actionable(before)),
        "actionable_after": count_actionable(after),
        "parked_changed": len(changed),
        **({"parked_before_and_after": changed} if changed else {}),
        "apply_s": round(cost.took_s, 2),
    }


@contextmanager
def _ready(wish: Wish, database: str | None) -> Iterator[_Bench]:
    with ExitStack() as stack:
        # A collection of a heap of so many people takes long, and requests then seem to bunch.
        stack.callback(gc.enable)
        gc.disable()
        sandbox = build_sandbox(wish.limits)
        pairs = plant_pairs(sandbox, wish.records)
        per_s = {Side.HUBSPOT: wish.limits.hubspot, Side.STRIPE: wish.limits.stripe}
        watches = {str(side): Stopwatch(sandbox.machines[side], rate) for side, rate in per_s.items()}
        sandbox.machines = watches
        stack.enter_context(sandbox)
        told = {f"{side}__rate": str(min(rate, MOST_RATE)) for side, rate in per_s.items()}
        urls = {"hubspot__base_url": sandbox.hubspot_url, "stripe__base_url": sandbox.stripe_url}
        stage = stack.enter_context(open_stage(database, **told, **urls))
        stage.run("init", "--hubspot")
        config = load(None, stage.env)
        fields = FieldMap(config.fields)
        store = open_state(config, migrate=False)
        try:
            link_pairs(store, Reader(sandbox, fields), pairs, fields)
        finally:
            store.close()
        truths = plant_differences(sandbox, pairs, wish.differences)
        for watch in watches.values():
            watch.windows_over = 0
        yield _Bench(wish, stage, sandbox, watches, truths)
