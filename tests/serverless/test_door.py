"""The door of a serverless instance: when it is built, and what it does between requests."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx
import pytest
from anyio import run
from starlette.types import Message, Receive, Scope, Send

from tests.support.serverless_door import Installed, change, sign
from wanesync.core.errors import ConfigError, DatabaseUnavailable
from wanesync.core.model import Side
from wanesync.ops.alarms import is_served
from wanesync.serverless.door import ServerlessApp, build_door
from wanesync.store.tables.operating.webhook_counts import Outcome

HUBSPOT = "/webhooks/hubspot"


@dataclass
class Fake:
    """A door that notes what it is called for."""

    calls: list[str] = field(default_factory=list)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def prepare_request(self) -> None:
        self.calls.append("before")

    def finish_request(self) -> None:
        self.calls.append("after")

    def close(self) -> None:
        self.calls.append("close")


def post(app: ServerlessApp, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> httpx.Response:
    async def call() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://door.test") as client:
            return await client.post(path, content=body, headers=headers or {})

    return run(call)


def test_the_door_is_built_once_and_kept_up_beside_each_request() -> None:
    built: list[Fake] = []

    def build() -> Fake:
        built.append(Fake())
        return built[-1]

    app = ServerlessApp(build)
    assert [post(app, HUBSPOT).status_code for _ in range(2)] == [200, 200]
    assert [one.calls for one in built] == [["before", HUBSPOT, "after"] * 2]


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), ConfigError(["server.public_url: is missing"])])
def test_a_door_that_cannot_be_built_answers_503_and_is_tried_again_after_a_while(error: Exception) -> None:
    tries: list[float] = []
    at_s = [100.0]

    def build() -> Fake:
        tries.append(at_s[0])
        if len(tries) == 1:
            raise error
        return Fake()

    app = ServerlessApp(build, lambda: at_s[0])
    answers = []
    for _ in range(3):
        answers.append(post(app, HUBSPOT))
        at_s[0] += 3
    assert [one.status_code for one in answers] == [503, 503, 200]
    assert answers[0].headers["retry-after"] == "5"
    assert tries == [100.0, 106.0]


def test_the_start_of_the_server_builds_the_door_and_its_end_closes_it() -> None:
    fake = Fake()
    app = ServerlessApp(lambda: fake)
    messages = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))
    sent: list[str] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def live() -> None:
        await app({"type": "lifespan"}, receive, send)

    run(live)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert fake.calls == ["close"]


def test_an_instance_is_no_process_that_is_missed(installed: Installed) -> None:
    with installed.store.reading() as tx:
        assert not is_served(tx)
    build_door().close()
    with installed.store.reading() as tx:
        assert is_served(tx)


def test_counts_are_stored_at_most_every_ten_seconds_and_when_the_door_is_closed(installed: Installed) -> None:
    door = build_door()
    app = ServerlessApp(lambda: door)
    for _ in range(3):
        assert post(app, HUBSPOT, b"[]").status_code == 401
    assert installed.read_counts() == {(Side.HUBSPOT, Outcome.SIGNATURE): 1}
    app.close()
    assert installed.read_counts() == {(Side.HUBSPOT, Outcome.SIGNATURE): 3}


def test_a_function_for_one_side_needs_that_sides_secret_only(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANESYNC_STRIPE__WEBHOOK_SECRET")
    app = ServerlessApp(build_door)
    body = change()
    assert post(app, HUBSPOT, body, dict(sign(Side.HUBSPOT, body, HUBSPOT))).status_code == 200
    assert post(app, "/webhooks/stripe", body).status_code == 404
    app.close()


def test_without_any_secret_there_is_no_door(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("HUBSPOT", "STRIPE"):
        monkeypatch.delenv(f"WANESYNC_{side}__WEBHOOK_SECRET")
    with pytest.raises(ConfigError):
        build_door()
