"""A serverless handler of the bus: one side, no database, and a connection that a frozen instance has lost."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import httpx
import pytest
from anyio import run

from tests.support.bus_parts import BUS_KEY, WAIT_S, file_store, make_queue, running_queue
from tests.support.mosquitto import running
from tests.support.web_door import PUBLIC_URL, SECRET, change, sign_hubspot
from wanesync.bus.client import KEEPALIVE_S, STOPPED
from wanesync.bus.seal_keys import derive_part_key
from wanesync.config.model import Config
from wanesync.core.model import Side
from wanesync.core.roles import Role
from wanesync.serverless.bus_door import COUNTS_S, build_handler_door
from wanesync.serverless.door import read_config
from wanesync.store.tables.operating.webhook_counts import Outcome

pytestmark = pytest.mark.slow
ENV = {
    "WANESYNC_DATABASE": "env:NOT_GIVEN",
    "WANESYNC_BUS__SEAL_KEY": derive_part_key(BUS_KEY, Role.HUBSPOT_HANDLER),
    "WANESYNC_HUBSPOT__WEBHOOK_SECRET": SECRET,
    "WANESYNC_SERVER__PUBLIC_URL": PUBLIC_URL,
    "WANESYNC_CREATE__CUSTOMERS": "none",
    "WANESYNC_CREATE__CONTACTS": "none",
}


def configured(url: str) -> Config:
    return read_config({**ENV, "WANESYNC_BUS__URL": url})


def test_of_many_requests_after_a_pause_one_connects_again_and_the_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is handed to the connection that ends would be lost, and is sent again a second later only."""
    door = build_handler_door(configured("mqtt://127.0.0.1:1"))
    now_s, begun, go_on = 1_000.0, threading.Semaphore(0), threading.Event()
    door.now_s = lambda: now_s
    door.prepare_request()

    def connect_again() -> None:
        begun.release()
        assert go_on.wait(WAIT_S)

    monkeypatch.setattr(door.door.client, "connect_again", connect_again)
    now_s += KEEPALIVE_S * 2
    requests = [threading.Thread(target=door.prepare_request) for _ in range(2)]
    requests[0].start()
    assert begun.acquire(timeout=WAIT_S)
    requests[1].start()
    requests[1].join(0.1)
    assert requests[1].is_alive()
    go_on.set()
    for request in requests:
        request.join(WAIT_S)
    assert not begun.acquire(blocking=False)
    door.close()


def test_it_answers_when_stored_also_after_it_was_frozen(tmp_path: Path) -> None:
    with (
        running(tmp_path / "broker") as broker,
        file_store(tmp_path) as store,
        running_queue(make_queue(broker.url, store)),
    ):
        door = build_handler_door(configured(broker.url))
        now_s = 1_000.0
        door.now_s = lambda: now_s

        def ask(path: str, body: bytes, headers: dict[str, str]) -> int:
            async def call() -> int:
                transport = httpx.ASGITransport(door.app)
                async with httpx.AsyncClient(transport=transport, base_url="https://door.test") as client:
                    return (await client.post(path, content=body, headers=headers)).status_code

            return run(call)

        def post(contact_id: int) -> int:
            door.prepare_request()
            body = json.dumps([change(contact_id) | {"eventId": contact_id}]).encode()
            status = ask("/webhooks/hubspot", body, sign_hubspot(body))
            door.finish_request()
            return status

        assert post(1) == 200
        now_s += KEEPALIVE_S * 20
        assert post(2) == 200
        now_s += COUNTS_S
        door.finish_request()
        assert ask("/webhooks/stripe", b"{}", {}) == 404
        door.counts.count(Side.HUBSPOT, 401, Outcome.SIGNATURE, 0)
        door.close()
        assert door.door.client.trouble == STOPPED
