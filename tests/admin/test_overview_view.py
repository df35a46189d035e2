"""The overview in words."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.support.lanes import bury, queue, start_processes
from tests.support.operators import ADA
from wanesync.admin.lane_samples import LaneSamples
from wanesync.admin.overview_view import Choice, OverviewView, charts_as_json, make_view
from wanesync.core.jobs import DeadClass, JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.core.rate_limits import Limit
from wanesync.ops.overview import Line, Period, read_overview, read_trends
from wanesync.ops.pauses import pause_sides
from wanesync.store import Store

PAGES = {"/", "/limits", "/queue"}


def view(store: Store) -> OverviewView:
    choice = Choice()
    trends = read_trends(store, choice.period, choice.side, 30)
    samples = LaneSamples()
    samples.take(store)
    return make_view(read_overview(store, trends, 30), samples, choice, PAGES)


def test_the_address_holds_the_choice_without_what_is_the_default() -> None:
    assert Choice().query() == ""
    assert Choice(Period.DAY, Side.STRIPE).query() == "period=day&side=stripe"
    assert Choice(Period.DAY, Side.STRIPE).query(period="hour") == "side=stripe"
    assert Choice().topic != Choice(Period.DAY).topic


def test_nothing_that_runs_is_critical_and_stands_first(store: Store) -> None:
    store.run(lambda tx: tx.settings.put("listed", "1"))
    pause_sides(store, [Side.HUBSPOT], ADA)
    found = view(store)
    assert found.alarms[0].level == "critical"
    assert [alarm.path for alarm in found.alarms if alarm.path] == ["/limits#pauses"]
    assert found.alarm_summary == f"{len(found.alarms)} alarms, 3 critical"
    assert [(lane.name, lane.state) for lane in found.lanes] == [("HubSpot", "paused"), ("Stripe", "no worker")]


def test_what_runs_well_is_calm(store: Store) -> None:
    start_processes(store)
    found = view(store)
    assert (found.alarms, found.alarm_summary) == ([], "no alarm")
    tiles = {tile.name: tile for tile in found.tiles}
    assert (tiles["Due or running"].value, tiles["Due or running"].note) == ("0", "the queue is empty")
    assert (tiles["Synced within 30 s"].value, tiles["Workers alive"].value) == ("–", "2")
    assert {tile.kind for tile in found.tiles} == {""}


def test_a_queue_its_limit_and_dead_letters_are_shown(store: Store) -> None:
    start_processes(store)
    queue(store, Side.STRIPE, JobKind.READ, 100)
    bury(store, JobRequest(Side.STRIPE, JobKind.READ, "cus_1", Priority.LIVE))
    bury(store, JobRequest(Side.HUBSPOT, JobKind.PURCHASE, "ch_1", Priority.LIVE), DeadClass.UNMATCHED)
    store.run(lambda tx: tx.rates.put(Limit("stripe", 25, 20, 25, reason="stripe refused more"), is_new=True))
    found = view(store)
    tiles = {tile.name: tile for tile in found.tiles}
    assert (tiles["Due or running"].value, tiles["Due or running"].note) == ("100", "clears in 5.0 s")
    assert (tiles["Dead letters"].value, tiles["Dead letters"].note) == ("2", "1 of them unmatched")
    assert tiles["Dead letters"].kind == "bad"
    lane = found.lanes[1]
    assert lane.limit is not None
    assert (lane.limit.text, lane.limit.why) == ("0.0 of 20/s (configured 25/s)", "stripe refused more")
    assert lane.sparks[0].highest == "100"
    dead = found.tables[0]
    assert [row.path for row in dead.rows] == [
        "/queue?state=dead&side=hubspot&code=unmatched",
        "/queue?state=dead&side=stripe&code=refused",
    ]


def test_the_script_of_the_page_cannot_be_ended_by_a_chart(store: Store) -> None:
    trends = read_trends(store, Period.HOUR, None, 30)
    chart = replace(trends.charts[0], lines=[Line("a", "</script><b>", [1.0])])
    text = charts_as_json(replace(trends, charts=[chart]))
    assert "<" not in text
    assert json.loads(text)["charts"][0]["lines"][0]["label"] == "</script><b>"
