"""The demo's story: every step in all worlds at the same time, and what it came to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console

from wanesync.core.model import Side
from wanesync.demo import screens as chapters
from wanesync.demo.checks import Books, Proof, percentile, prove
from wanesync.demo.installation import World
from wanesync.reconcile.run import Report
from wanesync.terminal import progress_bars

_T = TypeVar("_T")


@dataclass(slots=True)
class Story:
    """The demo, step by step, in all worlds at the same time."""

    worlds: Sequence[World]
    seconds: int
    screen: Console
    began: float = field(default_factory=time.monotonic)
    took_s: float = 0.0
    settled_s: float = 0.0
    since_ms: int = 0
    planted: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    last: dict[str, Report] = field(default_factory=dict)
    proofs: dict[str, Proof] = field(default_factory=dict)

    def tell(self) -> None:
        """All of it."""
        chapters.begin(self)
        self._set_up()
        chapters.announce(self, 2, "What is not the same")
        chapters.show_differences(self, self._compare())
        chapters.announce(self, 3, "Reconcile")
        self._repair()
        chapters.announce(self, 4, f"{self.seconds} seconds of life")
        self._live()
        chapters.announce(self, 5, "At rest")
        chapters.show_status(self)
        self.last = self._compare()
        chapters.show_differences(self, self.last)
        self.proofs = {world.tier: self._prove(world) for world in self.worlds}
        self.took_s = time.monotonic() - self.began
        chapters.conclude(self)

    @property
    def proven(self) -> bool:
        """Whether all worlds ended as they should."""
        return bool(self.proofs) and all(
            not proof.doubles and not proof.purchase_faults and not self.last[tier].actionable
            for tier, proof in self.proofs.items()
        )

    def together(self, step: Callable[[World], _T]) -> list[_T]:
        """One step in every world at once; the first trouble is raised."""
        with ThreadPoolExecutor(len(self.worlds)) as pool:
            return [future.result() for future in [pool.submit(step, world) for world in self.worlds]]

    def _set_up(self) -> None:
        with self.screen.status("Starting the stand-ins and the processes of wanesync ..."):
            self.together(lambda world: world.start())
        self.planted = {world.tier: world.records(Side.STRIPE) for world in self.worlds}
        chapters.introduce(self)

    def _compare(self) -> dict[str, Report]:
        with progress_bars(self.screen, told=True) as shown:
            labels = {world.tier: f"{world.tier}: records listed" for world in self.worlds}
            advances = {tier: shown.add(label) for tier, label in labels.items()}

            def look(world: World) -> Report:
                return world.compare(lambda _side, count: advances[world.tier](count), lambda _count: None)

            reports = self.together(look)
            for label in labels.values():
                shown.end(label)
        return {world.tier: report for world, report in zip(self.worlds, reports, strict=True)}

    def _repair(self) -> None:
        with progress_bars(self.screen, told=True) as shown:
            labels = {world.tier: f"{world.tier}: jobs done" for world in self.worlds}
            for label in labels.values():
                shown.add(label)
            self.together(lambda world: world.repair(lambda done, jobs: shown.set(labels[world.tier], done, jobs)))
            for label in labels.values():
                shown.end(label)

    def _live(self) -> None:
        self.since_ms = time.time_ns() // 1_000_000
        began = time.monotonic()

        def tell(world: World, line: str) -> None:
            self.screen.print(f"  {time.monotonic() - began:4.1f} s  [bold]{world.tier:<12}[/]  {line}")

        with chapters.watching(self):
            self.together(lambda world: world.live(self.seconds, lambda line: tell(world, line)))
            self.settled_s = max(self.together(lambda world: world.settle()))

    def _prove(self, world: World) -> Proof:
        books = Books(
            hubspot=world.journal(Side.HUBSPOT),
            stripe=world.journal(Side.STRIPE),
            contacts=world.records(Side.HUBSPOT),
            customers=world.records(Side.STRIPE),
            planted=self.planted[world.tier],
        )
        return prove(books, self.since_ms)

    def as_json(self) -> dict[str, object]:
        """``{"ok", "took_s", "tiers": {tier: …}}``."""
        return {
            "ok": self.proven,
            "took_s": round(self.took_s, 1),
            "settled_s": round(self.settled_s, 1),
            "tiers": {
                tier: {
                    "actionable": self.last[tier].actionable,
                    "counts": {str(kind): count for kind, count in self.last[tier].counts.items()},
                    "duplicates": proof.doubles,
                    "purchases": proof.purchases,
                    "purchase_faults": proof.purchase_faults,
                    "latency_ms": {
                        way: {
                            "arrived": len(spans),
                            "p50": percentile(spans, 0.5),
                            "p95": percentile(spans, 0.95),
                            "p99": percentile(spans, 0.99),
                            "max": max(spans, default=0),
                        }
                        for way, spans in proof.spans_ms.items()
                    },
                }
                for tier, proof in self.proofs.items()
            },
        }
