"""The status as tables: what stands in each line, on a terminal of 80 and of 100 columns."""

from __future__ import annotations

import pytest
from rich.console import Console

from tests.support.lanes import bury, queue, start_processes
from tests.support.store_fixtures import Clock
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Conflict, Side
from wanesync.core.operating.figures import Figure, InTime
from wanesync.core.purchases import Purchase, PurchaseState
from wanesync.ops.status import read_status
from wanesync.ops.status_table import render_status
from wanesync.store import Store
from wanesync.store.figure_counts import store_figures
from wanesync.store.tables.settings import HUBSPOT_VERSION, operator_pause

S = Side.STRIPE


def render(store: Store, columns: int = 200) -> str:
    screen = Console(width=columns)
    with screen.capture() as captured:
        screen.print(render_status(read_status(store)))
    return captured.get()


def line_of(text: str, start: str) -> str:
    return next(line.strip() for line in text.splitlines() if line.strip().startswith(start))


@pytest.mark.parametrize(
    ("name", "away", "shown"),
    [("stripe", True, "unreachable"), ("stripe", False, "paused"), (operator_pause(S), False, "paused")],
)
def test_a_stopped_lane_has_its_state_where_others_have_a_time(store: Store, name: str, away: bool, shown: str) -> None:
    queue(store, S, JobKind.WRITE, 3)
    store.run(lambda tx: tx.pauses.set(name, "because", away, 0))
    assert shown in line_of(render(store), "stripe")


def test_running_jobs_are_shown_with_their_age(store: Store, clock: Clock) -> None:
    queue(store, S, JobKind.WRITE, 1)
    store.run(lambda tx: tx.jobs.claim(S, None, 1, "w1"))
    clock.advance(50_000)
    assert "50 s" in line_of(render(store), "stripe")


def test_what_needs_a_decision_is_counted(store: Store) -> None:
    store.run(lambda tx: tx.conflicts.put(Conflict(S, "cus_1", "city", "Bonn", "differs"), ""))
    assert line_of(render(store), "needs a decision").split(maxsplit=3)[3] == "1 conflict, 0 webhooks set aside"


def test_who_is_late_is_named_by_id_only(store: Store, clock: Clock) -> None:
    assert line_of(render(store), "in time").split(maxsplit=2)[2] == "no change in the last day (target 30 s)"
    store.figures.add(Figure.PEOPLE, "stripe", InTime.WITHIN, number=1_999)
    store.figures.add(Figure.PEOPLE, "stripe", InTime.BEYOND)
    store_figures(store)
    shown = line_of(render(store), "in time").split(maxsplit=2)[2]
    assert shown == "99.9 % in the last hour, 99.9 % in the last day (within 30 s)"
    store.run(lambda tx: tx.jobs.put(JobRequest(S, JobKind.WRITE, "guest:0123456789abcdef")))
    clock.advance(45_000)
    assert line_of(render(store), "in time").endswith("; 1 person beyond it, the first stripe guest:01234567… for 45 s")


@pytest.mark.parametrize("columns", [80, 100])
def test_nothing_is_cut_on_a_narrow_terminal(store: Store, columns: int) -> None:
    start_processes(store)
    bury(store, JobRequest(S, JobKind.READ, "cus_1"))
    store.run(lambda tx: tx.rates.set_limit("stripe", 100))
    text = render(store, columns)
    assert max(map(len, text.splitlines())) <= columns
    assert "…" not in text
    cells = ("Clears in", "Workers", "read stripe") if columns == 100 else ()  # narrower, cells fold
    for word in (*cells, "stripe: 1 refused", "alarm", "w1: hubspot,stripe"):
        assert word in " ".join(text.split()), word


def test_payments_of_accounts_and_the_version_of_hubspots_api_have_lines(store: Store) -> None:
    assert "HubSpot's API" not in render(store)
    with store.transaction() as tx:
        tx.settings.put(HUBSPOT_VERSION, "v3")
        tx.purchases.put(Purchase("pi_1", "ch_1", "acct_1", "", "", 1, "eur", 0, state=PurchaseState.UNMATCHED))
    assert "1 of the unmatched paid by accounts" in render(store)
    assert line_of(render(store), "HubSpot's API").endswith(
        "v3; its v4 paths (purchases as notes) supported until 2027-03-30"
    )
    store.run(lambda tx: tx.settings.put(HUBSPOT_VERSION, "2026-09"))
    assert line_of(render(store), "HubSpot's API").endswith("2026-09 supported until 2028-03-08")


def test_the_limits_of_the_kinds_of_call_are_one_where_they_are_the_same(store: Store) -> None:
    with store.transaction() as tx:
        for scope, rate in (("stripe", 100), ("stripe:customers.create", 25), ("stripe:events.list", 25)):
            tx.rates.set_limit(scope, rate)
    assert line_of(render(store), "limits").split(maxsplit=1)[1] == "stripe 100/s, each kind of call to stripe 25/s"
    store.run(lambda tx: tx.rates.set_limit("stripe:events.list", 20))
    assert "stripe:customers.create 25/s, stripe:events.list 20/s" in line_of(render(store), "limits")
