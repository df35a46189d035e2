"""The state of every rule, the history and the deliveries, as they are shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support.alert_situations import BOOK, HOUR_MS, POLICY, H, Watch
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.operating.alarms import AlarmCode, Level
from wanesync.ops.alerts.changes import SilenceRequest, silence
from wanesync.ops.alerts.listing import list_alerts, list_deliveries, list_history, show_change, show_delivery
from wanesync.ops.pauses import pause_sides, resume_sides
from wanesync.store import Store

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_the_worst_rule_stands_first_and_every_one_is_listed(store: Store, clock: Clock) -> None:
    watch = Watch(clock, [store])
    assert list_alerts(store, POLICY, BOOK).evaluated_s is None
    pause_sides(store, [H], ADA)
    watch.ticks(20)
    silence(store, SilenceRequest("side_paused", "", HOUR_MS, "known"), ADA)
    policy = replace(POLICY, levels={AlarmCode.DISK_FULL: Level.OK})
    found = list_alerts(store, policy, BOOK)
    first = found.rules[0]
    assert (first.code, first.worst, first.silenced, len(first.alerts)) == ("side_paused", Level.WARN, True, 1)
    assert {rule.code for rule in found.rules} == set(AlarmCode)
    assert [rule.code for rule in found.rules if rule.level == "off"] == ["disk_full"]
    assert (found.waiting, found.evaluated_s) == (1, 0.0)
    shown = json.loads(json.dumps(found.as_json()))
    assert shown["rules"][0]["alerts"][0]["subject"] == "hubspot"
    assert shown["silences"][0]["operator"] == str(ADA)


def test_history_and_deliveries_come_by_page_the_newest_first(store: Store, clock: Clock) -> None:
    watch = Watch(clock, [store])
    pause_sides(store, [H], ADA)
    watch.ticks(20)
    resume_sides(store, [H], ADA)
    watch.ticks(120)
    newest, oldest = list_history(store, 9)
    assert [row.level for row in (newest, oldest)] == [Level.OK, Level.WARN]
    assert list_history(store, 9, newest.id) == [oldest]
    assert list_history(store, 9, code="disk_full") == []
    assert list_history(store, 1, code="side_paused") == [newest]
    assert show_change(oldest)["what"] == "hubspot is paused by an operator (wanesync resume ends it), for 10 s"
    deliveries = list_deliveries(store, 9)
    assert [show_delivery(one)["kind"] for one in deliveries] == ["recovered", "raised"]
    assert list_deliveries(store, 9, states=["sent"]) == []
    assert list_deliveries(store, 9, deliveries[0].id) == deliveries[1:]
