"""``wanesync bench``: benchmarks of real processes beside the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from wanesync.bench import change_guard as change_guard_bench
from wanesync.bench import hooks as hooks_bench
from wanesync.bench import judging, large_tables
from wanesync.bench import poison as poison_bench
from wanesync.bench import steady as steady_bench
from wanesync.bench.burst import run as burst_bench
from wanesync.bench.burst.load import Load
from wanesync.bench.burst.plot import draw
from wanesync.bench.burst.run import Failures
from wanesync.bench.environment import Limits
from wanesync.bench.reconcile import compare_only
from wanesync.bench.reconcile import run as reconcile_bench
from wanesync.bench.report import check_file, show, write, write_text
from wanesync.cli.commands.sandbox import parse_bounds
from wanesync.ops.alarms import read_alarms
from wanesync.ops.health.gauges import read_gauges
from wanesync.ops.status import read_status
from wanesync.store.database import Store
from wanesync.terminal import make_console

MAX_POISONED_S = 5.0
"""Longest time of another person's edit while one thing is bad, in seconds."""
PLOT = Path("wanesync-burst.svg")
ORDER_FIGURES = ("drained_s", "p50_s", "p95_s", "max_s", "share_within_30_s")
"""What is compared of two orders of the same burst."""
SHARES = {100: 0.85, 25: 0.20}
"""Stripe's limit -> the share of contacts that is to be there within 30 s of 10,000 in a minute."""

app = typer.Typer(
    help="Measure this program beside the sandbox. Needs no accounts and no configuration.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="An empty postgresql://… database, or postgres for a temporary one; default: a new SQLite file.",
    ),
]
CrowdedDatabase = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="A postgresql://… database; default: a new SQLite file and a temporary Postgres.",
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", callback=check_file, help="Also write the figures to this file."),
]
SvgFile = Annotated[
    Path | None,
    typer.Option(
        "--svg",
        metavar="FILE",
        callback=check_file,
        help=f"Write a plot of latency over arrival; default: beside --json, otherwise {PLOT}.",
    ),
]
Latency = Annotated[str, typer.Option("--latency-ms", metavar="A-B", help="Time of each request to a side.")]
Workers = Annotated[int, typer.Option("--workers", min=1, max=16, metavar="N", help="Worker processes.")]
HubSpotLimit = Annotated[int, typer.Option(min=1, metavar="R", help="Requests per second, enforced.")]
Deliveries = Annotated[
    int, typer.Option(min=1, max=10, metavar="N", help="Deliveries of each webhook, in random order.")
]
KillWorker = Annotated[bool, typer.Option("--kill-worker", help="Kill a worker during the burst.")]
KillDatabase = Annotated[
    bool, typer.Option("--kill-database", help="Kill the Postgres of --database postgres during the burst.")
]
StripeLimit = Annotated[int, typer.Option(min=1, metavar="R", help="Requests per second, enforced.")]


@app.command()
def hooks(
    database: Database = None,
    *,
    posts: Annotated[int, typer.Option(min=1, max=5000, metavar="N", help="Number of consecutive POSTs.")] = 50,
    half_open: Annotated[
        int, typer.Option(min=0, max=10_000, metavar="N", help="Beside so many connections that never finish.")
    ] = 0,
    json_file: JsonFile = None,
) -> None:
    """The time of a signed HubSpot webhook POST with 100 events, alone and ten at once."""
    figures = hooks_bench.measure(database, posts, half_open)
    show(figures, {"max_ms": "< 1000"} if half_open else {"median_ms": "< 50", "parallel_max_ms": "< 250 each"})
    write(json_file, figures)


# A command's options are its arguments: a line for each.
@app.command()
def steady(
    database: Database = None,
    *,
    seconds: Annotated[float, typer.Option(min=1, max=3600, metavar="S", help="Duration of the edits.")] = 60,
    per_side: Annotated[float, typer.Option(min=0.1, max=100, metavar="N", help="Edits per second on each side.")] = 5,
    latency_ms: Latency = "150-400",
    workers: Workers = 1,
    json_file: JsonFile = None,
) -> None:
    """The latency of edits at a steady rate on both sides."""
    limits = Limits(latency_ms=parse_bounds(latency_ms))
    figures = steady_bench.measure(steady_bench.SteadyOptions(seconds, per_side, limits, workers), database)
    show(figures, {"p50_s": "<= 2", "p99_s": "<= 5", "lost": "0", "rate_limited": "0"})
    write(json_file, figures)
    if figures["lost"]:
        raise typer.Exit(1)


