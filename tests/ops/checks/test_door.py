"""The steps to the public address: TLS and silence, beside what is planted on a whole set-up (tests/system)."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import certifi
import pytest

from tests.support.lanes import start_processes
from tests.support.ports import free_port
from tests.support.set_up import Authority, Proxy
from wanesync.adapters.signatures import sign_hubspot, sign_stripe
from wanesync.core.model import Side
from wanesync.ops.checks import door
from wanesync.ops.checks.door import DoorTester, make_context
from wanesync.ops.checks.findings import Finding, State
from wanesync.store import Store, open_store
from wanesync.web.door_test import DoorMessage, describe_message, read_sent

SIGN = {Side.HUBSPOT: partial(sign_hubspot, "secret"), Side.STRIPE: partial(sign_stripe, "whsec_1")}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:{tmp_path / 'door.db'}", migrate=True)
    start_processes(opened)
    yield opened
    opened.close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority(tmp_path)
    monkeypatch.setattr(certifi, "where", lambda: str(made.file))
    return made


def examine(store: Store, address: str, *, rehearsal: bool = True) -> list[Finding]:
    return list(DoorTester(store, address, SIGN, "17", False, "127.0.0.1:8787", rehearsal).run())


def over_tls(store: Store, context: ssl.SSLContext) -> list[Finding]:
    proxy = Proxy(free_port(), context)
    try:
        return examine(store, f"https://127.0.0.1:{proxy.port}")
    finally:
        proxy.close()


def test_a_certificate_of_a_known_authority_passes(store: Store, authority: Authority) -> None:
    found = over_tls(store, authority.issue())
    assert [finding.text for finding in found] == ["the proxy cannot reach wanesync serve (502)"] * 2


@pytest.mark.parametrize(
    ("options", "text", "fix"),
    [
        ({"days": -1}, "has expired", "renew it"),
        ({"address": "127.0.0.2"}, "is of another host than 127.0.0.1", "get one for 127.0.0.1"),
        ({"self_signed": True}, "is self-signed", "get one of a public authority"),
        ({"chain": False}, "comes without its intermediate one", "fullchain.pem"),
    ],
)
def test_a_certificate_that_the_vendors_refuse_is_named(
    store: Store, authority: Authority, options: Mapping[str, object], text: str, fix: str
) -> None:
    (finding,) = over_tls(store, authority.issue(**options))  # type: ignore[arg-type] # a table of options
    assert finding.text.startswith("TLS: the certificate ")
    assert text in finding.text
    assert fix in finding.fix


def test_a_certificate_that_ends_soon_is_named_beside_the_events(store: Store, authority: Authority) -> None:
    found = over_tls(store, authority.issue(days=5))
    assert found[-1].text in {f"TLS: the certificate of 127.0.0.1 ends in {days} days" for days in (4, 5)}
    assert len(found) == 3


def test_an_address_over_ipv6_alone_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy(free_port())
    proxy.fault = lambda _body, _path, _headers: (404, {}, b"")
    found: list[object] = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2606:4700::1111", 443, 0, 0))]
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda *_: connect(("127.0.0.1", proxy.port), 10))
    monkeypatch.setattr(socket, "getaddrinfo", _look_up(found))
    try:
        shown = examine(store, "http://sync.example.com", rehearsal=False)
    finally:
        proxy.close()
    assert shown[-1].text == "DNS: sync.example.com has an IPv6 address only"


def _look_up(found: list[object]) -> Callable[..., object]:
    """Look-ups of the public host give what is planted, all others what they are."""
    real = socket.getaddrinfo

    def look_up(host: str, *arguments: object, **options: object) -> object:
        return found if host == "sync.example.com" else real(host, *arguments, **options)  # type: ignore[arg-type] # passed on

    return look_up


def test_a_server_without_tls_is_named(store: Store) -> None:
    proxy = Proxy(free_port())
    try:
        (finding,) = examine(store, f"https://127.0.0.1:{proxy.port}")
    finally:
        proxy.close()
    assert finding.text.startswith("TLS: no secure connection to 127.0.0.1")


def test_only_public_authorities_count() -> None:
    assert make_context().verify_mode is ssl.CERT_REQUIRED


def test_a_server_that_closes_the_connection_is_named(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drop() -> None:
            taken, _ = listening.accept()
            taken.close()

        thread = threading.Thread(target=drop)
        thread.start()
        (finding,) = examine(store, f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()
    assert "takes the connection and gives no answer" in finding.text


def test_without_a_web_process_nothing_is_to_be_mended_yet(store: Store) -> None:
    store.run(lambda tx: tx.processes.remove("d1"))
    (closed,) = examine(store, f"http://127.0.0.1:{free_port()}")
    assert (closed.state, closed.fix) == (State.WARN, door.START)
    proxy = Proxy(free_port())
    try:
        found = examine(store, f"http://127.0.0.1:{proxy.port}")
    finally:
        proxy.close()
    assert [finding.state for finding in found] == [State.WARN, State.WARN]


def test_a_machine_behind_a_proxy_cannot_test_directly(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    (finding,) = examine(store, f"http://127.0.0.1:{free_port()}")
    assert (finding.state, "through a proxy" in finding.text) == (State.WARN, True)


def test_an_answer_that_comes_too_late_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy(free_port())
    proxy.fault = partial(_arrive, store)
    monkeypatch.setattr(door, "MAX_ANSWER_S", 0.0)
    try:
        found = examine(store, f"http://127.0.0.1:{proxy.port}")
    finally:
        proxy.close()
    assert all("HubSpot gives up after 0 s" in finding.text for finding in found)


def test_a_silent_port_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    (finding,) = examine(store, "http://127.0.0.1:1")
    assert "open port 1 in the firewall" in finding.fix


def test_a_private_address_is_named_unless_both_sides_are_sandboxes(store: Store) -> None:
    proxy = Proxy(free_port())
    proxy.fault = partial(_arrive, store)
    try:
        found = examine(store, f"http://127.0.0.1:{proxy.port}", rehearsal=False)
    finally:
        proxy.close()
    assert [finding.check for finding in found] == ["hubspot test event", "stripe test event", "public address"]
    assert found[-1].text == "127.0.0.1 is 127.0.0.1 from here, a private address"


@pytest.mark.parametrize(
    ("verdict", "text"), [("clock", "more than 5 minutes old"), ("ok", "with its signature right")]
)
def test_what_the_web_process_noted_decides(store: Store, verdict: str, text: str) -> None:
    proxy = Proxy(free_port())
    proxy.fault = partial(_arrive, store, verdict=verdict)
    try:
        found = examine(store, f"http://127.0.0.1:{proxy.port}")
    finally:
        proxy.close()
    assert all(text in finding.text for finding in found)


def _arrive(
    store: Store, body: bytes, path: str, _headers: Mapping[str, str], verdict: str = "ok"
) -> tuple[int, dict[str, str], bytes]:
    """Note a test event as a web process does, with a verdict of the test's own."""
    side = Side.HUBSPOT if path.endswith("hubspot") else Side.STRIPE
    with store.reading() as tx:
        sent = read_sent(tx, side)
    assert sent is not None
    seen = describe_message(sent.nonce, sent.url, body, {}, sent.at_ms)
    text = DoorMessage(seen.nonce, seen.url, seen.digest, sent.signed, seen.at_ms, verdict, len(body))
    store.run(lambda tx: tx.settings.put(f"door_test_seen_{side}", json.dumps(asdict(text))))
    return 200, {}, b"{}"
