"""The charts of the overview: steps, rates, shares and summaries."""

from __future__ import annotations

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.model import Side
from wanesync.core.operating.alarms import Alarm, AlarmCode, Level
from wanesync.core.operating.alerts import AlertState
from wanesync.core.operating.figures import HOUR_MS, MINUTE_MS, Figure
from wanesync.core.rate_limits import Limit
from wanesync.ops.overview import EVALUATED_MS, Chart, Period, Trends, format_share, read_overview, read_trends
from wanesync.store import Store
from wanesync.store.figure_counts import store_figures

TARGET_S = 30


def fill(store: Store, clock: Clock) -> None:
    """One minute with something of everything, then eleven minutes without; the present minute has begun."""
    clock.advance(HOUR_MS - store.now_ms() % HOUR_MS)
    figures = store.figures
    figures.add(Figure.WEBHOOKS, "hubspot", "accepted", number=120)
    figures.add(Figure.WEBHOOKS, "stripe", "signature", number=6)
    for ending, number in (("done", 90), ("retry", 9), ("dead", 1), ("wait", 50)):
        figures.add(Figure.JOBS_ENDED, "stripe", "write", ending, number=number)
    figures.add(Figure.VENDOR_REQUESTS, "stripe", "customers.update", "ok", number=594)
    figures.add(Figure.VENDOR_REQUESTS, "stripe", "customers.update", "rate_limited", number=6)
    figures.add(Figure.PEOPLE, "stripe", "within", number=199)
    figures.add(Figure.PEOPLE, "stripe", "beyond", number=1)
    for ms in (*[900] * 98, 4_000, 9_000):
        figures.observe(Figure.END_TO_END, "stripe", "write", ms=ms)
    store_figures(store)
    store.run(lambda tx: tx.rates.put(Limit("stripe", 25, 20, 25), is_new=True))
    clock.advance(12 * MINUTE_MS + 20_000)


def chart(trends: Trends, name: str) -> Chart:
    return next(chart for chart in trends.charts if chart.name == name)


def lines(trends: Trends, name: str, at: int) -> dict[str, float | None]:
    return {line.name: line.values[at] for line in chart(trends, name).lines}


def test_an_hour_has_sixty_complete_minutes(store: Store, clock: Clock) -> None:
    fill(store, clock)
    trends = read_trends(store, Period.HOUR, None, TARGET_S)
    assert len(trends.at_ms) == 60
    assert trends.at_ms[-1] % HOUR_MS == 11 * MINUTE_MS, "the minute that runs is left out"
    at = -12
    assert lines(trends, "webhooks", at) == {"hubspot": 120, "stripe": 0, "refused": 6}
    assert lines(trends, "jobs", at) == {"hubspot": 0, "stripe": 90, "failed": 10}
    assert lines(trends, "retries", at) == {"hubspot": 0, "stripe": 9, "dead": 1}
    assert lines(trends, "requests", at) == {"hubspot": 0, "stripe": 10, "stripe_limit": 20}
    assert lines(trends, "share", at) == {"share": 0.995, "wanted": 0.95}
    latency = lines(trends, "latency", at)
    assert latency["p50"] is not None
    assert latency["p99"] is not None
    assert 0.5 < latency["p50"] <= 1
    assert 2 < latency["p99"] <= 5
    assert lines(trends, "latency", -1) == {"p50": None, "p95": None, "p99": None}, "nothing was synced then"
    assert (trends.done, trends.failed, trends.success_rate) == (90, 10, 0.9)


def test_queues_and_limits_are_shown_as_they_were(store: Store, clock: Clock) -> None:
    fill(store, clock)
    clock.advance(MINUTE_MS)
    for size, limit in ((40, 10), (5, 20)):
        samples = {"size.stripe": size, "age.stripe": size / 2, "limit.stripe": limit}
        store.run(lambda tx, samples=samples: tx.samples.add(samples))  # type: ignore[misc] # binds the loop's value
        clock.advance(2 * MINUTE_MS)
    store.run(lambda tx: tx.rates.set_limit("stripe", 25))
    trends = read_trends(store, Period.HOUR, None, TARGET_S)
    at = chart(trends, "queue").lines[1].values.index(40)
    assert [lines(trends, "queue", step)["stripe"] for step in range(at, at + 3)] == [40, None, 5]
    assert [lines(trends, "age", step)["stripe"] for step in range(at, at + 3)] == [20, None, 2.5]
    limits = [lines(trends, "requests", step)["stripe_limit"] for step in (0, at - 1, at, at + 1, at + 2)]
    assert limits == [10, 10, 10, 10, 20], "a gap goes on as it was, and what came before is not known better"
    assert lines(trends, "queue", at)["hubspot"] is None
    assert chart(trends, "queue").summary == "at most HubSpot 0, Stripe 40"
    assert chart(trends, "age").summary == "at most 20 s"