# A command's options are its arguments: a line for each.
@app.command()
def brake(
    database: Database = None,
    *,
    contacts: Annotated[
        int, typer.Option(min=2, max=1_000_000, metavar="N", help="Contacts overwritten by one import.")
    ] = 30_000,
    people: Annotated[int, typer.Option(min=2, metavar="N", help="Limit of the change guard.")] = 1_000,
    creations: Annotated[int, typer.Option(min=0, metavar="N", help="Contacts created before the import.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=1, max=3600, metavar="S", help="Duration of the import.")] = 60,
    latency_ms: Latency = "150-400",
    workers: Workers = 1,
    json_file: JsonFile = None,
) -> None:
    """The change guard during an import that overwrites every contact: changed customers, alarm, latency of edits."""
    limits = Limits(latency_ms=parse_bounds(latency_ms))
    options = change_guard_bench.ChangeGuardOptions(
        contacts, people, creations, seconds, limits=limits, workers=workers
    )
    figures = change_guard_bench.measure(options, database)
    targets = dict.fromkeys(
        ["person_lost", "creations_missing", "creations_held", "changed_by_discard", "held_after_discard"], "0"
    )
    targets |= {"overwritten": f"<= {people}", "alarm_s": "<= 10", "person_p99_s": "<= 5", "rate_limited": "0"}
    show(figures, targets)
    write(json_file, figures)
    if any(figures[name] for name, target in targets.items() if target == "0") or figures["overwritten"] > people:  # type: ignore[operator] # a count
        raise typer.Exit(1)


# A command's options are its arguments: a line for each.
@app.command()
def burst(
    database: Database = None,
    *,
    contacts: Annotated[int, typer.Option(min=1, max=1_000_000, metavar="N", help="New contacts.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=1, max=3600, metavar="S", help="Duration of the arrivals.")] = 60,
    purchases: Annotated[
        int, typer.Option(min=0, max=100_000, metavar="N", help="Purchases by existing customers.")
    ] = 150,
    customers: Annotated[int, typer.Option(min=0, max=100_000, metavar="N", help="New customers.")] = 100,
    workers: Workers = 1,
    hubspot_limit: HubSpotLimit = 15,
    stripe_limit: StripeLimit = 100,
    latency_ms: Latency = "150-400",
    deliveries: Deliveries = 1,
    kill_worker: KillWorker = False,
    kill_database: KillDatabase = False,
    both_orders: Annotated[
        bool, typer.Option("--both-orders", help="Measure first come, first served as well, in a second burst.")
    ] = False,
    json_file: JsonFile = None,
    svg_file: SvgFile = None,
) -> None:
    """A burst of thousands of contacts with purchases and customers, beside the theoretical bound."""
    plot_file = svg_file or (json_file.with_suffix(".svg") if json_file else PLOT)
    check_file(plot_file)
    limits = Limits(hubspot_limit, stripe_limit, parse_bounds(latency_ms))
    failures = Failures(deliveries, kill_worker, kill_database)
    load = Load(contacts, purchases, customers, seconds)
    measured = burst_bench.measure(load, limits, workers, database, failures)
    figures, first_come = measured.figures, None
    if both_orders:
        first_come = burst_bench.measure(load, limits, workers, database, failures, first_come=True)
        compared = {name: first_come.figures[name] for name in ORDER_FIGURES}
        figures["first_come"] = {**compared, "bound_share": figures["bound_share_first_come"]}
    show(figures, _burst_targets(figures, database, limits))
    write(json_file, figures)
    write_text(plot_file, draw(measured, first_come))
    print(f"The plot of latency over arrival is in {plot_file}.")
    wrong = ("left", "extra_records", "lost", "doubled", "extra_creations")
    if not figures["at_rest"] or any(figures[name] for name in wrong):
        raise typer.Exit(1)


@app.command()
def claim(
    done: Annotated[
        int, typer.Option(min=1_000, max=10_000_000, metavar="N", help="Finished jobs in the large table.")
    ] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=10, max=100_000, metavar="N", help="Measured rounds.")] = 400,
    database: CrowdedDatabase = None,
    *,
    json_file: JsonFile = None,
) -> None:
    """The cost of claiming jobs with many finished and waiting jobs in the table, compared with a thousand."""
    figures = large_tables.measure_claims(done, rounds, [database] if database else [])
    for name, measured in figures.items():
        make_console().print(name)
        show(measured, {"claim_ratio": "<= 1.5", "finish_ratio": "<= 1.5", "queue_ratio": "<= 1.5"})
    write(json_file, figures)


@app.command()
def status(
    links: Annotated[int, typer.Option(min=0, max=10_000_000, metavar="N", help="Linked people.")] = 1_000_000,
    done: Annotated[int, typer.Option(min=0, max=10_000_000, metavar="N", help="Finished jobs.")] = 1_000_000,
    dead: Annotated[int, typer.Option(min=0, max=10_000_000, metavar="N", help="Dead letters.")] = 100_000,
    database: CrowdedDatabase = None,
    *,
    json_file: JsonFile = None,
) -> None:
    """The cost of status, alarms and metrics with a million linked people and finished jobs."""
    rows = {"done": done, "dead": dead, "ready": 2_000, "links": links, "records": 2 * links}
    readers: dict[str, Callable[[Store], object]] = {
        "status": read_status,
        "alarms": read_alarms,
        "metrics": read_gauges,
    }
    figures = large_tables.measure_status(rows, readers, [database] if database else [])
    for name, measured in figures.items():
        make_console().print(name)
        show(measured, {"status_p50_ms": "< 500", "alarms_p50_ms": "< 500", "metrics_p50_ms": "< 500"})
    write(json_file, figures)


# A command's options are its arguments: a line for each.
@app.command()
def poison(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help=f"Of {', '.join(poison_bench.POISONS)}.")
    ] = None,
    database: Database = None,
    *,
    seconds: Annotated[float, typer.Option(min=1, max=600, metavar="S", help="Duration of the edits of each.")] = 15,
    per_s: Annotated[float, typer.Option(min=0.1, max=20, metavar="N", help="Edits per second on each side.")] = 2,
    latency_ms: Latency = "150-400",
    workers: Workers = 1,
    json_file: JsonFile = None,
) -> None:
    """One bad record, event, listing, property or guest at a time: how soon other people's edits arrive meanwhile."""
    unknown = sorted(set(names or ()) - set(poison_bench.POISONS))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: expected of {', '.join(poison_bench.POISONS)}")
    limits = Limits(latency_ms=parse_bounds(latency_ms))
    figures = poison_bench.measure(poison_bench.PoisonOptions(names or (), seconds, per_s, limits, workers), database)
    for name, measured in figures.items():
        make_console().print(name)
        show(measured, {"max_s": f"<= {MAX_POISONED_S:g}", "lost": "0", "named_s": "<= 60"})
    write(json_file, figures)
    if poison_bench.find_slow(figures, MAX_POISONED_S):
        raise typer.Exit(1)


