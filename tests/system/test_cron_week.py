"""``diff`` and ``reconcile --dry-run`` every night for a week of simulated time: what cron sees, and what it costs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.reconcile.compare import Report
from wanesync.sandbox.seed_data import SeedOptions, seed_records
from wanesync.store.clock import wall_clock_ms
from wanesync.wiring import build_reconcile, snapshot_path

DAY_MS = 86_400_000
PEOPLE = 400
FLOOR = 10_000
"""Reads a month Stripe leaves to the smallest account."""
CUSTOMERS, NIGHTS = 25_000, 31


class Nights:
    """A stage whose clock is moved from night to night."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stage, self.offset_ms = stage, 0
        monkeypatch.setattr(stage.store.clock, "wall_ms", lambda: wall_clock_ms() + self.offset_ms)
        self.snapshot = Path(snapshot_path(stage.config))
        self.database = Path(stage.config.database.removeprefix("sqlite:"))

    def reads(self) -> int:
        """Requests Stripe counts as reads."""
        requests = self.stage.sandbox.stats()["stripe"]["requests"]
        assert isinstance(requests, int)
        return requests

    def look(self, since_ms: int | None = None) -> tuple[Report, int]:
        """One run as cron's, and the reads it took."""
        before = self.reads()
        rounds = build_reconcile(self.stage.runtime, str(self.snapshot))
        if since_ms is None:
            report = rounds.compare(lambda _side, _count: None, lambda _count: None)
        else:
            found = rounds.compare_changes(since_ms, lambda _side, _count: None, lambda _count: None)
            assert found is not None
            report = found
        took = self.reads() - before
        report.close()
        return report, took

    def size(self) -> int:
        """Bytes of the database with its log."""
        self.stage.store.checkpoint()
        return sum(path.stat().st_size for path in self.database.parent.glob(f"{self.database.name}*"))


def test_a_week_in_cron(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        seeded = seed_records(stage.sandbox.machines, SeedOptions(PEOPLE, PEOPLE, PEOPLE), stage.store.now_ms())
        stage.reconcile()
        stage.work()
        stage.rest()
        nights = Nights(stage, monkeypatch)
        first, _ = nights.look()
        assert first.actionable == 0
        sizes, full, part = [nights.size()], 0, 0
        for night in range(7):
            nights.offset_ms += DAY_MS
            if night in {2, 5}:
                contact, _ = seeded.pairs[night]
                stage.edit(Side.HUBSPOT, "update", contact, phone=f"+4930100{night:04d}")
            report, took = nights.look()
            full = max(full, took)
            # Exit code 1 from the third night on, 0 before: nobody repairs anything here.
            assert report.actionable == (night >= 2) + (night >= 5)
            # The stand-ins' own clock stands: their events are as old as they really are.
            report, took = nights.look(stage.store.now_ms() - nights.offset_ms - DAY_MS)
            part = max(part, took)
            sizes.append(nights.size())
            assert not list(tmp_path.glob("*.snapshot*")), "nothing of a run is left"
        assert max(sizes) <= sizes[0] * 1.02, sizes
        pages = math.ceil(PEOPLE / 100)
        nightly = math.ceil(CUSTOMERS / 100) + (full - pages) + part
        assert nightly * NIGHTS <= FLOOR, (full, part)
