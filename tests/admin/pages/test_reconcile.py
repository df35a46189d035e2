"""The pages of reconcile runs: started, watched, read, approved, applied."""

from __future__ import annotations

import re
from dataclasses import replace

import pyotp
import pytest

from tests.support.admin import AdminSite, Browser, build_site
from tests.support.planned_runs import EVIL, NoProcesses, add_planned
from wanesync.admin.pages import reconcile
from wanesync.admin.security.second_factor import confirm, prepare
from wanesync.core.operating.operators import SYSTEM, Operator, Via
from wanesync.core.operating.reconcile_runs import RunOptions, RunState
from wanesync.ops.access.logins import hash_secret
from wanesync.ops.reconcile.runs import read_run, read_runs, start_run
from wanesync.ops.reconcile.work import claim_run


@pytest.fixture
def processes(admin: AdminSite) -> NoProcesses:
    return NoProcesses(admin.store)


@pytest.fixture
def site(admin: AdminSite, processes: NoProcesses) -> AdminSite:
    return build_site(replace(admin.services, reconciles=processes))


@pytest.fixture
def browser(site: AdminSite) -> Browser:
    return site.sign_in("operator")


def with_approval(site: AdminSite) -> AdminSite:
    config = site.services.config
    admin = config.admin.model_copy(update={"approval": True})
    return build_site(replace(site.services, config=config.model_copy(update={"admin": admin})))


def test_a_comparison_is_started_and_watched(site: AdminSite, browser: Browser, processes: NoProcesses) -> None:
    assert "There was no run yet" in browser.get("/reconcile").text
    answer = browser.post("/reconcile", {"only": ["update_customer", "create_contact"], "limit": "5"})
    (run,) = read_runs(site.store)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/reconcile/{run.id}")
    assert processes.started == [run.id]
    assert (run.facts.options.only, run.facts.options.limit) == (("update_customer", "create_contact"), 5)
    assert (run.facts.started_by, run.facts.options.parallel) == ("operator1", False)
    again = browser.post("/reconcile", {})
    assert again.status_code == 409
    assert "another run is asked for or at work" in again.text
    claimed = claim_run(site.store, run.id)
    with site.store.transaction() as tx:
        facts = replace(claimed.facts, progress={"contacts_listed": (50, 200), "customers_listed": (3, None)})
        facts = replace(facts, waits_for={"stripe": "jobs use <nearly> every request"})
        tx.reconcile_runs.change(claimed, claimed.state, facts)
    shown = browser.get(f"/reconcile/{run.id}/progress", HX_Request="true").text
    assert "HubSpot contacts listed: 50 of 200" in shown
    assert 'value="25"' in shown
    assert "<html" not in shown
    assert 'hx-trigger="every 2s"' in shown
    waits = "Stripe waits: jobs use &lt;nearly&gt; every request"
    assert waits in shown
    assert waits in browser.get("/reconcile").text
    assert "is at work" in browser.get("/reconcile").text


def test_the_page_loads_again_when_the_run_has_ended(site: AdminSite, browser: Browser) -> None:
    run_id = add_planned(site.store)
    assert browser.get(f"/reconcile/{run_id}/progress", HX_Request="true").headers["hx-refresh"] == "true"


def test_a_service_without_keys_says_what_to_do(admin: AdminSite) -> None:
    processes = NoProcesses(admin.store, ["stripe.api_key"])
    site = build_site(replace(admin.services, reconciles=processes))
    browser = site.sign_in("operator")
    assert "This service has no stripe.api_key" in browser.get("/reconcile").text
    browser.post("/reconcile", {})
    (run,) = read_runs(site.store)
    assert processes.started == []
    assert f"wanesync runs work {run.id}" in browser.get(f"/reconcile/{run.id}").text