@app.command()
def judge(
    events: Annotated[int, typer.Option(min=10, max=1_000_000, metavar="N", help="Events of one contact.")] = 2_000,
    writes: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="Our own writes to it.")] = 20,
    *,
    json_file: JsonFile = None,
) -> None:
    """The time to judge the events of one contact that is changed again and again."""
    figures = judging.measure(events, writes)
    show(figures, {"judge_s": "<= 0.5", "growth": "<= 20"})
    write(json_file, figures)


# A command's options are its arguments: a line for each.
@app.command()
def reconcile(
    database: Database = None,
    *,
    records: Annotated[int, typer.Option(min=100, max=10_000_000, metavar="N", help="People on both sides.")] = 100_000,
    differences: Annotated[
        int, typer.Option(min=9, max=1_000_000, metavar="M", help="Differences of every class.")
    ] = 1_500,
    latency_ms: Latency = "200",
    hubspot_limit: HubSpotLimit = 15,
    stripe_limit: StripeLimit = 100,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="No limits and no latency.")] = False,
    parallel_listing: Annotated[
        bool, typer.Option("--parallel-listing", help="Also list contacts in parallel.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Repair the differences and compare again.")] = False,
    compare_only: Annotated[
        bool, typer.Option("--compare-only", help="Compare and plan without a listing, from 10,000 pairs up to N.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Diff with many people and differences of every class: what it finds, its time and memory."""
    if compare_only:
        _compare_only(records, differences, json_file)
        return
    limits = reconcile_bench.find_limits(hubspot_limit, stripe_limit, parse_bounds(latency_ms), unlimited=unlimited)
    options = reconcile_bench.ReconcileOptions(records, differences, limits, parallel_listing, apply)
    figures = reconcile_bench.measure(options, database)
    show(figures, reconcile_bench.find_targets(options, figures))
    write(json_file, figures)
    if reconcile_bench.find_wrong(figures):
        raise typer.Exit(1)


def _compare_only(records: int, differences: int, json_file: Path | None) -> None:
    figures = compare_only.measure(compare_only.list_sizes(records), differences)
    for name, measured in figures.items():
        make_console().print(name)
        show(measured, compare_only.TARGETS)
    write(json_file, figures)
    if any(map(compare_only.find_wrong, figures.values())):
        raise typer.Exit(1)


def _burst_targets(figures: Mapping[str, object], database: str | None, limits: Limits) -> dict[str, str]:
    bound_s, share = figures["bound_s"], figures["bound_share_within_30_s"]
    return {
        "drained_s": f"<= {bound_s} + 7 %",
        "share_within_30_s": f">= {SHARES.get(limits.stripe, share)}",
        "windows_over_limit": "0",
        "rate_limited": "0",
        "utilisation": ">= 0.94",
        "purchases_p99_s": "<= 5",
        "customers_p99_s": "<= 5",
        "webhook_p99_s": "< 1",
        "worker_cpu_ms_per_contact": "<= 6" if database else "<= 4",
        "left": "0",
        "at_rest": "True",
        "lost": "0",
        "doubled": "0",
        "extra_creations": "0",
        "extra_records": "0",
    }
