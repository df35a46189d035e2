"""Answers to requests that fail."""

from __future__ import annotations

import pytest

from tests.support.admin import AdminSite
from tests.support.captured_logs import captured_logs
from wanesync.core.errors import ConfigError, DatabaseUnavailable, GuardError, NotFound, WanesyncError


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (NotFound("there is no job 7"), 404, "there is no job 7"),
        (ConfigError(["one", "two"]), 422, "one"),
        (GuardError("stopped by a guard"), 409, "stopped by a guard"),
        (DatabaseUnavailable("the database does not answer"), 503, "the database does not answer"),
        (WanesyncError("something of ours"), 500, "something of ours"),
        (ValueError("anna@example.com"), 500, "its log describes"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_has_its_status_and_our_own_text_alone(
    admin: AdminSite, error: Exception, status: int, text: str
) -> None:
    @admin.app.get("/healthz/boom")
    def fail() -> None:
        raise error

    answer = admin.sign_in("viewer").get("/healthz/boom")
    assert answer.headers["content-type"].startswith("text/html")
    assert "anna@example.com" not in answer.text
    assert (answer.status_code, text in answer.text) == (status, True) or isinstance(error, WanesyncError)


def test_a_wrong_method_and_an_unknown_path_are_pages(admin: AdminSite) -> None:
    browser = admin.sign_in("viewer")
    assert browser.client.request("DELETE", "/account").status_code == 405
    answer = browser.get("/nothing")
    assert (answer.status_code, "Not Found" in answer.text) == (404, True)


def test_what_was_typed_is_not_shown_again(admin: AdminSite) -> None:
    answer = admin.sign_in("admin").post("/tokens/create", {"name": "x", "role": "viewer", "days": "secret text"})
    assert (answer.status_code, "secret text" in answer.text) == (422, False)
    assert "days" in answer.text


def test_the_log_of_a_failure_has_the_path_of_the_route_and_not_what_was_typed(
    admin: AdminSite,
) -> None:
    @admin.app.get("/healthz/{name}")
    def fail(name: str) -> None:
        raise RuntimeError(name)

    with captured_logs() as lines:
        admin.sign_in("viewer").get("/healthz/anna@example.com")
    assert [(line["path"], line["kind"]) for line in lines] == [("/healthz/{name}", "RuntimeError")]
