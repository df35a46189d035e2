"""``bench reconcile``: many people on both sides with differences of every class, and whether ``diff`` finds them."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from wanesync.bench import BenchFailed
from wanesync.bench.environment import Environment, Limits, build_sandbox, open_environment
from wanesync.bench.figures import describe_machine
from wanesync.bench.measured_stand_in import MeasuredStandIn
from wanesync.bench.reconcile.differences import (
    PARKED,
    Difference,
    count_actionable,
    count_class,
    count_in_sync,
    create_differences,
    create_pairs,
    match_found,
    read_found,
)
from wanesync.bench.reconcile.linked_state import SandboxReader, link_pairs
from wanesync.bench.resource_usage import Usage, log_tail, run_wanesync
from wanesync.config.model import load
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.fields import FieldMap
from wanesync.core.model import Side
from wanesync.sandbox.journal import Entry
from wanesync.sandbox.server import Sandbox
from wanesync.wiring import open_database

PAGE = 100  # records of a page, the maximum of both APIs
MAX_WAIT_S = 3600.0
NO_LIMIT = 100_000
"""Requests per second that count as no limit."""
MAX_RATE = 1_000
"""The highest rate that a configuration accepts."""
MUST_BE_0 = (
    *("missed", "invented", "in_sync_off_by", "written_by_diff", "windows_over_limit", "rate_limited"),
    *("writes_too_many_or_few", "actionable_after", "parked_changed"),
)


@dataclass(frozen=True, slots=True)
class ReconcileOptions:
    """The options. ``records``: people on both sides; ``parallel``: parallel listing of contacts; ``apply``: repair."""

    records: int = 100_000
    differences: int = 1_500
    limits: Limits = field(default_factory=Limits)
    parallel: bool = False
    apply: bool = False


@dataclass(slots=True)
class _Run:
    """One run: both stand-ins run, all pairs are linked, and the differences are created."""

    options: ReconcileOptions
    environment: Environment
    sandbox: Sandbox
    measured: dict[str, MeasuredStandIn]
    planted: Sequence[Difference]

    def diff(self) -> tuple[Usage, dict[str, object]]:
        """Run ``wanesync diff`` as an operator does: its usage and its JSON document."""
        usage = self.run("diff", "--json")
        try:
            document = json.loads(usage.output)
        except ValueError as error:
            raise BenchFailed(
                f"wanesync diff --json printed no JSON document: {log_tail(self.environment.folder)}"
            ) from error
        if not isinstance(document, dict):
            raise BenchFailed("wanesync diff --json did not print one JSON object")
        return usage, document

    def run(self, *arguments: str) -> Usage:
        """Run a command that lists both sides to its end."""
        listing = ["--parallel-listing"] if self.options.parallel else []
        return run_wanesync(self.environment.folder, self.environment.env, [*arguments, *listing], MAX_WAIT_S)

    def count(self, name: str) -> dict[Side, int]:
        """One of the counts of ``/_sandbox/stats``."""
        stats = self.sandbox.stats()
        return {side: count for side in Side if isinstance(count := stats[str(side)][name], int)}

    def journal(self) -> int:
        """The number of committed changes of both sides."""
        with self.sandbox.lock:
            return sum(len(stand_in.journal) for stand_in in self.sandbox.machines.values())

    def writes(self) -> list[Entry]:
        """The changes of both sides that were made with our key."""
        with self.sandbox.lock:
            entries = [entry for stand_in in self.sandbox.machines.values() for entry in stand_in.journal.after(0)]
        return [entry for entry in entries if entry.source.startswith("api:")]


def measure(options: ReconcileOptions, database: str | None) -> dict[str, object]:
    """Run the benchmark and return its figures. Raises BenchFailed, ConfigError."""
    with _ready(options, database) as bench:
        bound_s = find_bound_s(_pages(bench.sandbox), options.limits, parallel=options.parallel)
        requests, committed = bench.count("requests"), bench.journal()
        usage, document = bench.diff()
        matched = match_found(bench.planted, read_found(document))
        after = bench.count("requests")
        figures = matched.figures() | {
            **_times(usage, document),
            "requests": sum(after.values()) - sum(requests.values()),
            "bound_s": round(bound_s, 2),
            "in_sync_off_by": count_class(document, [DifferenceClass.IN_SYNC])
            - count_in_sync(options.records, options.differences),
            "written_by_diff": bench.journal() - committed,
            "windows_over_limit": sum(stand_in.windows_over for stand_in in bench.measured.values()),
            "rate_limited": sum(bench.count("rate_limited").values()),
            "records": {str(side): len(bench.sandbox.records(side)) for side in Side},
            "counts": document.get("counts"),
        }
        if options.apply:
            figures |= _apply(bench, document)
        return figures | {"machine": describe_machine(bench.environment.database)}


def find_limits(hubspot: int, stripe: int, latency_ms: tuple[float, float], *, unlimited: bool) -> Limits:
    """The given limits and latencies, or none."""
    return Limits(NO_LIMIT, NO_LIMIT, (0, 0)) if unlimited else Limits(hubspot, stripe, latency_ms)


def find_targets(options: ReconcileOptions, figures: Mapping[str, object]) -> dict[str, str]:
    """The target of each figure."""
    targets = {name: "0" for name in MUST_BE_0 if name in figures}
    if options.limits.hubspot == NO_LIMIT:
        return targets | {"cpu_s": "<= 40 for 100,000", "peak_rss_mb": "<= 200 for 100,000"}
    return targets | {"total_s": f"<= bound_s + {15 if options.parallel else 10} %"}


def find_wrong(figures: Mapping[str, object]) -> list[str]:
    """The names of figures that show a wrong result."""
    return [name for name in MUST_BE_0 if figures.get(name)]


def find_bound_s(pages: dict[Side, int], limits: Limits, *, parallel: bool) -> float:
    """The least possible time of a listing: pages by the limit, or by the latency when they are listed in sequence.

    Customers are always listed in parallel slices, contacts only if ``parallel``.
    """
    contacts_s = pages[Side.HUBSPOT] / limits.hubspot
    if not parallel:
        contacts_s = max(contacts_s, pages[Side.HUBSPOT] * sum(limits.latency_ms) / 2000)
    return max(contacts_s, pages[Side.STRIPE] / limits.stripe)


def _pages(sandbox: Sandbox) -> dict[Side, int]:
    return {side: -(-len(sandbox.records(side)) // PAGE) for side in Side}


def _times(usage: Usage, document: dict[str, object]) -> dict[str, object]:
    timing = document.get("timing")
    times = timing if isinstance(timing, dict) else {}
    return {
        "list_s": times.get("list_s"),
        "compare_s": times.get("compare_s"),
        "total_s": round(usage.took_s, 2),
        "peak_rss_mb": round(usage.peak_rss_mb, 1),
        "cpu_s": round(usage.cpu_s, 2),
    }


def _apply(bench: _Run, before: dict[str, object]) -> dict[str, object]:
    """Repair the differences with a worker, and compare again."""
    earlier = len(bench.writes())
    with bench.environment.start("worker") as worker:
        worker.first_line()
        creations = count_class(before, [DifferenceClass.CREATE_CUSTOMER, DifferenceClass.CREATE_CONTACT])
        usage = bench.run("reconcile", "--wait", "--max-creates", str(creations))
        worker.check()
    if usage.code:
        raise BenchFailed(f"wanesync reconcile --wait ended with {usage.code}: {usage.output[-500:]}")
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
        "apply_s": round(usage.took_s, 2),
    }


@contextmanager
def _ready(options: ReconcileOptions, database: str | None) -> Iterator[_Run]:
    with ExitStack() as stack:
        # A collection of the large heap stops this process, and requests then seem to arrive in bursts.
        stack.callback(gc.enable)
        gc.disable()
        sandbox = build_sandbox(options.limits)
        pairs = create_pairs(sandbox, options.records)
        per_s = {Side.HUBSPOT: options.limits.hubspot, Side.STRIPE: options.limits.stripe}
        measured = {str(side): MeasuredStandIn(sandbox.machines[side], rate) for side, rate in per_s.items()}
        sandbox.machines = measured
        stack.enter_context(sandbox)
        rates = {f"{side}__rate": str(min(rate, MAX_RATE)) for side, rate in per_s.items()}
        rates["stripe__operation_rate"] = rates["stripe__rate"]
        urls = {"hubspot__base_url": sandbox.hubspot_url, "stripe__base_url": sandbox.stripe_url}
        environment = stack.enter_context(open_environment(database, **rates, **urls))
        environment.run("init", "--hubspot")
        config = load(None, environment.env)
        fields = FieldMap(config.specs)
        store = open_database(config, migrate=False)
        try:
            link_pairs(store, SandboxReader(sandbox, fields), pairs, fields)
        finally:
            store.close()
        planted = create_differences(sandbox, pairs, options.differences)
        for stand_in in measured.values():
            stand_in.windows_over = 0
        yield _Run(options, environment, sandbox, measured, planted)
