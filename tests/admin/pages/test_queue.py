"""The pages of the queue: lists, marks, one job, the question before a bulk run, and its progress."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.admin import AdminSite, Browser
from tests.support.lanes import bury
from wanesync.admin.pages import queue
from wanesync.core.jobs import DeadClass, JobKind, JobRequest, WaitCode
from wanesync.core.model import Event, Side
from wanesync.core.operating.bulk_runs import BulkAction, BulkState
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.core.operating.queue_filter import QueueFilter
from wanesync.ops.queue.bulk_runs import BulkRequest, BulkRunner, list_bulk_runs, start_bulk_run
from wanesync.store import Store
from wanesync.store.tables.journal import JournalRow

S = Side.STRIPE
EVIL = '<script>alert(1)</script>" onload="x\u202e'
SignIn = Callable[[OperatorRole | str], Browser]


def fill(store: Store, count: int = 2, dead_class: DeadClass = DeadClass.REFUSED) -> list[str]:
    return [bury(store, JobRequest(S, JobKind.READ, f"{dead_class}_{n}"), dead_class).id for n in range(count)]


def dead_ids(store: Store) -> set[str]:
    with store.reading() as tx:
        return {job.id for job in tx.dead_letters.latest()}


def rows(text: str) -> int:
    return len(re.findall(r'href="/queue/jobs/', text))


def test_dead_letters_are_listed_with_suggestions_and_states(admin: AdminSite, sign_in: SignIn) -> None:
    fill(admin.store)
    fill(admin.store, 1, DeadClass.GONE)
    admin.store.run(lambda tx: tx.jobs.put(JobRequest(S, JobKind.READ, "cus_new")))
    text = sign_in("operator").get("/queue").text
    assert rows(text) == 3
    for shown in (
        '<option value="refused_0">1 on this page',
        "refused (2)",
        "gone (1)",
        "it said no",
        "refused_0",
        "Retry marked",
        'Due <span class="count">1<',
    ):
        assert shown in text, shown
    assert "Retry all that match" not in text, "an empty filter is refused"
    filtered = sign_in("operator").get("/queue?code=gone").text
    assert (rows(filtered), "Retry all that match" in filtered) == (1, True)
    assert "cus_new" in sign_in("operator").get("/queue?state=due").text


def test_a_viewer_sees_no_way_to_change_and_has_none(admin: AdminSite, sign_in: SignIn) -> None:
    (job_id,) = fill(admin.store, 1)
    viewer = sign_in("viewer")
    text = viewer.get("/queue").text
    assert rows(text) == 1
    assert "Retry marked" not in text
    assert "Retry" not in viewer.get(f"/queue/jobs/{job_id}").text.split("<main")[1].split("Timeline")[0]
    for path in ("/queue/retry", "/queue/retry/start", "/queue/discard", "/queue/discard/start"):
        assert viewer.post(path, {"ids": job_id, "expected": "1"}).status_code == 403
    assert dead_ids(admin.store) == {job_id}


def test_pages_follow_one_another_by_the_address(
    admin: AdminSite, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PAGE_JOBS", 2)
    fill(admin.store, 3)
    browser = sign_in("viewer")
    first = browser.get("/queue?side=stripe").text
    older = re.search(r'href="(/queue\?side=stripe&amp;after=[^"]+)"', first)
    assert older
    second = browser.get(older[1].replace("&amp;", "&")).text
    assert (rows(first), rows(second)) == (2, 1)
    assert browser.get("/queue?after=nonsense").status_code == 422
    assert browser.get("/queue?state=odd&kind=odd&newer=soon").text.count("expected") >= 3


def test_an_address_becomes_ids_so_that_it_stands_in_no_url(admin: AdminSite, sign_in: SignIn) -> None:
    browser = sign_in("viewer")
    found = browser.post("/queue/find", {"person": "Ada@example.com", "state": "dead", "side": "stripe"})
    assert found.status_code == 303
    assert found.headers["location"].startswith("/queue?state=dead&side=stripe&person=guest%3A")
    assert browser.get(found.headers["location"]).status_code == 200


def test_one_job_is_shown_masked_and_escaped(admin: AdminSite, sign_in: SignIn) -> None:
    store = admin.store

    def arrive(job_reason: str) -> str:
        with store.transaction() as tx:
            event = Event("e1", S, "updated", "cus_1", tx.now_ms, {"email": "ada@example.com", "name": EVIL})
            tx.events.put_many([event])
            tx.jobs.put(JobRequest(S, JobKind.READ, "cus_1"))
            (job,) = tx.jobs.claim(S, None, 1, "w1")
            tx.jobs.mark_dead(job, DeadClass.REFUSED, job_reason)
        return job.id

    job_id = arrive(EVIL)
    text = sign_in("operator").get(f"/queue/jobs/{job_id}").text
    for shown in ("a•••@e•••.com", "&lt;script&gt;alert(1)", "given up as refused", "stripe cus_1: updated"):
        assert shown in text, shown
    for hidden in ("ada@example.com", "<script>alert", 'onload="x'):
        assert hidden not in text, hidden
    assert "<script>alert" not in sign_in("operator").get("/queue").text
    assert sign_in("operator").get("/queue/jobs/nonsense").status_code == 404


def read_expected(text: str) -> str:
    found = re.search(r'name="expected" value="(\d+)"', text)
    assert found
    return found[1]


@pytest.mark.parametrize(("action", "left"), [("retry", 1), ("discard", 1)])
def test_the_marked_are_done_after_a_question_with_their_number(
    admin: AdminSite, sign_in: SignIn, action: str, left: int
) -> None:
    ids = fill(admin.store, 3)
    browser = sign_in("operator")
    asked = browser.post(f"/queue/{action}", {"ids": ids[:2], "scope": "marked"})
    assert (asked.status_code, f"{action.capitalize()} 2 dead letters?" in asked.text) == (200, True)
    started = browser.post(f"/queue/{action}/start", {"ids": ids[:2], "expected": read_expected(asked.text)})
    assert started.status_code == 303
    page = browser.get(started.headers["location"]).text
    assert "0 of 2" in page
    BulkRunner(admin.store, "w").run_round()
    assert "Finished in" in browser.get(started.headers["location"]).text
    assert len(dead_ids(admin.store)) == left
    assert "operator1 (page)" in browser.get("/queue/runs").text


def test_a_number_that_changed_is_asked_again(admin: AdminSite, sign_in: SignIn) -> None:
    fill(admin.store, 2)
    browser = sign_in("operator")
    form = {"side": "stripe", "scope": "all"}
    expected = read_expected(browser.post("/queue/retry", form).text)
    fill(admin.store, 1, DeadClass.GONE)
    again = browser.post("/queue/retry/start", form | {"expected": expected})
    assert again.status_code == 409
    assert "there are 3 dead letters now, 2 were shown: nothing was done" in again.text
    assert read_expected(again.text) == "3"
    assert list_bulk_runs(admin.store) == []
    assert browser.post("/queue/retry/start", form | {"expected": "3"}).status_code == 303


def test_without_a_filter_or_a_mark_nothing_is_done(admin: AdminSite, sign_in: SignIn) -> None:
    fill(admin.store)
    browser = sign_in("operator")
    for form in ({"scope": "all"}, {"scope": "all", "state": "dead"}, {}):
        refused = browser.post("/queue/retry", form)
        assert (refused.status_code, "choose a side, kind" in refused.text) == (422, True)
        assert browser.post("/queue/discard/start", form | {"expected": "2"}).status_code == 422
    refused = browser.post("/queue/retry", {"scope": "marked", "side": "stripe"})
    assert (refused.status_code, "mark at least one job" in refused.text) == (422, True)
    assert browser.post("/queue/retry", {"ids": "nonsense"}).status_code == 422
    assert browser.post("/queue/retry", {"scope": "all", "side": "stripe", "state": "due"}).status_code == 422
    assert len(dead_ids(admin.store)) == 2


def test_a_run_is_cancelled_from_its_page(admin: AdminSite, sign_in: SignIn) -> None:
    fill(admin.store)
    browser = sign_in("operator")
    request = BulkRequest(BulkAction.RETRY, QueueFilter(side=S))
    run = start_bulk_run(admin.store, request, SYSTEM)
    assert "Cancel the run" in browser.get(f"/queue/runs/{run.id}").text
    fragment = browser.get(f"/queue/runs/{run.id}", hx_request="true").text
    assert "<html" not in fragment
    assert "<progress" in fragment
    assert sign_in("viewer").post(f"/queue/runs/{run.id}/cancel").status_code == 403
    assert browser.post(f"/queue/runs/{run.id}/cancel").headers["location"] == f"/queue/runs/{run.id}"
    text = browser.get(f"/queue/runs/{run.id}").text
    assert "Stopped by operator1 (page) after 0 of 2" in text
    assert list_bulk_runs(admin.store)[0].state is BulkState.CANCELLED
    assert len(dead_ids(admin.store)) == 2
    assert browser.get("/queue/runs/nonsense").status_code == 404


def test_the_journal_names_the_operator_of_the_page(admin: AdminSite, sign_in: SignIn) -> None:
    (job_id,) = fill(admin.store, 1)
    browser = sign_in("operator")
    browser.post("/queue/discard/start", {"ids": job_id, "expected": "1"})
    BulkRunner(admin.store, "w").run_round()
    with admin.store.reading() as tx:
        of_record: list[JournalRow] = [row for row in tx.journal.latest(10) if row.record_id == "refused_0"]
    assert [(row.kind, str(row.operator)) for row in of_record] == [("discarded", "operator1 (page)")]


def test_a_job_that_failed_is_tried_at_once(admin: AdminSite, sign_in: SignIn) -> None:
    with admin.store.transaction() as tx:
        tx.jobs.put(JobRequest(S, JobKind.READ, "cus_1"))
        (job,) = tx.jobs.claim(S, None, 1, "w1")
        tx.jobs.reschedule(job, tx.now_ms + 60_000, "timed out", count=True, waits_for=WaitCode.BACKOFF)
    browser = sign_in("operator")
    listed = browser.get("/queue?state=retrying").text
    assert ("Try marked now" in listed, "Retry marked" in listed, "in 60 s" in listed) == (True, False, True)
    assert "Try now" in browser.get(f"/queue/jobs/{job.id}").text
    assert sign_in("viewer").post("/queue/try-now", {"ids": job.id}).status_code == 403
    assert browser.post("/queue/try-now", {"ids": job.id}).headers["location"] == f"/queue/jobs/{job.id}"
    again = browser.post("/queue/try-now", {"ids": [job.id], "state": "retrying"})
    assert again.headers["location"] == "/queue?state=retrying"
    assert ">now<" in browser.get("/queue?state=retrying").text
