"""The page of the log: found, followed, downloaded."""

from __future__ import annotations

import asyncio
import re
from functools import partial

import pytest

from tests.support.admin import AdminSite
from wanesync.admin.log_filters import LogQuery
from wanesync.admin.pages import logs
from wanesync.core.model import Side
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.logs.search import Follower, LogFilter
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter
from wanesync.store.tables.operating.log_lines import LogLine

EVIL = '<script>alert(1)</script>" onload="x\u202e'


def a_line(at_ms: int, event: str, level: str = "warning", **data: str) -> LogLine:
    return LogLine(at_ms, 1, level, event, "wanesync.worker", "worker 7", "stripe", "cus_7", "req_1", {**data})


def fill(store: Store) -> None:
    with store.transaction() as tx:
        tx.log_lines.add([a_line(tx.now_ms, EVIL, reason=EVIL, exception="Traceback\n  here")])
        tx.journal.add("updated", Side.STRIPE, "cus_7", "l1", {"fields": {"city": ["", "Ulm"]}})
        tx.journal.add("limit set", None, "", "", {"scope": "stripe"}, operator=Operator("ada", Via.PAGE))


def test_entries_are_shown_escaped_and_masked(admin: AdminSite) -> None:
    fill(admin.store)
    text = admin.sign_in("viewer").get("/logs").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "blank → U•••" in text
    assert "Ulm" not in text
    assert "Download" not in text, "a viewer may not export"
    assert "user.add" not in text, "nor see the audit log"
    assert "user.add" in admin.sign_in("admin").get("/logs").text


def test_filters_of_the_address_apply_and_what_is_wrong_is_said(admin: AdminSite) -> None:
    fill(admin.store)
    browser = admin.sign_in("viewer")
    rows = re.findall(r"<tr data-name", browser.get("/logs?level=warning").text)
    assert len(rows) == 1
    assert "There is no such entry" in browser.get("/logs?kind=nothing").text
    wrong = browser.get("/logs?since=soon")
    assert wrong.status_code == 422
    assert "since soon: expected a span" in wrong.text
    assert browser.get("/logs?cursor=x").status_code == 422


def test_pages_lead_to_older_entries_with_the_same_filters(admin: AdminSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PAGE_ENTRIES", 1)
    fill(admin.store)
    browser = admin.sign_in("viewer")
    first = browser.get("/logs?source=journal").text
    older = re.search(r'href="(/logs\?source=journal&amp;cursor=[^"]+)"', first)
    assert older
    second = browser.get(older[1].replace("&amp;", "&")).text
    assert {"limit set" in first.split("<tbody>")[1], "limit set" in second.split("<tbody>")[1]} == {True, False}


def test_an_address_becomes_ids_so_that_it_stands_in_no_url(admin: AdminSite) -> None:
    from tests.support.store_rows import a_stored  # noqa: PLC0415 - of this test only

    store = admin.store
    store.run(lambda tx: tx.records.put_many([a_stored(Side.HUBSPOT, "7", store.hmac("ada@example.com"))]))
    browser = admin.sign_in("viewer")
    found = browser.post("/logs/find", {"person": "Ada@example.com", "level": "info", "kind": ""})
    assert (found.status_code, found.headers["location"]) == (303, "/logs?person=7&level=info")
    unknown = browser.post("/logs/find", {"person": "no@example.com"})
    assert unknown.status_code == 404
    assert "no record has this address" in unknown.text


def test_a_download_is_streamed_masked_and_audited(admin: AdminSite) -> None:
    fill(admin.store)
    assert admin.sign_in("viewer").post("/logs/download", {"format": "csv"}).status_code == 403
    browser = admin.sign_in("operator")
    answer = browser.post("/logs/download", {"format": "csv", "source": "journal", "person": ""})
    assert answer.headers["content-type"].startswith("text/csv")
    assert re.search(r'filename="wanesync-logs-\d{8}-\d{6}\.csv"', answer.headers["content-disposition"])
    assert len(answer.text.splitlines()) == 3
    assert "Ulm" not in answer.text
    lines = browser.post("/logs/download", {"format": "jsonl"}).text.splitlines()
    assert len(lines) == 3
    assert browser.post("/logs/download", {"format": "exe"}).status_code == 422
    with admin.store.reading() as tx:
        noted = tx.audit.find(AuditFilter(action="logs.export"), 9)
    assert [row.after for row in noted] == [
        {"format": "jsonl", "filters": []}, {"format": "csv", "filters": ["source"]},
    ]  # fmt: skip
    assert noted[0].operator == Operator("operator1", Via.PAGE)


def test_a_stream_sends_new_rows_and_ends_by_itself(admin: AdminSite, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(admin.store)
    monkeypatch.setattr(logs, "LOOK_S", 0.0)
    make = partial(Follower, admin.store, LogFilter(), 1)

    async def read() -> list[str]:
        pieces = []
        async for piece in logs.follow(make, LogQuery(), lambda: True, lambda: False):
            pieces.append(piece)
            if "event: entries" in piece:
                monkeypatch.setattr(logs, "STREAM_S", 0.0)
        return pieces

    pieces = asyncio.run(read())
    assert pieces[0] == "retry: 2000\n\n"
    event = pieces[1]
    assert event.startswith("id: ")
    assert event.count("data-name") == 3
    assert "<script>" not in event
    assert event.endswith("\n\n")
    assert logs._Streams.open == 0


def test_a_stream_ends_with_its_session(admin: AdminSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "CHECK_S", 0.0)
    make = partial(Follower, admin.store, LogFilter(), 1)

    async def read() -> list[str]:
        return [piece async for piece in logs.follow(make, LogQuery(), lambda: False, lambda: False)]

    assert asyncio.run(read())[-1] == "event: ended\ndata:\n\n"


def test_too_many_streams_are_refused(admin: AdminSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "STREAM_S", 0.0)
    browser = admin.sign_in("viewer")
    answer = browser.get("/logs/live", Last_Event_ID="5")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert not logs._Streams.of_visitor, "it has ended"
    monkeypatch.setitem(logs._Streams.of_visitor, "viewer1", logs.MAX_OF_VISITOR)
    assert browser.get("/logs/live").status_code == 409
    assert admin.sign_in("operator").get("/logs/live").status_code == 200
    monkeypatch.setattr(logs, "MAX_STREAMS", 0)
    assert admin.sign_in("operator").get("/logs/live").status_code == 409
