"""Runs that are broken off, stand in one another's way or are overtaken by what happens while they list."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import Stage
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import GuardError
from wanesync.core.model import Side
from wanesync.reconcile.lock import RUN_LOCK
from wanesync.reconcile.requests import Requests
from wanesync.sandbox.seed_data import SeedOptions
from wanesync.sandbox.server import Options
from wanesync.sync.loader import LISTED
from wanesync.wiring import build_reconcile, build_routine_tasks
from wanesync.worker.routine_tasks import POLL_INTERVAL_S

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
PAGES = 3


@pytest.fixture
def stage(sqlite_url: str, tmp_path: Path) -> Iterator[Stage]:
    """Some pages of contacts and nobody on Stripe."""
    options = Options(seed=SeedOptions(PAGES * 100, 0), tier="enterprise", hubspot_limit=1000, stripe_limit=1000)
    with Stage(sqlite_url, tmp_path, options) as opened:
        opened.sandbox.hubspot.portal.search_index.lag_ms = 0
        yield opened


def ignore(*_: object) -> None:
    """No progress is shown."""


def test_an_hourly_look_leaves_a_full_run_that_was_broken_off_alone(stage: Stage, tmp_path: Path) -> None:
    rounds = build_reconcile(stage.runtime, str(tmp_path / "snapshot"))
    stage.store.run(lambda tx: tx.settings.put(LISTED, "1"))
    with pytest.raises(GuardError, match="next run goes on"):
        rounds.compare(ignore, ignore, Requests(2))
    hourly = rounds.compare_changes(stage.store.now_ms() - 1000, ignore, ignore)
    assert hourly is not None
    hourly.close()
    before = rounds.open_snapshot(rounds.path)
    listed = {side: before.count(side) for side in Side}
    before.close()
    assert listed[HUBSPOT], "its pages are still there"
    assert rounds.compare(ignore, ignore).counts[DifferenceClass.CREATE_CUSTOMER]


def test_a_customer_that_is_gone_before_the_listing_ends_is_not_created_on_hubspot(stage: Stage) -> None:
    short_lived = stage.edit(STRIPE, "create", email="short@example.com", name="Short Lived")
    stage.edit(STRIPE, "create", email="stays@example.com", name="Stays Here")

    def delete(side: Side, _count: int) -> None:
        if side is STRIPE and stage.row(STRIPE, short_lived):
            stage.edit(STRIPE, "delete", short_lived)

    report = build_reconcile(stage.runtime).compare(delete, ignore, fresh=True)
    assert report.counts[DifferenceClass.CREATE_CONTACT] == 1
    report.close()


class Patience(threading.Event):
    """Told to stop when the lock of the other run, given back at the first wait, was taken and given back again."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage, self.waits = stage, 0

    def wait(self, timeout: float | None = None) -> bool:
        """No time passes."""
        assert timeout == POLL_INTERVAL_S
        self.waits += 1
        with self.stage.store.reading() as tx:
            listed = tx.settings.get(LISTED)
        assert (listed is None) == (self.waits == 1)
        self.stage.store.run(lambda tx: tx.settings.put(RUN_LOCK, ""))
        if self.waits == 2:
            self.set()
        return self.is_set()


def test_the_first_listing_waits_for_a_run_that_is_under_way(stage: Stage) -> None:
    stage.store.run(lambda tx: tx.settings.put(RUN_LOCK, f"another {tx.now_ms + 60_000}"))
    patience = Patience(stage)
    build_routine_tasks(stage.config, stage.runtime, tuple(Side), patience, list_first=True).run()
    assert patience.waits == 2