def test_summaries_say_what_the_whole_period_had(store: Store, clock: Clock) -> None:
    fill(store, clock)
    trends = read_trends(store, Period.DAY, None, TARGET_S)
    assert {name.name: name.summary for name in trends.charts if name.name != "latency"} == {
        "webhooks": "120 accepted, 6 refused",
        "jobs": "90 done, 10 failed",
        "retries": "9 retries, 1 given up",
        "queue": "at most HubSpot 0, Stripe 0",
        "age": "at most 0 s",
        "requests": "600 requests, 6 answered with 429",
        "share": "99.5 % of 200 changes",
    }
    assert chart(trends, "share").title == "Synced within 30 s"
    assert chart(trends, "latency").summary.startswith("p50 0.")


@pytest.mark.parametrize(("period", "steps", "minutes"), [(Period.DAY, 96, 12), (Period.WEEK, 168, 12)])
def test_the_step_that_runs_counts_for_the_time_that_has_passed(
    store: Store, clock: Clock, period: Period, steps: int, minutes: int
) -> None:
    fill(store, clock)
    trends = read_trends(store, period, None, TARGET_S)
    assert len(trends.at_ms) == steps
    assert lines(trends, "webhooks", -1)["hubspot"] == 120 / minutes


def test_one_side_alone_has_its_own_lines(store: Store, clock: Clock) -> None:
    fill(store, clock)
    trends = read_trends(store, Period.HOUR, Side.HUBSPOT, TARGET_S)
    assert lines(trends, "jobs", -12) == {"hubspot": 0, "failed": 0}
    assert trends.success_rate is None


def test_nothing_at_all_is_shown_as_nothing(store: Store) -> None:
    trends = read_trends(store, Period.HOUR, None, TARGET_S)
    assert chart(trends, "latency").summary == "nothing synced"
    assert chart(trends, "share").summary == "no change of a person"
    overview = read_overview(store, trends, TARGET_S)
    assert overview.status.timeliness.last_hour.share is None
    assert overview.status.lanes["stripe"].due == 0


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100 %"), (0.99999, "99.9 %"), (0.5, "50 %"), (0.123, "12.3 %"), (0.0001, "0.1 %"), (0, "0 %")],
)
def test_a_share_is_whole_only_where_it_is(share: float, text: str) -> None:
    assert format_share(share) == text


def test_alarms_against_thresholds_stand_beside_the_others_while_they_are_evaluated(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        revision = tx.alerts.take_claim("p1", 10_000)
        assert revision is not None
        tx.alerts.confirm_claim("p1", revision)
        for code in ("webhooks_silent", "dead_letters"):
            tx.alerts.report("p1", [Alarm(AlarmCode.CERTIFICATE_ENDS, "it ends", "renew it", "serve")])
            tx.alerts.put_state(AlertState(code, "stripe", Level.CRITICAL, tx.now_ms, what="nothing arrives"))
    trends = read_trends(store, Period.HOUR, None, TARGET_S)
    found = read_overview(store, trends, TARGET_S).alarms
    assert found[0].level is Level.CRITICAL
    assert [alarm.what for alarm in found if alarm.code == "webhooks_silent"] == ["nothing arrives"]
    assert [alarm.what for alarm in found if alarm.code == "certificate_ends"] == ["it ends"]
    assert "dead_letters" not in {alarm.code for alarm in found}, "what the status finds is read from there"
    clock.advance(EVALUATED_MS + 1)
    assert "webhooks_silent" not in {alarm.code for alarm in read_overview(store, trends, TARGET_S).alarms}
