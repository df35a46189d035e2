"""Limits changed while two workers run, as the stand-in counts them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.ops.limits import set_limit

PEOPLE, MORE = 300, 120
SLOW_PER_S = 5
IN_A_ROW = 10
"""Requests over which the time of a slow rate is taken."""
TOLERANCE = 1.1
"""Requests that left in time may be held up on a busy machine, and then arrive closer together than they left."""
CREATE = "stripe:customers.create"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two workers, and hundreds of customers to be created at 10 a second."""
    folder = tmp_path_factory.mktemp("limits")
    with Stage(f"sqlite:{folder / 'wanesync.db'}", Path(folder)) as made:
        made.ask("limits", "set", "stripe", "10/s")
        workers = [made.start("worker") for _ in range(2)]
        enter(made, 0, PEOPLE)
        for worker in workers:
            worker.first_line()
        made.reconcile()
        yield made


def enter(stage: Stage, first: int, end: int) -> None:
    for number in range(first, end):
        stage.edit(Side.HUBSPOT, "create", email=f"p{number}@example.com")


def count(stage: Stage, name: str = "requests") -> int:
    value = stage.sandbox.machines[Side.STRIPE].stats(0)[name]
    assert isinstance(value, int)
    return value


def change_limit(stage: Stage, per_s: float) -> None:
    """What the command does, without the start of its process."""
    stage.store.run(lambda tx: set_limit(tx, Side.STRIPE, per_s))


def wait_for_slow_rate(stage: Stage, per_s: float) -> None:
    """Until some requests in a row took as long as a rate asks. A busy machine only makes that sooner."""
    marks: list[tuple[int, float]] = []

    def is_slow() -> bool:
        marks.append((count(stage), time.monotonic()))
        while marks[-1][0] - marks[0][0] > IN_A_ROW:
            del marks[0]
        (first, began_s), (last, ended_s) = marks[0], marks[-1]
        return last - first >= IN_A_ROW - 1 and ended_s - began_s >= (IN_A_ROW - 1) / per_s / TOLERANCE

    stage.until(is_slow, f"{IN_A_ROW} requests at {per_s}/s")


def shown(stage: Stage, scope: str) -> dict[str, object]:
    rows = stage.ask("limits")["limits"]
    assert isinstance(rows, list)
    return next((row for row in rows if row["scope"] == scope), {})


def test_a_change_acts_in_every_process(stage: Stage) -> None:
    stage.until(lambda: count(stage, "customers") >= 20, "customers are created")
    assert count(stage, "largest_window_1s") <= 10 * TOLERANCE
    with stage.store.reading() as tx:
        assert len(tx.processes.alive()) == 2

    change_limit(stage, 40)
    stage.until(lambda: count(stage, "largest_window_1s") > 10 * TOLERANCE, "more than 10/s goes through")
    assert count(stage, "largest_window_1s") <= 40 * TOLERANCE
    change_limit(stage, SLOW_PER_S)
    wait_for_slow_rate(stage, SLOW_PER_S)
    assert count(stage, "customers") < PEOPLE, "there was work for more"
    assert count(stage, "rate_limited") == 0

    state = shown(stage, "stripe")
    assert (state["configured"], state["filed"]) == (5, 100)
    with stage.store.reading() as tx:
        kept = [row.data["to"] for row in tx.journal.latest(10_000) if row.kind == "limit set"]
    assert kept == [5, 40, 10]


def test_an_operation_that_is_refused_gets_a_limit_of_its_own(stage: Stage) -> None:
    change_limit(stage, 90)
    stage.until(lambda: count(stage, "customers") == PEOPLE, "every customer is created")
    stage.sandbox.stripe.set_limits(1000, 30, 20)
    enter(stage, PEOPLE, PEOPLE + MORE)
    stage.reconcile()
    stage.until(lambda: count(stage, "customers") == PEOPLE + MORE, "the others, too")
    refusals = count(stage, "rate_limited")
    if refusals:
        effective = shown(stage, CREATE)["effective"]
        assert isinstance(effective, float)
        assert 0 < effective < 50, "one refusal costs a step, those that follow half"
    assert refusals <= 2 * 90, "those of the first second or two: without a limit of its own most are refused twice"
    stage.rest()
    alarms = stage.ask("status")["alarms"]
    assert isinstance(alarms, list)
    assert [alarm.partition(",")[0] for alarm in alarms] == ["no web process runs"], "the limits raise no alarm"
    assert len(stage.writes(Side.STRIPE, "customer.created")) == PEOPLE + MORE


def test_a_setting_survives_a_restart_until_the_file_changes(stage: Stage) -> None:
    change_limit(stage, 90)
    stage.ask("limits", "set", "hubspot:daily", "30%")
    stage.ask("catch-up")
    assert shown(stage, "hubspot:daily")["configured"] == 0.3
    assert shown(stage, "stripe")["configured"] == 90
    done = stage.run("catch-up", WANESYNC_HUBSPOT__DAILY_SHARE="0.4")
    assert done.returncode == 0, done.stderr
    assert shown(stage, "hubspot:daily")["configured"] == 0.4
    assert shown(stage, "stripe")["configured"] == 90


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("stripe", "fast"), "such as 12/s"),
        (("stripe:nothing", "5/s"), "one of hubspot, "),
        (("stripe", "200/s"), "--force"),
        (("hubspot:daily", "7"), "0.5 or 50%"),
    ],
)
def test_a_wrong_value_says_what_is_allowed(stage: Stage, arguments: tuple[str, str], said: str) -> None:
    done = stage.run("limits", "set", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