def test_the_report_is_read_by_class_with_values_masked(
    site: AdminSite, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "PAGE_ROWS", 2)
    run_id = add_planned(site.store)
    first = browser.get(f"/reconcile/{run_id}").text
    assert "3</strong> linked people who have a value overwritten" in first
    assert "<del>U•••</del> → <ins>L•••</ins>" in first
    assert "Lyon" not in first
    assert first.count("<del>") == 2
    older = re.search(r'href="(/reconcile/[^"]*after=[^"]+)"', first)
    assert older
    second = browser.get(older[1].replace("&amp;", "&").partition("#")[0]).text
    assert second.count("<del>") == 1
    conflicts = browser.get(f"/reconcile/{run_id}?kind=conflict").text
    assert "a•••@e•••.com / b•••@e•••.com" in conflicts
    assert EVIL not in conflicts
    assert browser.get("/reconcile/unknown").status_code == 404


def test_a_plan_is_applied_after_the_numbers_were_confirmed(
    site: AdminSite, browser: Browser, processes: NoProcesses
) -> None:
    run_id = add_planned(site.store, people=40)
    assert "Type 40: so many linked people lose a value" in browser.get(f"/reconcile/{run_id}").text
    for given in ("", "39"):
        assert browser.post(f"/reconcile/{run_id}/apply", {"force": given}).status_code == 422
    assert browser.post(f"/reconcile/{run_id}/apply", {"force": "40"}).status_code == 303
    run = read_run(site.store, run_id)
    assert (run.state, run.facts.confirmed.force, run.facts.applied_by) == (RunState.APPLY_ASKED, 40, "operator1")
    assert processes.started == [run_id]
    assert browser.post(f"/reconcile/{run_id}/cancel").status_code == 303
    assert browser.post(f"/reconcile/{run_id}/discard").status_code == 303
    assert read_run(site.store, run_id).state is RunState.DISCARDED
    for action in ("cancel", "discard", "apply"):
        assert browser.post(f"/reconcile/{run_id}/{action}", {"force": "40"}).status_code == 409


def test_a_second_operator_approves_where_that_is_asked_for(site: AdminSite) -> None:
    strict = with_approval(site)
    run_id = add_planned(strict.store, started_by=Operator("operator1", Via.PAGE))
    first, second = strict.sign_in("operator"), strict.sign_in("operator", "bob")
    page = first.get(f"/reconcile/{run_id}").text
    assert "Another operator than operator1 must approve it" in page
    assert f'action="/reconcile/{run_id}/apply"' not in page
    assert first.post(f"/reconcile/{run_id}/approve").status_code == 409
    assert first.post(f"/reconcile/{run_id}/apply").status_code == 409
    # Who made a second account could approve by its password alone.
    without = second.post(f"/reconcile/{run_id}/approve")
    assert (without.status_code, "second factor" in without.text) == (409, True)
    store, prepared = strict.store, prepare(strict.store, "bob")
    code = pyotp.TOTP(prepared.secret).generate_otp(store.now_ms() // 30_000)
    confirm(store, SYSTEM, "bob", code, keep_session=hash_secret(second.client.cookies["wanesync-8900"]))
    assert second.post(f"/reconcile/{run_id}/approve").status_code == 303
    assert first.post(f"/reconcile/{run_id}/apply").status_code == 303
    assert read_run(strict.store, run_id).facts.approved_by == "bob"


def test_a_viewer_reads_and_changes_nothing(site: AdminSite) -> None:
    run_id = add_planned(site.store)
    viewer = site.sign_in("viewer")
    page = viewer.get(f"/reconcile/{run_id}").text
    assert "update customer" in page
    assert '<button type="submit">Apply' not in page
    for action in ("approve", "apply", "cancel", "discard"):
        assert viewer.post(f"/reconcile/{run_id}/{action}").status_code == 403
    assert viewer.post("/reconcile").status_code == 403
    assert read_run(site.store, run_id).state is RunState.PLANNED


def test_what_is_absurd_is_refused(site: AdminSite, browser: Browser) -> None:
    assert browser.post("/reconcile", {"only": "in_sync"}).status_code == 409
    assert browser.post("/reconcile", {"limit": "0"}).status_code == 409
    assert browser.post("/reconcile", {"limit": "-1"}).status_code == 422
    assert read_runs(site.store) == []
    start_run(site.store, Operator("ada", Via.CLI), RunOptions())
    assert "ada" in browser.get("/reconcile").text
