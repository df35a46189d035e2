"""Routes of the API: failures are problems, and changing requests can be repeated."""

from __future__ import annotations

import threading

import pytest
from fastapi.testclient import TestClient

from tests.admin.api.small_app import Things, open_client
from wanesync.admin.api.routes import MAX_BODY_BYTES
from wanesync.core.errors import GuardError
from wanesync.store import Store

KEY = {"Idempotency-Key": "7f1c"}
THING = {"name": "a"}


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
def client(store: Store, things: Things) -> TestClient:
    return open_client(store, things)


@pytest.mark.parametrize(("name", "status"), [("missing", 404), ("guarded", 409), ("failed", 500), ("odd", 500)])
def test_a_failure_is_a_problem(client: TestClient, name: str, status: int) -> None:
    answer = client.get(f"/api/v1/things/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert "anna" not in answer.text


def test_what_is_not_valid_is_named(client: TestClient) -> None:
    answer = client.get("/api/v1/things", params={"limit": 0})
    assert answer.status_code == 422
    assert answer.json()["fields"][0]["where"] == "query.limit"
    assert client.post("/api/v1/things", json={"name": "a", "more": 1}).status_code == 422
    assert client.post("/api/v1/things", content=b"{", headers={"Content-Type": "application/json"}).status_code == 422
    assert client.post("/api/v1/things", json={"name": "a" * MAX_BODY_BYTES}).status_code == 413


@pytest.mark.parametrize("path", ["/api/v1/things", "/api/v1/things/later"])
def test_the_same_request_runs_once_per_key(client: TestClient, things: Things, path: str) -> None:
    first, again = (client.post(path, json=THING, headers=KEY) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert things.runs == 1


def test_without_a_key_it_runs_each_time(client: TestClient, things: Things) -> None:
    for _ in range(2):
        assert client.post("/api/v1/things", json=THING).status_code == 201
    assert things.runs == 2


def test_another_body_or_path_with_the_same_key_is_refused(client: TestClient, things: Things) -> None:
    client.post("/api/v1/things", json=THING, headers=KEY)
    for path, body in (("/api/v1/things", {"name": "b"}), ("/api/v1/things/later", THING)):
        answer = client.post(path, json=body, headers=KEY)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:wanesync:problem:idempotency-key-reused")
    assert things.runs == 1


def test_two_callers_may_use_one_key(client: TestClient, things: Things) -> None:
    for caller in ("ci", "cron"):
        client.post("/api/v1/things", json=THING, headers={**KEY, "X-Caller": caller})
    assert things.runs == 2


@pytest.mark.parametrize("failure", [GuardError("too many"), ValueError("odd")])
def test_a_failed_request_frees_its_key(client: TestClient, things: Things, failure: Exception) -> None:
    things.failure = failure
    assert client.post("/api/v1/things", json=THING, headers=KEY).status_code in (409, 500)
    things.failure = None
    assert client.post("/api/v1/things", json=THING, headers=KEY).json() == {"name": "a", "runs": 1}


def test_a_request_that_is_not_valid_reserves_no_key(client: TestClient) -> None:
    assert client.post("/api/v1/things", json={}, headers=KEY).status_code == 422
    assert client.post("/api/v1/things", json=THING, headers=KEY).status_code == 201


def test_the_same_request_at_once_is_refused(client: TestClient, things: Things) -> None:
    things.go_on = threading.Event()
    statuses: list[int] = []

    def send() -> None:
        statuses.append(client.post("/api/v1/things", json=THING, headers=KEY).status_code)

    first = threading.Thread(target=send)
    first.start()
    assert things.running.wait(10)
    answer = client.post("/api/v1/things", json=THING, headers=KEY)
    things.go_on.set()
    first.join()
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:wanesync:problem:idempotency-key-in-use")
    assert statuses == [201]


def test_what_shows_values_is_never_stored(client: TestClient, things: Things) -> None:
    for _ in range(2):
        answer = client.post("/api/v1/things/shown", headers=KEY)
        assert "Idempotent-Replayed" not in answer.headers
    assert things.runs == 2
