"""The output of the demo: short sentences and tables with one column per installation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.live import Live
from rich.panel import Panel
from rich.rule import Rule

from wanesync.core.diff.difference import ACTIONABLE, MEANING, DifferenceClass
from wanesync.core.model import Side
from wanesync.demo.checks import percentile
from wanesync.ops.status_table import render_status
from wanesync.sandbox.traffic import ActivityKind
from wanesync.terminal import format_duration, make_table

if TYPE_CHECKING:
    from rich.table import Table

    from wanesync.demo.installation import Installation
    from wanesync.demo.run import Demo
    from wanesync.reconcile.compare import Report

WIDTH = 88
SINK = {"enterprise": "custom events", "professional": "notes"}


def announce(demo: Demo, number: int, title: str) -> None:
    """Print the heading of a step."""
    demo.console.print()
    demo.console.print(Rule(f"[bold]{number}  {title}[/]", align="left", style="blue"), width=WIDTH)


def begin(demo: Demo) -> None:
    """Print the introduction."""
    text = (
        "[bold]wanesync[/] keeps HubSpot contacts and Stripe customers the same, both ways,\n"
        "and records every Stripe purchase on the contact.\n\n"
        "This runs real processes, real HTTP and real signatures against a stand-in HubSpot\n"
        "and a stand-in Stripe on this machine. It takes about a minute; nothing leaves here."
    )
    demo.console.print(Panel(text, width=WIDTH, border_style="blue"))


def introduce(demo: Demo) -> None:
    """Print the records and processes at the start."""
    announce(demo, 1, "Two systems that were never synced")
    made = _columns(demo, "")
    rows: Mapping[str, Callable[[Installation], str]] = {
        "contacts in HubSpot": lambda installation: f"{len(installation.records(Side.HUBSPOT)):,}",
        "customers in Stripe": lambda installation: f"{len(installation.records(Side.STRIPE)):,}",
        "people on both sides": lambda installation: f"{installation.options.overlap:,}, some written differently",
        "a purchase becomes": lambda installation: SINK[installation.tier],
        "processes": lambda installation: f"serve {installation.server.pid}, worker {installation.worker.pid}",
    }
    for name, read in rows.items():
        made.add_row(name, *(read(installation) for installation in demo.installations))
    demo.console.print(made)
    demo.console.print("Each request takes 150 to 400 ms, as over the internet. Both APIs enforce their rate limits.")


def show_differences(demo: Demo, reports: Mapping[str, Report]) -> None:
    """Print the counts of ``wanesync diff``."""
    made = _columns(demo, "wanesync diff")
    made.add_column("")
    for kind in DifferenceClass:
        counts = [reports[installation.tier].counts[kind] for installation in demo.installations]
        if any(counts):
            style = "yellow" if kind in ACTIONABLE else "green" if kind is DifferenceClass.IN_SYNC else "default"
            made.add_row(f"[{style}]{kind}[/]", *(f"{count:,}" for count in counts), f"[dim]{MEANING[kind]}[/]")
    demo.console.print(made)


@contextmanager
def watching(demo: Demo) -> Iterator[None]:
    """Show a live table of the traffic on a terminal, and print it once elsewhere."""
    demo.console.print("Users edit, sign up and buy; one webhook in five is delivered twice, all of them out of order.")
    if not demo.console.is_terminal:
        yield
        demo.console.print(_make_traffic_table(demo))
        return
    ended = threading.Event()
    with Live(_make_traffic_table(demo), console=demo.console, auto_refresh=False, transient=False) as live:

        def follow() -> None:
            while not ended.wait(0.5):
                live.update(_make_traffic_table(demo), refresh=True)

        thread = threading.Thread(target=follow, name="traffic")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            live.update(_make_traffic_table(demo), refresh=True)


def _make_traffic_table(demo: Demo) -> Table:
    made = _columns(demo, "so far")
    kinds_by_name: Mapping[str, tuple[ActivityKind, ...]] = {
        "edits": (ActivityKind.EDIT,),
        "edits of one person on both sides": (ActivityKind.EDIT_BOTH,),
        "new people": (ActivityKind.CREATE,),
        "purchases": (ActivityKind.PURCHASE, ActivityKind.GUEST),
    }
    for name, kinds in kinds_by_name.items():
        made.add_row(
            name,
            *(
                f"{sum(activity.kind in kinds for activity in installation.activities):,}"
                for installation in demo.installations
            ),
        )
    overviews = [installation.overview() for installation in demo.installations]
    waiting = [sum(lane.due + lane.running for lane in seen.lanes.values()) for seen in overviews]
    made.add_row("jobs waiting or running", *(f"{count:,}" for count in waiting))
    return made


def show_status(demo: Demo) -> None:
    """Print the output of ``wanesync status``."""
    demo.console.print(f"Everything was synced {demo.settled_s:.1f} s after the last edit. wanesync status:")
    for installation in demo.installations:
        demo.console.print(f"\n[bold]{installation.tier}[/]")
        demo.console.print(render_status(installation.overview()))


def conclude(demo: Demo) -> None:
    """Print the latencies and the result of the checks."""
    announce(demo, 6, "Latency of edits to the other side")
    made = make_table("", ">arrived", ">half within", ">95 % within", ">all within")
    for installation in demo.installations:
        made.add_row(f"[bold]{installation.tier}[/]")
        for direction, values in demo.results[installation.tier].latencies_ms.items():
            figures = [percentile(values, share) / 1000 for share in (0.5, 0.95, 1.0)]
            made.add_row(f"  {direction}", f"{len(values):,}", *(f"{figure:.1f} s" for figure in figures))
    demo.console.print(made)
    demo.console.print(
        "[dim]From commit to commit in the journals of the stand-ins, the time of the killed worker included.[/]"
    )
    announce(demo, 7, "Checks")
    for installation in demo.installations:
        _show_checks(demo, installation)
    answer = "[bold green]All checks passed.[/]" if demo.passed else "[bold red]A check failed.[/]"
    demo.console.print(f"\n{answer} {format_duration(demo.took_s * 1000)} in all.")


def offer_admin(demo: Demo) -> None:
    """Say how to see the two systems beside the admin service."""
    demo.console.print("To see both systems beside the admin page: make demo KEEP=1 (or wanesync demo --keep)")


def show_addresses(demo: Demo, lines: Mapping[str, Sequence[str]]) -> None:
    """Print where the admin service and the stand-ins are. ``lines``: by installation, what the service printed."""
    announce(demo, 8, "Kept up: the admin page beside both systems")
    for installation in demo.installations:
        demo.console.print(f"[bold]{installation.tier}[/]")
        for line in lines[installation.tier]:
            # Not broken, so that the address can be opened from here.
            demo.console.print(f"  {line}", soft_wrap=True, highlight=False)
        control = installation.sandbox.hubspot_url
        demo.console.print(f"  stand-ins: HubSpot {control}, Stripe {installation.sandbox.stripe_url}", highlight=False)
    demo.console.print("Users go on editing and buying. Ctrl-C ends it.")


def _show_checks(demo: Demo, installation: Installation) -> None:
    result, report, stats = demo.results[installation.tier], demo.reports[installation.tier], installation.stats()
    checks = [
        ("no differences left", [f"{report.actionable} differences"] if report.actionable else []),
        ("no duplicates", result.duplicates),
        (
            f"all {result.purchases} purchases are on their contacts exactly once ({SINK[installation.tier]})",
            result.purchase_faults,
        ),
    ]
    demo.console.print(f"[bold]{installation.tier}[/]")
    for name, faults in checks:
        demo.console.print(f"  {'[red]✘[/]' if faults else '[green]✔[/]'} {name}")
        for fault in faults[:5]:
            demo.console.print(f"      [red]{fault}[/]")
    refused = sum(int(str(counts["rate_limited"])) for counts in stats.values())
    windows = ", ".join(f"{side} {counts['largest_window_1s']}" for side, counts in stats.items())
    demo.console.print(f"  [dim]requests in the fullest second: {windows}; refused by the limits: {refused}[/]")


def _columns(demo: Demo, first: str) -> Table:
    return make_table(first, *(f">{installation.tier}" for installation in demo.installations))
