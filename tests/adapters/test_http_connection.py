"""The connections to Stripe: what is sent, and which answers are accepted, byte by byte."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from urllib3.exceptions import HTTPError, ProtocolError, SSLError

from wanesync.adapters.http_answers import read_body
from wanesync.adapters.http_connection import MAX_HEADER_BYTES, use_fast_connections

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: 1\r\n\r\nhi"


class RawServer:
    """Sends one text for each request, in the given parts; ``requests``: what came, ``accepted``: connections."""

    def __init__(self, parts: Sequence[bytes], *, closes: bool = False, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.accepted = 0
        self._parts, self._closes, self._tls = parts, closes, tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as peer:
                while request := peer.recv(65_536):
                    self.requests.append(request)
                    for part in self._parts:
                        peer.sendall(part)
                    if self._closes:
                        return
        except OSError:
            return

    def close(self) -> None:
        """Accept no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def serving(*parts: bytes, closes: bool = False, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    server = RawServer(parts, closes=closes, tls=tls)
    try:
        yield server
    finally:
        server.close()


def open_pool(url: str, **tls: Any) -> urllib3.HTTPConnectionPool:
    manager = urllib3.PoolManager(num_pools=1, maxsize=1, **tls)
    use_fast_connections(manager)
    return manager.connection_from_url(url)


def ask(server: RawServer, times: int = 1, **tls: object) -> list[tuple[int, dict[str, str], bytes]]:
    pool = open_pool(server.url, **tls)
    found = []
    for _ in range(times):
        answer = pool.urlopen(
            "POST",
            "/v1/x?a=1",
            body="b=2",
            headers={"X-Key": "k"},
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=5,
        )
        found.append((answer.status, dict(answer.headers), read_body(answer)))
    pool.close()
    return found


def test_a_connection_serves_many_requests_each_sent_at_once() -> None:
    with serving(OK) as server:
        assert ask(server, 3) == [(200, {"Content-Length": "2", "X-Id": "1"}, b"hi")] * 3
        host = server.url.removeprefix("http://").encode()
    assert server.accepted == 1
    expected = b"POST /v1/x?a=1 HTTP/1.1\r\nHost: %b\r\nContent-Length: 3\r\nX-Key: k\r\n\r\nb=2" % host
    assert server.requests == [expected] * 3


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_an_answer_may_come_in_any_parts(size: int) -> None:
    whole = (
        b"HTTP/1.1 100 Continue\r\nX-Old: 1\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Id: 1\r\nX-Id: 2\r\n\r\n"
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-End: 1\r\n\r\n"
    )
    with serving(*(whole[at : at + size] for at in range(0, len(whole), size))) as server:
        expected = (200, {"Transfer-Encoding": "chunked", "X-Id": "1, 2"}, b"hello")
        assert ask(server, 2) == [expected] * 2
    assert server.accepted == 1


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    with serving(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo", closes=True) as server:
        assert ask(server, 2) == [(200, {}, b"hello")] * 2
    assert server.accepted == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
        OK + b"\x00\x01",
        OK.replace(b"X-Id: 1", b"Connection: close"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_what_follows_an_answer_is_never_the_answer_to_another_request(answer: bytes) -> None:
    with serving(answer) as server:
        assert [body for _, _, body in ask(server, 2)] == [b"hi", b"hi"]
    assert server.accepted == 2, "the connection is not used again"


@pytest.mark.parametrize(
    ("parts", "closes"),
    [
        ([b""], True),
        ([b"HTTP/1.1 200 OK\r\nContent-Le"], True),
        ([OK[:-1]], True),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"], True),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n"], False),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], False),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi"], False),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi"], False),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"], False),
        ([b"HTTP/1.1 200 OK\r\nX-Id: ", b"x" * MAX_HEADER_BYTES], False),
        ([b"HTTP/1.1 100 Continue\r\nX-Id: 12345678901234567890\r\n\r\n" * 4_000], False),
    ],
)
def test_what_is_no_whole_answer_is_refused(parts: list[bytes], closes: bool) -> None:
    with serving(*parts, closes=closes) as server, pytest.raises(ProtocolError):
        ask(server)


def test_a_connection_that_the_server_ended_is_opened_anew() -> None:
    with serving(OK.replace(b"X-Id: 1", b"X-End: 1"), closes=True) as server:
        pool = open_pool(server.url)
        for _ in range(2):
            answer = pool.urlopen(
                "GET", "/", headers={}, redirect=False, retries=False, preload_content=False, timeout=5
            )
            assert read_body(answer) == b"hi"
            connection = pool._get_conn()
            sock = getattr(connection, "sock", None)
            # The end of the connection arrives.
            assert sock is None or sock.recv(1) == b""
            pool._put_conn(connection)
    assert server.accepted == 2


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/", {"X-Key": "a\r\nX-Other: 1"}),
        ("GET", "/", {"X-Key": "a\n"}),
        ("GET", "/", {"X-Key\r": "a"}),
        ("GET", "/a b", {}),
        ("GET /", "/", {}),
        ("PUT", "/", {}),
    ],
)
def test_a_request_that_would_be_another_one_is_not_sent(method: str, target: str, headers: dict[str, str]) -> None:
    with serving(OK) as server:
        connection = open_pool(server.url)._new_conn()
        with pytest.raises(ValueError, match="where none may stand"):
            connection.request(method, target, headers=headers)
        assert server.accepted == 0


def make_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, key_file = folder / "ca.pem", folder / "key.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return context, file


def test_a_connection_over_tls_checks_the_certificate(tmp_path: Path) -> None:
    context, file = make_certificate(tmp_path)
    with serving(OK, tls=context) as server:
        found = ask(server, 2, cert_reqs="CERT_REQUIRED", ca_certs=str(file))
        assert [body for _, _, body in found] == [b"hi", b"hi"]
        assert server.accepted == 1
        with pytest.raises(SSLError):
            ask(server, cert_reqs="CERT_REQUIRED")


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n") as server:
        pool = open_pool(server.url)
        answer = pool.urlopen(
            "GET", "/", headers={}, redirect=False, retries=False, preload_content=False, timeout=0.05
        )
        with pytest.raises(HTTPError, match="timed out"):
            read_body(answer)
