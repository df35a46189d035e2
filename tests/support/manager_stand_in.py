"""Secrets managers on loopback for their official clients: an HTTPS proxy that answers in place of every host.

The clients run as they are, with their own addresses, logins and TLS: only HTTPS_PROXY and REQUESTS_CA_BUNDLE lead them
here. What answers is ours, written after the published APIs, and proves nothing about the managers themselves.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

HOSTS = (
    "secretmanager.googleapis.com",
    "oauth2.googleapis.com",
    "login.microsoftonline.com",
    "demo.vault.azure.net",
    "vault.example.com",
)
TENANT = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came through the proxy."""

    host: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; ``body`` is sent as JSON."""

    status: int = 200
    body: object = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


Play = Callable[[Asked], Answer]


class ManagerStandIn:
    """Answers every request by ``play`` while its ``with`` block runs; ``asked`` holds what came."""

    def __init__(self, folder: Path, play: Play) -> None:
        self.ca = folder / "ca.pem"
        self.asked: list[Asked] = []
        self.play = play
        certificate = _make_certificate(self.ca)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, self._tls))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def variables(self) -> dict[str, str]:
        """The environment that leads the clients here."""
        address = f"http://127.0.0.1:{self._server.server_port}"
        return {"HTTPS_PROXY": address, "REQUESTS_CA_BUNDLE": str(self.ca), "NO_PROXY": ""}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(owner: ManagerStandIn, tls: ssl.SSLContext) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        host = ""

        def do_CONNECT(self) -> None:
            self.host = self.path.partition(":")[0]
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            with suppress(OSError), tls.wrap_socket(self.connection, server_side=True) as connection:
                self.rfile, self.wfile = connection.makefile("rb"), connection.makefile("wb")
                self.close_connection = False
                while not self.close_connection:
                    self.handle_one_request()
            self.close_connection = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            asked = Asked(self.host, self.command, self.path, dict(self.headers.items()), body)
            owner.asked.append(asked)
            answer = owner.play(asked)
            content = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **answer.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

        do_GET = do_POST = _serve  # noqa: N815 - the standard library's names

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    return Handler


def _make_certificate(ca: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    ca.write_bytes(public)
    chain = ca.with_name("server.pem")
    chain.write_bytes(public + write_key(key))
    return chain


def write_key(key: rsa.RSAPrivateKey) -> bytes:
    """Return a key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def service_account(folder: Path) -> Path:
    """Write the key file of a service account of Google that exists here only."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = folder / "service-account.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "my-project",
                "private_key_id": "1",
                "private_key": write_key(key).decode(),
                "client_email": "sync@my-project.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": "https://oauth2.googleapis.com/token",
            }
        )
    )
    return path


def encode(text: bytes) -> str:
    """Return base64 as JSON APIs carry bytes."""
    return base64.b64encode(text).decode()
