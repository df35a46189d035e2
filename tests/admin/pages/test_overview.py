"""The page of the overview: what stands on it, its address, and its stream."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.support.admin import AdminSite, Browser
from tests.support.lanes import bury
from tests.support.operators import ADA
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.core.operating.figures import Figure
from wanesync.core.rate_limits import Limit
from wanesync.ops.pauses import pause_sides
from wanesync.store.figure_counts import store_figures

SignIn = Callable[[str], Browser]


def charts_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="chart-data"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found is not None
    charts: dict[str, object] = json.loads(found[1])
    return charts


def test_the_first_page_shows_alarms_with_their_way_out_lanes_and_charts(admin: AdminSite, sign_in: SignIn) -> None:
    store = admin.store
    pause_sides(store, [Side.STRIPE], ADA)
    store.run(lambda tx: tx.rates.put(Limit("stripe", 25, 20, 25, reason="stripe refused more"), is_new=True))
    store.run(lambda tx: tx.jobs.put_many([JobRequest(Side.STRIPE, JobKind.READ, "cus_1", Priority.LIVE)]))
    page = sign_in("viewer").get("/").text
    assert "stripe is paused by an operator" in page
    assert 'href="/limits#pauses">Resume</a>' in page
    assert "0.0 of 20/s (configured 25/s)" in page
    assert "Show as table" in page
    assert page.count('<figure class="chart"') == 8
    assert {"x", "step", "charts"} == charts_of(page).keys()


def test_what_is_shown_can_be_linked_to(admin: AdminSite, sign_in: SignIn) -> None:
    browser = sign_in("viewer")
    page = browser.get("/?period=week&side=hubspot").text
    assert 'data-live="/overview/live?period=week&amp;side=hubspot"' in page
    assert 'href="/?side=hubspot"' in page, "the hour is the default and is left out"
    assert charts_of(page)["step"] == 3600
    assert "Stripe done" not in page
    assert browser.get("/?period=year&side=x").status_code == 200, "an old link shows the default"


def test_a_chart_is_a_table_too(admin: AdminSite, sign_in: SignIn) -> None:
    admin.store.figures.add(Figure.WEBHOOKS, "hubspot", "accepted", number=7)
    store_figures(admin.store)
    browser = sign_in("viewer")
    page = browser.get("/overview/charts/webhooks?period=hour").text
    assert "<caption>Webhooks, a minute</caption>" in page
    assert page.count('<th scope="row">') == 60
    assert browser.get("/overview/charts/nothing").status_code == 404


def test_dead_letters_lead_to_their_list(admin: AdminSite, sign_in: SignIn) -> None:
    bury(admin.store, JobRequest(Side.STRIPE, JobKind.READ, "cus_1", Priority.LIVE))
    page = sign_in("viewer").get("/").text
    assert "/queue?state=dead&amp;side=stripe&amp;code=refused" in page
    assert "stripe: 1 dead letter (1 refused)" in page


def test_a_stream_is_refused_where_too_many_are_open(
    admin: AdminSite, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wanesync.admin.live.MAX_LISTENERS", 0)
    answer = sign_in("viewer").get("/overview/live")
    assert answer.status_code == 429
