"""TLS of the running web server: protocols, idle handshakes, and a renewal under requests."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest

from tests.support.certificates import DAY, Authority, Pair
from wanesync.core.errors import ConfigError, DatabaseUnavailable
from wanesync.core.model import Side
from wanesync.ops.alarms import read_alarms
from wanesync.store import Store, open_store
from wanesync.web.certificate import ServerCertificate
from wanesync.web.server import WebServer
from wanesync.web.settings import WebSettings

LIMIT = 8


class Intake:
    """Stores one event of each webhook."""

    def accept(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> int:
        return len(body)


class StopAfter(threading.Event):
    """Set after so many waits. No time passes."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.left = waits

    def wait(self, timeout: float | None = None) -> bool:
        self.left -= 1
        if not self.left:
            self.set()
        return self.is_set()


@pytest.fixture(name="store")
def open_empty() -> Iterator[Store]:
    opened = open_store("sqlite::memory:", migrate=True)
    yield opened
    opened.close()


class Door:
    """A running web server with a certificate."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.authority = Authority(folder)
        self.pair = self.authority.issue("127.0.0.1", valid_for=30 * DAY)
        certificate = ServerCertificate(str(self.pair.certificate), str(self.pair.key))
        settings = WebSettings(max_connections=LIMIT, certificate=certificate)
        self.server = WebServer(store, Intake(), settings, ("127.0.0.1", 0))
        self.port = urlsplit(self.server.url).port or 0
        self.server.start()

    def post(self, body: bytes = b"{}") -> tuple[int, bytes]:
        client = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.authority.trust())
        with closing(client):
            client.request("POST", "/webhooks/stripe", body)
            answer = client.getresponse()
            return answer.status, answer.read()

    def shown(self, context: ssl.SSLContext | None = None) -> bytes:
        context = context or self.authority.trust()
        with (
            socket.create_connection(("127.0.0.1", self.port), 5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            return secure.getpeercert(binary_form=True) or b""

    def renew(self, by: Pair) -> None:
        shutil.copy(by.certificate, self.pair.certificate)
        shutil.copy(by.key, self.pair.key)


@pytest.fixture(name="door")
def run_door(store: Store, tmp_path: Path) -> Iterator[Door]:
    opened = Door(store, tmp_path)
    yield opened
    opened.server.stop()


def test_webhooks_of_any_size_arrive_over_tls(door: Door) -> None:
    assert door.server.url.startswith("https://127.0.0.1:")
    for size in (2, 100_000, 3_000_000):
        assert door.post(b"x" * size) == (200, b'{"stored":%d}' % size)


def test_several_requests_of_one_connection_and_bytes_sent_with_the_handshake(door: Door) -> None:
    request = b"POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    with (
        socket.create_connection(("127.0.0.1", door.port), 5) as plain,
        door.authority.trust().wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        for _ in range(3):
            secure.sendall(request)
            answer = http.client.HTTPResponse(secure)
            answer.begin()
            assert (answer.status, answer.read()) == (200, b'{"stored":2}')


def test_plain_http_and_old_tls_are_not_answered(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.port), 5) as plain:
        plain.sendall(b"POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        assert b"200" not in plain.recv(1_000)
    old = door.authority.trust()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        door.shown(old)
    weak = door.authority.trust()
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA256:AES128-SHA:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        door.shown(weak)
    assert door.post()[0] == 200


def test_a_webhook_is_answered_beside_more_idle_handshakes_than_there_is_room_for(door: Door) -> None:
    with ExitStack() as stack:
        for _ in range(3 * LIMIT):
            stack.enter_context(socket.create_connection(("127.0.0.1", door.port), 5))
        assert door.post()[0] == 200


def test_a_renewal_refuses_no_connection_and_the_next_one_shows_it(door: Door) -> None:
    failures: list[object] = []
    asked = [0]
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                status, _ = door.post()
            except OSError as error:
                failures.append(error)
            else:
                asked[0] += 1
                if status != 200:
                    failures.append(status)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        seen = {door.shown()}
        for _ in range(5):
            door.renew(door.authority.issue("127.0.0.1"))
            door.server.beat_until(StopAfter(1))
            seen.add(door.shown())
            _wait_for(asked, asked[0] + 3)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(seen) == 6


def _wait_for(asked: list[int], number: int) -> None:
    end = time.monotonic() + 10
    while asked[0] < number:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_renewal_is_taken_while_the_database_is_unavailable(door: Door, store: Store) -> None:
    before = door.shown()
    door.renew(door.authority.issue("127.0.0.1"))
    with patch.object(store, "sync_clock", side_effect=DatabaseUnavailable("away")):
        door.server.beat_until(StopAfter(1))
    assert door.shown() != before


def test_a_bad_renewal_raises_an_alarm_until_it_is_mended(door: Door, store: Store) -> None:
    def find() -> list[str]:
        return [alarm for alarm in read_alarms(store) if "certificate" in alarm]

    before = door.shown()
    shutil.copy(door.authority.issue("127.0.0.1").key, door.pair.key)

    class Checked(StopAfter):
        def wait(self, timeout: float | None = None) -> bool:
            alarms.append(find())
            if len(alarms) == 3:
                door.renew(door.authority.issue("127.0.0.1"))
            return super().wait(timeout)

    alarms: list[list[str]] = []
    door.server.beat_until(Checked(4))
    assert [len(found) for found in alarms] == [0, 1, 1, 0]
    assert alarms[1][0].startswith("the renewed certificate cannot be used, and the old one stays until")
    assert door.shown() != before
    assert find() == [], "a process that has ended reports nothing"


def test_figures_have_a_listener_of_their_own(store: Store) -> None:
    settings = WebSettings(metrics_address=("127.0.0.1", 0), metrics_token="t" * 24)
    server = WebServer(store, Intake(), settings, ("127.0.0.1", 0))
    server.start()
    try:
        for url, path, token, status in (
            (server.url, "/metrics", "t" * 24, 404),
            (server.metrics_url, "/metrics", "", 401),
            (server.metrics_url, "/metrics", "t" * 24, 200),
            (server.metrics_url, "/readyz", "", 200),
            (server.metrics_url, "/webhooks/stripe", "t" * 24, 404),
        ):
            client = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
            with closing(client):
                client.request("GET", path, headers={"Authorization": f"Bearer {token}"})
                assert client.getresponse().status == status, (url, path)
    finally:
        server.stop()


def test_a_port_of_figures_that_is_taken_is_named(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = WebSettings(metrics_address=("127.0.0.1", taken.getsockname()[1]))
        with pytest.raises(ConfigError, match=r"choose another server\.metrics_host or server\.metrics_port"):
            WebServer(store, Intake(), settings, ("127.0.0.1", 0))
