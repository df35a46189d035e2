"""The version of HubSpot's API in use: when its support ends, and what to do before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.lanes import start_processes
from wanesync.core.setup.api_versions import NEWEST, UNSUPPORTED_FROM, find_endings
from wanesync.ops.alarms import read_alarms
from wanesync.ops.health.api_versions import describe_ending, read_api_version
from wanesync.store import Store
from wanesync.store.tables.settings import HUBSPOT_VERSION


def test_before_the_first_worker_no_version_is_known(store: Store) -> None:
    with store.reading() as tx:
        state = read_api_version(tx)
    assert (state.hubspot, state.of, state.ends, state.days_left) == ("", "", "", None)


def test_the_end_that_comes_first_is_shown(store: Store) -> None:
    with store.transaction() as tx:
        tx.settings.put(HUBSPOT_VERSION, "v3")
        state = read_api_version(tx)
    assert (state.hubspot, state.of, state.ends) == ("v3", "v4", "2027-03-30")


def test_an_api_version_near_its_end_is_named_with_what_to_set(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    start_processes(store)
    today = datetime.fromtimestamp(store.now_ms() / 1000, UTC).date()
    store.run(lambda tx: tx.settings.put(HUBSPOT_VERSION, "v3"))
    for days, expected in ((61, ""), (60, "in 60 days"), (0, "ended on")):
        monkeypatch.setitem(UNSUPPORTED_FROM, "v4", today + timedelta(days=days))
        monkeypatch.setitem(UNSUPPORTED_FROM, "v3", today + timedelta(days=500))
        alarms = read_alarms(store)
        assert len(alarms) == bool(expected)
        assert all(expected in alarm and 'set hubspot.api_version = "2026-09"' in alarm for alarm in alarms)


def test_the_newest_version_ends_with_an_update() -> None:
    [ending] = find_endings(NEWEST, 0)
    assert "install a newer wanesync" in describe_ending(ending)[1]
