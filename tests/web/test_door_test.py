"""The test event of ``wanesync doctor``: recognised by its nonce, compared with what was sent, never a webhook."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.web_door import HUBSPOT, PUBLIC_URL, SECRET, Door, Memory, serve
from wanesync.adapters.signatures import sign_hubspot
from wanesync.core.model import Side
from wanesync.store import Store, open_store
from wanesync.web.door_test import MAX_LOOKUPS_PER_S, DoorMessage, DoorTest, describe_message, read_seen, store_sent
from wanesync.web.settings import WebSettings

H = Side.HUBSPOT
NONCE = "0123456789abcdef" * 2
BODY = b'[ {"subscriptionType": "wanesync.test", "portalId": 3, "test": "wanesync.test.%s"} ]' % NONCE.encode()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    # Its own clock, because signatures are checked against the time of the database.
    opened = open_store(f"sqlite:{tmp_path / 'door.db'}", migrate=True)
    yield opened
    opened.close()


@contextmanager
def serving(store: Store) -> Iterator[Door]:
    memory = Memory()
    settings = WebSettings(
        public_url=PUBLIC_URL, receive_test=DoorTest(store, memory.hooks).receive, threads=1, shows_metrics=True
    )
    with serve(settings, memory) as door:
        yield door


def send(
    store: Store, door: Door, body: bytes = BODY, headers: Mapping[str, str] | None = None, age_ms: int = 0
) -> int:
    now_ms = time.time_ns() // 1_000_000
    signed = sign_hubspot(SECRET, PUBLIC_URL + HUBSPOT, BODY, now_ms)
    sent = describe_message(NONCE, PUBLIC_URL + HUBSPOT, BODY, signed, now_ms - age_ms)
    store.run(lambda tx: store_sent(tx, H, sent))
    return door.ask("POST", HUBSPOT, body, {"X-Wanesync-Test": NONCE, **signed, **(headers or {})}).status


def seen(store: Store) -> DoorMessage:
    with store.reading() as tx:
        found = read_seen(tx, H)
    assert found is not None
    return found


def test_a_test_event_is_recognised_and_not_synced(store: Store) -> None:
    with serving(store) as door:
        assert send(store, door) == 200
        assert door.intake.stored == []
        assert b'wanesync_webhooks_total{side="hubspot",status="200"} 1' in door.ask("GET", "/metrics").body
    assert (seen(store).verdict, seen(store).digest) == ("ok", hashlib.sha256(BODY).hexdigest())


def test_a_rewritten_body_and_a_wrong_secret_are_told_apart(store: Store) -> None:
    with serving(store) as door:
        assert send(store, door, BODY.replace(b" ", b"")) == 401
        assert seen(store).verdict == "signature"
        assert seen(store).digest != hashlib.sha256(BODY).hexdigest()
        assert send(store, door, headers={"X-HubSpot-Signature-v3": "AAAA"}) == 401
        assert seen(store).digest == hashlib.sha256(BODY).hexdigest()


def test_the_body_names_the_test_where_a_proxy_removes_the_header(store: Store) -> None:
    with serving(store) as door:
        assert send(store, door, headers={"X-Wanesync-Test": ""}) == 200
    assert seen(store).verdict == "ok"


def test_a_nonce_that_was_not_sent_now_is_a_webhook_like_all_others(store: Store) -> None:
    with serving(store) as door:
        assert send(store, door, age_ms=61_000) == 200
        assert len(door.intake.stored) == 1
    with store.reading() as tx:
        assert read_seen(tx, H) is None


def test_unsigned_requests_reach_the_database_a_few_times_a_second_only(store: Store) -> None:
    looked = 0

    class Counted:
        def now_ms(self) -> int:
            nonlocal looked
            looked += 1
            return store.now_ms()

        reading = store.reading

    test = DoorTest(Counted(), {}, monotonic_s=lambda: 7.0)  # type: ignore[arg-type] # a store that counts
    headers = {"x-wanesync-test": NONCE}
    for _ in range(50):
        assert test.receive(H, b"", headers, "") is None
    assert looked == MAX_LOOKUPS_PER_S


def test_a_message_without_signature_says_so() -> None:
    assert describe_message(NONCE, "", b"", {}, 0).signed == ""
    assert describe_message(NONCE, "", b"", {"Stripe-Signature": "t=1"}, 0).signed
