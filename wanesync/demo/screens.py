"""What the demo shows: short sentences and tables, one column per portal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.live import Live
from rich.panel import Panel
from rich.rule import Rule

from wanesync.core.diff.difference import ACTIONABLE, MEANING, DifferenceClass
from wanesync.core.model import Side
from wanesync.demo.checks import percentile
from wanesync.ops.status_table import show
from wanesync.sandbox.traffic import ActivityKind
from wanesync.terminal import format_duration, make_table

if TYPE_CHECKING:
    from rich.table import Table

    from wanesync.demo.installation import World
    from wanesync.demo.steps import Story
    from wanesync.reconcile.run import Report

WIDTH = 88
SINK = {"enterprise": "custom events", "professional": "notes"}


def announce(story: Story, number: int, title: str) -> None:
    """The head of a chapter."""
    story.screen.print()
    story.screen.print(Rule(f"[bold]{number}  {title}[/]", align="left", style="blue"), width=WIDTH)


def begin(story: Story) -> None:
    """What is about to happen."""
    text = (
        "[bold]wanesync[/] keeps HubSpot contacts and Stripe customers the same, both ways,\n"
        "and records every Stripe purchase on the contact.\n\n"
        "This runs real processes, real HTTP and real signatures against a stand-in HubSpot\n"
        "and a stand-in Stripe on this machine. It takes about a minute; nothing leaves here."
    )
    story.screen.print(Panel(text, width=WIDTH, border_style="blue"))


def introduce(story: Story) -> None:
    """Who is there at the start."""
    announce(story, 1, "Two systems that never met")
    made = _columns(story, "")
    rows: Mapping[str, Callable[[World], str]] = {
        "contacts in HubSpot": lambda world: f"{len(world.records(Side.HUBSPOT)):,}",
        "customers in Stripe": lambda world: f"{len(world.records(Side.STRIPE)):,}",
        "people who are both": lambda world: f"{world.cast.overlap:,}, some written differently",
        "a purchase becomes": lambda world: SINK[world.tier],
        "processes": lambda world: f"serve {world.serving.pid}, worker {world.working.pid}",
    }
    for name, tell in rows.items():
        made.add_row(name, *(tell(world) for world in story.worlds))
    story.screen.print(made)
    story.screen.print("Each request takes 150 to 400 ms, as over the internet. Both APIs enforce their rate limits.")


def show_differences(story: Story, reports: Mapping[str, Report]) -> None:
    """What ``wanesync diff`` counts."""
    made = _columns(story, "wanesync diff")
    made.add_column("")
    for kind in DifferenceClass:
        counts = [reports[world.tier].counts[kind] for world in story.worlds]
        if any(counts):
            style = "yellow" if kind in ACTIONABLE else "green" if kind is DifferenceClass.IN_SYNC else "default"
            made.add_row(f"[{style}]{kind}[/]", *(f"{count:,}" for count in counts), f"[dim]{MEANING[kind]}[/]")
    story.screen.print(made)


@contextmanager
def watching(story: Story) -> Iterator[None]:
    """A table that follows the life on both sides, where there is a terminal."""
    story.screen.print("People edit, sign up and buy; one webhook in five comes twice, all of them out of order.")
    if not story.screen.is_terminal:
        yield
        story.screen.print(_life(story))
        return
    ended = threading.Event()
    with Live(_life(story), console=story.screen, auto_refresh=False, transient=False) as live:

        def follow() -> None:
            while not ended.wait(0.5):
                live.update(_life(story), refresh=True)

        thread = threading.Thread(target=follow, name="life")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            live.update(_life(story), refresh=True)


def _life(story: Story) -> Table:
    made = _columns(story, "so far")
    deeds: Mapping[str, tuple[ActivityKind, ...]] = {
        "edits": (ActivityKind.EDIT,),
        "edits of one person on both sides": (ActivityKind.EDIT_BOTH,),
        "new people": (ActivityKind.CREATE,),
        "purchases": (ActivityKind.PURCHASE, ActivityKind.GUEST),
    }
    for name, kinds in deeds.items():
        made.add_row(
            name, *(f"{sum(activity.kind in kinds for activity in world.activities):,}" for world in story.worlds)
        )
    overviews = [world.overview() for world in story.worlds]
    waiting = [sum(lane.due + lane.running for lane in seen.lanes.values()) for seen in overviews]
    made.add_row("jobs waiting or running", *(f"{count:,}" for count in waiting))
    return made


def show_status(story: Story) -> None:
    """What ``wanesync status`` shows."""
    story.screen.print(f"Everything was done {story.settled_s:.1f} s after the last edit. wanesync status says:")
    for world in story.worlds:
        story.screen.print(f"\n[bold]{world.tier}[/]")
        story.screen.print(show(world.overview()))


def conclude(story: Story) -> None:
    """How fast it was, and whether it held."""
    announce(story, 6, "How long an edit took to arrive on the other side")
    made = make_table("", ">arrived", ">half within", ">95 % within", ">all within")
    for world in story.worlds:
        made.add_row(f"[bold]{world.tier}[/]")
        for way, spans in story.proofs[world.tier].spans_ms.items():
            figures = [percentile(spans, share) / 1000 for share in (0.5, 0.95, 1.0)]
            made.add_row(f"  {way}", f"{len(spans):,}", *(f"{figure:.1f} s" for figure in figures))
    story.screen.print(made)
    story.screen.print("[dim]From commit to commit, by the stand-ins' own books, the killed worker included.[/]")
    announce(story, 7, "Did it hold?")
    for world in story.worlds:
        _judge(story, world)
    verdict = "[bold green]It held.[/]" if story.proven else "[bold red]It did not hold.[/]"
    story.screen.print(f"\n{verdict} {format_duration(story.took_s * 1000)} in all.")


def _judge(story: Story, world: World) -> None:
    proof, report, stats = story.proofs[world.tier], story.last[world.tier], world.stats()
    checks = [
        ("nothing left to repair", [f"{report.actionable} differences"] if report.actionable else []),
        ("nobody is there twice", proof.doubles),
        (
            f"all {proof.purchases} purchases are on their contacts, once each ({SINK[world.tier]})",
            proof.purchase_faults,
        ),
    ]
    story.screen.print(f"[bold]{world.tier}[/]")
    for name, faults in checks:
        story.screen.print(f"  {'[red]✘[/]' if faults else '[green]✔[/]'} {name}")
        for fault in faults[:5]:
            story.screen.print(f"      [red]{fault}[/]")
    refused = sum(int(str(counts["rate_limited"])) for counts in stats.values())
    windows = ", ".join(f"{side} {counts['largest_window_1s']}" for side, counts in stats.items())
    story.screen.print(f"  [dim]requests in the fullest second: {windows}; refused for speed: {refused}[/]")


def _columns(story: Story, first: str) -> Table:
    return make_table(first, *(f">{world.tier}" for world in story.worlds))
