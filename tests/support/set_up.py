"""A healthy set-up beside the sandbox, on which faults are planted: configuration, database, web door, public address.

The commands run inside the process of the tests; what they call is real HTTP on this machine.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner, Result

from tests.support.lanes import start_processes
from tests.support.ports import free_port
from wanesync.cli.main import app
from wanesync.config.model import load
from wanesync.core.model import Side
from wanesync.sandbox.hubspot.scopes import KNOWN
from wanesync.sandbox.server import HUBSPOT_KEY, Options, Sandbox
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.store import Store
from wanesync.web.server import WebServer
from wanesync.wiring import build_web_server, open_database

STRIPE_KEY = "rk_test_setup"
PERMISSIONS = ["customer:write", "charge:read", "event:read", "webhook:write"]
CONFIG = """\
database = "{database}"
[hubspot]
access_token = "file:hubspot-token"
webhook_secret = "file:hubspot-secret"
base_url = "{hubspot}"
[stripe]
api_key = "file:stripe-key"
webhook_secret = "file:stripe-secret"
base_url = "{stripe}"
[network]
allow_base_url = true
[server]
port = {port}
public_url = "{public}"
"""
QUICK = "rate = 900"
Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[bytes, str, Mapping[str, str]], "Answer | tuple[bytes, str, Mapping[str, str]]"]
"""What a proxy does with (body, path, headers): an answer of its own, or what it passes on instead."""


class Proxy:
    """What stands at the public address: it passes requests on, unless a fault says otherwise."""

    def __init__(self, upstream: int, tls: ssl.SSLContext | None = None) -> None:
        self.upstream = upstream
        self.fault: Handler | None = None
        outer = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, headers, content = outer.handle(body, self.path, dict(self.headers.items()))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that refuses our certificate is what is tested."""

        self._server = Server(("127.0.0.1", 0), Door)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def handle(self, body: bytes, path: str, headers: Mapping[str, str]) -> Answer:
        if self.fault is not None:
            done = self.fault(body, path, headers)
            if isinstance(done[0], int):
                return done
            body, path, headers = done
        connection = HTTPConnection("127.0.0.1", self.upstream, timeout=10)
        try:
            kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
            connection.request("POST", path, body, kept)
            answer = connection.getresponse()
            return answer.status, {"content-type": "application/json"}, answer.read()
        except OSError:
            return 502, {}, b"<html>Bad Gateway</html>"
        finally:
            connection.close()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class SetUp:
    """A set-up made with the program's own commands: init, endpoint, running processes, a webhook from each side."""

    def __init__(
        self, folder: Path, tls: ssl.SSLContext | None = None, more: str = "", database: str = "sqlite:wanesync.db"
    ) -> None:
        self.folder, self.file = folder, folder / "wanesync.toml"
        self.sandbox = Sandbox(Options(tier="enterprise"))
        self.sandbox.hubspot.set_grants(HUBSPOT_KEY, KNOWN)
        self.sandbox.stripe.set_grants(STRIPE_KEY, PERMISSIONS)
        self.sandbox.start()
        self.port = free_port()
        self.proxy = Proxy(self.port, tls)
        self.public = f"{'https' if tls else 'http'}://127.0.0.1:{self.proxy.port}"
        self.write("hubspot-token", HUBSPOT_KEY)
        self.write("hubspot-secret", "hubspot-client-secret")
        self.write("stripe-key", STRIPE_KEY)
        text = CONFIG.format(
            database=database,
            hubspot=self.sandbox.hubspot_url,
            stripe=self.sandbox.stripe_url,
            port=self.port,
            public=self.public,
        )
        self.write(self.file.name, text + more)
        self._servers: list[WebServer] = []
        self._stores: list[Store] = []

    def write(self, name: str, content: str, mode: int = 0o600) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(content)
        path.chmod(mode)

    def change(self, old: str, new: str) -> None:
        """Change the configuration file, as an operator does."""
        text = self.file.read_text()
        assert old in text
        self.write(self.file.name, text.replace(old, new))

    def run(self, *arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.file)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done

    def open(self) -> Store:
        store = open_database(load(self.file, {}), migrate=True)
        self._stores.append(store)
        return store

    def serve(self) -> Store:
        """Start the web door, as ``wanesync serve`` does, and count as a living worker."""
        store = self.open()
        server = build_web_server(load(self.file, {}), store)
        server.start()
        self._servers.append(server)
        stopping = threading.Event()
        stopping.set()
        server.beat_until(stopping)
        start_processes(store)
        return store

    def stop_serving(self) -> None:
        for server in self._servers:
            server.stop()
        self._servers.clear()

    def make(self) -> Store:
        """Make the set-up: HubSpot's things, Stripe's endpoint, processes, a webhook from each side."""
        # At the usual rate, the requests of init would wait for more than a second.
        self.change("[hubspot]", f"[hubspot]\n{QUICK}")
        self.run("init", "--hubspot")
        self.change(f"[hubspot]\n{QUICK}", "[hubspot]")
        self.run("webhooks", "stripe", "create")
        store = self.serve()
        store.run(lambda tx: tx.rates._session.execute("DELETE FROM rates"))
        target = WebhookTarget(f"{self.public}/webhooks/hubspot", "hubspot-client-secret")
        if self.public.startswith("http:"):
            self.sandbox.set_target(Side.HUBSPOT, target)
            self.sandbox.edit("hubspot", "create", None, {"email": "ana@example.com"})
            self.sandbox.edit("stripe", "create", None, {"email": "bo@example.com"})
            self.await_webhooks()
        return store

    def await_webhooks(self) -> None:
        # The server's heartbeat stores the counts; here it is called by hand.
        deadline = time.monotonic() + 20
        while any(counts["webhooks_waiting"] for counts in self.sandbox.stats().values()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self._store_counts()

    def _store_counts(self) -> None:
        stopping = threading.Event()
        stopping.set()
        for server in self._servers:
            server.beat_until(stopping)

    def await_refusal(self, side: str) -> None:
        """Wait until a webhook of a side was sent and refused."""
        deadline = time.monotonic() + 20
        while not self.sandbox.stats()[side]["webhooks_failed"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self._store_counts()

    def examine(self, code: int | None = None) -> list[dict[str, str]]:
        """What ``wanesync doctor`` finds, without what is well."""
        done = CliRunner().invoke(app, ["doctor", "--json", "--config", str(self.file)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        found: list[dict[str, str]] = json.loads(done.stdout)["checks"]
        failed = any(finding["state"] == "fail" for finding in found)
        assert done.exit_code == (failed if code is None else code)
        return [finding for finding in found if finding["state"] != "ok"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_serving()
        self.proxy.close()
        for store in self._stores:
            store.close()
        self.sandbox.stop()


class Authority:
    """A certificate authority of a test, and certificates for the public address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name("wanesync test authority")
        self.certificate = self._sign(self.name, self.key, self.name, self.key, ca=True)
        self.file = folder / "authority.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, address: str = "127.0.0.1", days: int = 30, *, self_signed: bool = False, chain: bool = True
    ) -> ssl.SSLContext:
        """The server side of TLS with a new certificate. ``chain`` False: an intermediate one is not sent along."""
        key = ec.generate_private_key(ec.SECP256R1())
        name, issuer, signing = _name(address), self.name, self.key
        if self_signed:
            issuer, signing = name, key
        elif not chain:
            issuer, signing = _name("an intermediate"), ec.generate_private_key(ec.SECP256R1())
        made = self._sign(name, key, issuer, signing, address=address, days=days)
        path = self.folder / f"server-{time.monotonic_ns()}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    @staticmethod
    def _sign(
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Name,
        signing: ec.EllipticCurvePrivateKey,
        *,
        ca: bool = False,
        address: str = "",
        days: int = 30,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=60))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        )
        if ca:
            usage = x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                decipher_only=False,
            )  # fmt: skip
            builder = builder.add_extension(usage, critical=True)
        if address:
            names = [x509.IPAddress(ipaddress.ip_address(address))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signing, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
