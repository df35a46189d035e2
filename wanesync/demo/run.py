"""The demo: every step in all installations at once, and the results."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console

from wanesync.core.model import Side
from wanesync.demo import screens
from wanesync.demo.checks import CheckResult, SandboxHistory, check_history, percentile
from wanesync.demo.installation import Installation
from wanesync.reconcile.compare import Report
from wanesync.terminal import progress_bars

_T = TypeVar("_T")


@dataclass(slots=True)
class Demo:
    """The demo, step by step, in all installations at once."""

    installations: Sequence[Installation]
    seconds: int
    console: Console
    started_s: float = field(default_factory=time.monotonic)
    took_s: float = 0.0
    settled_s: float = 0.0
    since_ms: int = 0
    planted: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    results: dict[str, CheckResult] = field(default_factory=dict)

    def run(self) -> None:
        """Run all steps."""
        screens.begin(self)
        self._set_up()
        screens.announce(self, 2, "Differences")
        screens.show_differences(self, self._compare())
        screens.announce(self, 3, "Reconcile")
        self._repair()
        screens.announce(self, 4, f"{self.seconds} seconds of traffic")
        self._run_traffic()
        screens.announce(self, 5, "After the last edit")
        screens.show_status(self)
        self.reports = self._compare()
        screens.show_differences(self, self.reports)
        self.results = {installation.tier: self._check(installation) for installation in self.installations}
        self.took_s = time.monotonic() - self.started_s
        screens.conclude(self)

    def keep_up(self, stopping: threading.Event) -> None:
        """Run the admin service of every installation beside the traffic, until ``stopping`` is set."""
        lines: dict[str, list[str]] = {
            installation.tier: installation.open_admin() for installation in self.installations
        }
        screens.show_addresses(self, lines)
        self.run_in_all(lambda installation: installation.keep_up(stopping))

    @property
    def passed(self) -> bool:
        """Whether all checks passed in all installations."""
        return bool(self.results) and all(
            not result.duplicates and not result.purchase_faults and not self.reports[tier].actionable
            for tier, result in self.results.items()
        )

    def run_in_all(self, step: Callable[[Installation], _T]) -> list[_T]:
        """Run one step in every installation at once. Raises the first error."""
        with ThreadPoolExecutor(len(self.installations)) as pool:
            return [
                future.result() for future in [pool.submit(step, installation) for installation in self.installations]
            ]

    def _set_up(self) -> None:
        with self.console.status("Starting the stand-ins and the processes of wanesync ..."):
            self.run_in_all(lambda installation: installation.start())
        self.planted = {installation.tier: installation.records(Side.STRIPE) for installation in self.installations}
        screens.introduce(self)

    def _compare(self) -> dict[str, Report]:
        with progress_bars(self.console, print_totals=True) as shown:
            labels = {installation.tier: f"{installation.tier}: records listed" for installation in self.installations}
            advances = {tier: shown.add(label) for tier, label in labels.items()}

            def look(installation: Installation) -> Report:
                return installation.compare(
                    lambda _side, count: advances[installation.tier](count), lambda _count: None
                )

            reports = self.run_in_all(look)
            for label in labels.values():
                shown.end(label)
        return {installation.tier: report for installation, report in zip(self.installations, reports, strict=True)}

    def _repair(self) -> None:
        with progress_bars(self.console, print_totals=True) as shown:
            labels = {installation.tier: f"{installation.tier}: jobs done" for installation in self.installations}
            for label in labels.values():
                shown.add(label)
            self.run_in_all(
                lambda installation: installation.repair(
                    lambda done, jobs: shown.set(labels[installation.tier], done, jobs)
                )
            )
            for label in labels.values():
                shown.end(label)

    def _run_traffic(self) -> None:
        self.since_ms = time.time_ns() // 1_000_000
        began = time.monotonic()

        def announce(installation: Installation, line: str) -> None:
            self.console.print(f"  {time.monotonic() - began:4.1f} s  [bold]{installation.tier:<12}[/]  {line}")

        with screens.watching(self):
            self.run_in_all(
                lambda installation: installation.run_traffic(self.seconds, lambda line: announce(installation, line))
            )
            self.settled_s = max(self.run_in_all(lambda installation: installation.settle()))

    def _check(self, installation: Installation) -> CheckResult:
        history = SandboxHistory(
            hubspot=installation.journal(Side.HUBSPOT),
            stripe=installation.journal(Side.STRIPE),
            contacts=installation.records(Side.HUBSPOT),
            customers=installation.records(Side.STRIPE),
            planted=self.planted[installation.tier],
        )
        return check_history(history, self.since_ms)

    def as_json(self) -> dict[str, object]:
        """``{"ok", "took_s", "tiers": {tier: …}}``."""
        return {
            "ok": self.passed,
            "took_s": round(self.took_s, 1),
            "settled_s": round(self.settled_s, 1),
            "tiers": {
                tier: {
                    "actionable": self.reports[tier].actionable,
                    "counts": {str(kind): count for kind, count in self.reports[tier].counts.items()},
                    "duplicates": result.duplicates,
                    "purchases": result.purchases,
                    "purchase_faults": result.purchase_faults,
                    "latency_ms": {
                        direction: {
                            "arrived": len(values),
                            "p50": percentile(values, 0.5),
                            "p95": percentile(values, 0.95),
                            "p99": percentile(values, 0.99),
                            "max": max(values, default=0),
                        }
                        for direction, values in result.latencies_ms.items()
                    },
                }
                for tier, result in self.results.items()
            },
        }
