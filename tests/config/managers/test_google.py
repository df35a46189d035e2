"""Google Secret Manager: its official client against a stand-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.managers.conftest import Refuse
from tests.support.manager_stand_in import Answer, Asked, ManagerStandIn, Play, encode, service_account
from wanesync.config.managers.reader import ManagerReader
from wanesync.config.managers.references import Scheme

PATH = "/v1/projects/my-project/secrets/stripe/versions"
ERRORS = {
    404: ("NOT_FOUND", "is not in Google Secret Manager (NotFound)"),
    403: ("PERMISSION_DENIED", "is denied to this process by Google Secret Manager"),
    401: ("UNAUTHENTICATED", "no login to Google Secret Manager that works"),
    429: ("RESOURCE_EXHAUSTED", "limits the requests"),
    503: ("UNAVAILABLE", "does not answer"),
    400: (
        "FAILED_PRECONDITION",
        "is refused by Google Secret Manager (BadRequest): look at the secret and its version",
    ),
}


@pytest.fixture(autouse=True)
def login(stand_in: ManagerStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tmp_path)))


def answer(found: Answer) -> Play:
    def play(asked: Asked) -> Answer:
        if asked.host == "oauth2.googleapis.com":
            return Answer(body={"access_token": "token", "expires_in": 3600, "token_type": "Bearer"})
        assert asked.headers["authorization"].startswith("Bearer ")
        return found

    return play


@pytest.mark.parametrize(("written", "version"), [("my-project/stripe", "latest"), ("my-project/stripe@7", "7")])
def test_a_version_is_read(stand_in: ManagerStandIn, written: str, version: str) -> None:
    payload = {"name": f"{PATH[4:]}/7", "payload": {"data": encode(b"sk_test_planted\n")}}
    stand_in.play = answer(Answer(body=payload))
    assert ManagerReader().read(Scheme.GOOGLE, written) == "sk_test_planted"
    last = stand_in.asked[-1]
    assert (last.host, last.path.partition("?")[0]) == ("secretmanager.googleapis.com", f"{PATH}/{version}:access")


@pytest.mark.parametrize("status", list(ERRORS))
def test_a_refusal_is_one_line(stand_in: ManagerStandIn, refuse: Refuse, status: int) -> None:
    name, text = ERRORS[status]
    error = {"code": status, "status": name, "message": "planted"}
    stand_in.play = answer(Answer(status, {"error": error}))
    assert text in refuse(Scheme.GOOGLE, "my-project/stripe")


def test_binary_content_is_named(stand_in: ManagerStandIn, refuse: Refuse) -> None:
    stand_in.play = answer(Answer(body={"name": "x", "payload": {"data": encode(b"\xff\xfe")}}))
    assert "gcp-sm:my-project/stripe is binary" in refuse(Scheme.GOOGLE, "my-project/stripe")


def test_without_a_login_the_documentation_is_named(monkeypatch: pytest.MonkeyPatch, refuse: Refuse) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
    assert "no login to Google Secret Manager that works (DefaultCredentialsError)" in refuse(Scheme.GOOGLE, "p/stripe")
