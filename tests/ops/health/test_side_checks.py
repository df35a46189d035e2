"""Alarms of the regular check of each side."""

from __future__ import annotations

import pytest

from tests.support.lanes import start_processes
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.model import Side
from wanesync.ops.alarms import read_alarms
from wanesync.ops.health.side_checks import SideCheck, read_check, store_check
from wanesync.ops.pauses import pause_sides
from wanesync.store import Store

H, S = Side.HUBSPOT, Side.STRIPE


def check(store: Store, side: Side, failure: str = "", reason: str = "", error_ms: int = 0) -> None:
    now_ms = store.now_ms()
    found = SideCheck(now_ms, failure, reason, now_ms if failure else 0, error_ms)
    store.run(lambda tx: store_check(tx, side, found))


@pytest.mark.case(35)
def test_a_refused_key_names_the_setting_and_since_when(store: Store, clock: Clock) -> None:
    start_processes(store)
    check(store, H, "unauthorised", "401 EXPIRED_AUTHENTICATION")
    clock.advance(30_000)
    check(store, H, "unauthorised", "401 EXPIRED_AUTHENTICATION")
    start_processes(store)
    (alarm,) = read_alarms(store)
    assert alarm.startswith("hubspot refuses the key for 30 s (401 EXPIRED_AUTHENTICATION): put a valid one into ")
    assert "hubspot.access_token" in alarm
    check(store, H)
    assert read_alarms(store) == []


def test_a_side_that_is_paused_has_one_alarm(store: Store) -> None:
    start_processes(store)
    store.run(lambda tx: tx.pauses.set("stripe", "no answer", True, 1))
    check(store, S, "no_answer", "timed out")
    assert read_alarms(store) == ["stripe is unreachable: no answer"]
    store.run(lambda tx: tx.pauses.clear("stripe"))
    (alarm,) = read_alarms(store)
    assert alarm.startswith("stripe does not answer as it should for 0 s: timed out")


@pytest.mark.parametrize(("error_ms", "text"), [(180_000, "3 min ahead of"), (-7_200_000, "2 h behind")])
def test_a_clock_that_is_off_by_minutes_is_named(store: Store, error_ms: int, text: str) -> None:
    start_processes(store)
    check(store, S, error_ms=59_000)
    assert read_alarms(store) == []
    check(store, S, error_ms=error_ms)
    (alarm,) = read_alarms(store)
    assert alarm.startswith(f"the clock of the database is {text} stripe's: set it (NTP)")


def test_a_check_is_kept_as_it_was(store: Store) -> None:
    with store.reading() as tx:
        assert read_check(tx, H) is None
    check(store, H, error_ms=5)
    pause_sides(store, [H], ADA)
    with store.reading() as tx:
        kept = read_check(tx, H)
    assert kept is not None
    assert kept.clock_error_ms == 5
