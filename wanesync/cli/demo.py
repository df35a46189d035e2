"""``demo``: two worlds, two systems that never met, and what wanesync makes of them."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from wanesync.cli.program import AsJson
from wanesync.cli.screen import Bars, bars, console, print_json
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side

if TYPE_CHECKING:
    from rich.console import Console

    from wanesync.cli.proof import Proof
    from wanesync.cli.world import World
    from wanesync.engine.reconcile import Report

_T = TypeVar("_T")


class Tier(StrEnum):
    """Which stand-in portal: its purchases become custom events (enterprise) or notes (professional)."""

    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"
    BOTH = "both"

    @property
    def names(self) -> list[str]:
        """One or both."""
        return [Tier.ENTERPRISE.value, Tier.PROFESSIONAL.value] if self is Tier.BOTH else [self.value]


def demo(
    *,
    tier: Annotated[Tier, typer.Option(help="Which HubSpot portal; both run at the same time.")] = Tier.BOTH,
    database: Annotated[
        str, typer.Option(metavar="URL", help="An empty database instead of a new SQLite file; for one tier.")
    ] = "",
    seconds: Annotated[int, typer.Option(min=5, max=600, help="How long people edit and buy.")] = 20,
    contacts: Annotated[int, typer.Option(min=10, help="Contacts at the start.")] = 500,
    customers: Annotated[int, typer.Option(min=10, help="Customers at the start.")] = 300,
    overlap: Annotated[int, typer.Option(min=5, help="People who are both.")] = 120,
    as_json: AsJson = False,
) -> None:
    """Watch a stand-in HubSpot and a stand-in Stripe become the same, and stay the same. Takes about a minute."""
    if database and tier is Tier.BOTH:
        raise ConfigError(["--database is one state: choose --tier professional or --tier enterprise for it"])
    if overlap > min(contacts, customers):
        raise ConfigError([f"--overlap {overlap} is more than there are contacts or customers"])
    from wanesync.cli.world import Cast, World  # noqa: PLC0415 - keeps --help fast

    folder = Path(tempfile.mkdtemp(prefix="wanesync-demo-"))
    cast = Cast(contacts, customers, overlap, database)
    story = Story([World(name, folder, cast) for name in tier.names], seconds, _screen(quiet=as_json))
    with ExitStack() as stack:
        for world in story.worlds:
            stack.callback(world.stop)
        story.tell()
    if as_json:
        print_json(story.as_json())
    if not story.proven:
        story.screen.print(f"[red]What the processes said is in {folder}[/]")
        raise typer.Exit(1)
    rmtree(folder, ignore_errors=True)


def _screen(*, quiet: bool) -> Console:
    from rich.console import Console  # noqa: PLC0415 - keeps --help fast

    return Console(quiet=True) if quiet else console()


@dataclass(slots=True)
class Story:
    """The demo, step by step, in all worlds at the same time."""

    worlds: Sequence[World]
    seconds: int
    screen: Console
    began: float = field(default_factory=time.monotonic)
    took_s: float = 0.0
    since_ms: int = 0
    planted: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    last: dict[str, Report] = field(default_factory=dict)
    proofs: dict[str, Proof] = field(default_factory=dict)

    def tell(self) -> None:
        """All of it."""
        from wanesync.cli import chapters  # noqa: PLC0415 - keeps --help fast

        chapters.open_book(self)
        self._set_up()
        self._reconcile()
        self._live()
        self._end()
        self.took_s = time.monotonic() - self.began
        chapters.close_book(self)

    @property
    def proven(self) -> bool:
        """Whether all worlds ended as they should."""
        return bool(self.proofs) and all(
            not proof.doubles and not proof.purchase_faults and not self.last[tier].actionable
            for tier, proof in self.proofs.items()
        )

    def together(self, step: Callable[[World], _T]) -> list[_T]:
        """One step in every world at once; the first trouble is raised."""
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - as above

        with ThreadPoolExecutor(len(self.worlds)) as pool:
            return [future.result() for future in [pool.submit(step, world) for world in self.worlds]]

    def _set_up(self) -> None:
        from wanesync.cli import chapters  # noqa: PLC0415 - as above

        with self.screen.status("starting two sandboxes and the processes of wanesync ..."):
            self.together(lambda world: world.start())
        self.planted = {world.tier: world.records(Side.STRIPE) for world in self.worlds}
        chapters.introduce(self)

    def _reconcile(self) -> None:
        from wanesync.cli import chapters  # noqa: PLC0415 - as above

        first: dict[str, Report] = {}
        known = threading.Barrier(len(self.worlds) + 1)
        with bars(self.screen) as shown:
            listed = {world.tier: shown.add(f"{world.tier}: both sides listed") for world in self.worlds}

            def work(world: World) -> None:
                try:
                    world.reconcile(
                        lambda _side, n: listed[world.tier](n),
                        lambda report: (first.__setitem__(world.tier, report), known.wait(60), None)[2],
                        lambda done, jobs: shown.set(f"{world.tier}: brought in order", done, jobs),
                    )
                except BaseException:
                    known.abort()
                    raise

            del work
        _ = chapters, first, known
