"""Azure Key Vault: its official client and login against a stand-in."""

from __future__ import annotations

import pytest

from tests.config.managers.conftest import Refuse
from tests.support.manager_stand_in import TENANT, Answer, Asked, ManagerStandIn, Play
from wanesync.config.managers.reader import ManagerReader
from wanesync.config.managers.references import Scheme

LOGIN = "login.microsoftonline.com"
ERRORS = {
    404: "is not in Azure Key Vault (status 404)",
    403: "is denied to this process by Azure Key Vault (status 403): give it the role Key Vault Secrets User",
    429: "limits the requests",
    503: "does not answer",
}


@pytest.fixture(autouse=True)
def login(stand_in: ManagerStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", "22222222-2222-3333-4444-555555555555")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "client-secret")


def log_in(asked: Asked) -> Answer:
    root = f"https://{LOGIN}/{TENANT}"
    if "/discovery/instance" in asked.path:
        hosts = [{"preferred_network": LOGIN, "preferred_cache": LOGIN, "aliases": [LOGIN]}]
        return Answer(
            body={"tenant_discovery_endpoint": f"{root}/v2.0/.well-known/openid-configuration", "metadata": hosts}
        )
    if "openid-configuration" in asked.path:
        body = {"issuer": f"{root}/v2.0", "token_endpoint": f"{root}/oauth2/v2.0/token"}
        return Answer(body=body | {"authorization_endpoint": f"{root}/oauth2/v2.0/authorize"})
    return Answer(body={"access_token": "token", "expires_in": 3600, "token_type": "Bearer"})


def answer(found: Answer) -> Play:
    def play(asked: Asked) -> Answer:
        if asked.host == LOGIN:
            return log_in(asked)
        if "Authorization" not in asked.headers:
            challenge = f'Bearer authorization="https://{LOGIN}/{TENANT}", resource="https://vault.azure.net"'
            return Answer(401, headers={"WWW-Authenticate": challenge})
        assert asked.headers["Authorization"] == "Bearer token"
        return found

    return play


@pytest.mark.parametrize("written", ["demo/stripe", "demo.vault.azure.net/stripe", "demo/stripe@abc123"])
def test_a_version_is_read(stand_in: ManagerStandIn, written: str) -> None:
    body = {"value": "sk_test_planted", "id": "https://demo.vault.azure.net/secrets/stripe/abc123"}
    stand_in.play = answer(Answer(body=body))
    assert ManagerReader().read(Scheme.AZURE, written) == "sk_test_planted"
    last = stand_in.asked[-1]
    assert last.host == "demo.vault.azure.net"
    assert last.path.partition("?")[0] == f"/secrets/stripe/{written.partition('@')[2]}"


@pytest.mark.parametrize("status", list(ERRORS))
def test_a_refusal_is_one_line(stand_in: ManagerStandIn, refuse: Refuse, status: int) -> None:
    stand_in.play = answer(Answer(status, {"error": {"code": "X", "message": "planted"}}, {"Retry-After": "0"}))
    assert ERRORS[status] in refuse(Scheme.AZURE, "demo/stripe")


def test_a_login_that_is_refused_is_named(stand_in: ManagerStandIn, refuse: Refuse) -> None:
    def play(asked: Asked) -> Answer:
        if asked.path.endswith("/token"):
            return Answer(401, {"error": "invalid_client", "error_description": "planted"})
        return answer(Answer())(asked)

    stand_in.play = play
    assert "no login to Azure Key Vault that works" in refuse(Scheme.AZURE, "demo/stripe")
