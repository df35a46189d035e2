"""The test of the web door: a signed test event is posted to the public address and must be seen to arrive.

Each step that webhooks of HubSpot and Stripe take is tried by itself, so that one line names the step that fails: name
look-up, connection, TLS, path, and, from what the web process noted (``web.door_test``), body, address and secret.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from wanesync.core.model import Side
from wanesync.ops.checks.findings import Finding, fail, ok, warn
from wanesync.ops.checks.local import has_web_process
from wanesync.ops.checks.webhooks import HUBSPOT_PATH, STRIPE_PATH
from wanesync.web.door_test import TEST_HEADER, DoorMessage, Verdict, describe_message, read_seen, store_sent

if TYPE_CHECKING:
    from wanesync.store.database import Store

Signer = Callable[[str, bytes, int], Mapping[str, str]]
"""Returns the headers with which a vendor signs a body posted to an address, at a time in ms."""
TIMEOUT_S = 10.0
"""Longest time of one step (our choice)."""
MAX_ANSWER_S = 5.0
"""HubSpot waits so long for an answer (webhooks guide)."""
MAX_ANSWER_BYTES = 1 << 16
EXPIRY_DAYS = 14
"""A certificate that ends sooner is a warning (our choice): usual programs renew 30 days before."""
PATHS = {Side.HUBSPOT: HUBSPOT_PATH, Side.STRIPE: STRIPE_PATH}
SECRETS = {Side.HUBSPOT: "hubspot.webhook_secret", Side.STRIPE: "stripe.webhook_secret"}
START = "start wanesync up (or serve), then run this again"
ROUTE = "the proxy must pass {path} on to {listens}, with its path and body unchanged"
LOGIN = (
    "{path} asks for a login, or refuses the sender ({status})",
    "take /webhooks/ out of the proxy's login and address rules: wanesync checks signatures",
)
GATEWAY = (502, 503, 504)
UPSTREAM = ("the proxy cannot reach wanesync serve ({status})", "let its upstream be {listens}")
NO_PATH = ("the server there has no {path} ({status})", ROUTE)
OTHER_SERVE = (
    "a wanesync serve answers there ({status}), but not one with this database",
    "let the proxy lead to the serve of this configuration, and restart that",
)
CHANGED_PATH = ("wanesync answers, but not under {path} ({status}): the path was changed", ROUTE)
OUR_ANSWERS: Mapping[int, tuple[str, str]] = {
    200: OTHER_SERVE,
    400: OTHER_SERVE,
    401: OTHER_SERVE,
    404: CHANGED_PATH,
    405: CHANGED_PATH,
    503: ("wanesync serve cannot store it (503)", "see its log, and wanesync status"),
}
"""Status of an answer of our own web process that noted nothing -> what is wrong, and the way out."""
OTHER_ANSWERS: Mapping[int, tuple[str, str]] = {
    0: ("{path} answers {status}", ROUTE),
    2: ("another program than wanesync serve answers {path} with {status}: webhooks are lost there", ROUTE),
    3: (
        "{path} is redirected ({status}) to {to}: webhooks follow no redirect",
        "set server.public_url to the address itself, also in both vendors' settings",
    ),
    401: LOGIN,
    403: LOGIN,
    404: NO_PATH,
    405: NO_PATH,
    407: LOGIN,
    413: ("the proxy refuses a body of 300 bytes (413)", "raise its body limit to 40 MB"),
    **dict.fromkeys(GATEWAY, UPSTREAM),
}
"""The same for other programs; by status, else by its first digit, else 0."""
SELF_SIGNED = (18, 19)
INCOMPLETE = (20, 21)
EXPIRED = (10,)
OTHER_HOST = (62, 64)
"""Codes of OpenSSL for a refused certificate (openssl-verification-options)."""


class StepFailed(Exception):
    """A step before the POST failed. ``unreachable``: nothing listens there."""

    def __init__(self, text: str, fix: str, *, unreachable: bool = False) -> None:
        self.text, self.fix, self.unreachable = text, fix, unreachable
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to the POST; ``error``: what our own web process says, "" in any other answer."""

    status: int
    error: str
    location: str
    is_ours: bool


def make_context() -> ssl.SSLContext:
    """Return what certificates are checked with: public authorities only, as HubSpot and Stripe do."""
    return ssl.create_default_context(cafile=certifi.where())


@dataclass(frozen=True, slots=True)
class DoorTester:
    """Tests one public address. ``portal``, ``livemode``: of our accounts; ``rehearsal``: both sides are sandboxes."""

    store: Store
    address: str
    sign: Mapping[Side, Signer]
    portal: str
    livemode: bool
    listens: str
    rehearsal: bool = False
    context: Callable[[], ssl.SSLContext] = make_context
    expiry: list[Finding] = field(default_factory=list)

    def run(self) -> Iterator[Finding]:
        """Yield a finding per side; the steps before the POST are tried once for both."""
        parts = urlsplit(self.address)
        try:
            notes = self._look_up(parts)
            for side in self.sign:
                yield self._test(side, parts)
        except StepFailed as step:
            yield self._describe(step, parts)
            return
        yield from (*notes, *self.expiry)

    def _describe(self, step: StepFailed, parts: SplitResult) -> Finding:
        if step.unreachable and not has_web_process(self.store):
            return warn("public address", f"{step.text}, and no wanesync serve is running", START)
        if step.unreachable and getproxies().get(parts.scheme) and not proxy_bypass(parts.hostname or ""):
            text = f"{step.text} directly, and this machine reaches others through a proxy"
            return warn(
                "public address", text, "run this where there is a direct way, or edit a contact and see status"
            )
        return fail("public address", step.text, step.fix)

    def _look_up(self, parts: SplitResult) -> list[Finding]:
        """Look the host up; returns what the vendors may stumble over. Raises ``StepFailed``."""
        host = parts.hostname or ""
        try:
            found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, _port(parts), type=socket.SOCK_STREAM)}
        except OSError as error:
            fix = "create its DNS record, or correct server.public_url"
            text = f"DNS: {host} has no address ({error.strerror or type(error).__name__})"
            raise StepFailed(text, fix) from error
        if self.rehearsal:
            return []
        private = next((entry for entry in sorted(found) if _is_private(entry)), "")
        if private:
            text = f"{host} is {private} from here, a private address"
            fix = "check that public DNS has a public address: the vendors cannot reach this one"
            return [warn("public address", text, fix)]
        if all(":" in entry for entry in found):
            text = f"DNS: {host} has an IPv6 address only"
            return [warn("public address", text, "add an A record: the vendors send over IPv4")]
        return []

    def _test(self, side: Side, parts: SplitResult) -> Finding:
        check = f"{side} test event"
        url = self.address.rstrip("/") + PATHS[side]
        now_ms = self.store.now_ms()
        nonce = secrets.token_hex(16)
        body = self._make_body(side, nonce)
        headers = self.sign[side](url, body, now_ms)
        sent = describe_message(nonce, url, body, headers, now_ms)
        self.store.run(lambda tx: store_sent(tx, side, sent))
        began_s = time.monotonic()
        answer = self._post(parts, urlsplit(url).path, body, {TEST_HEADER: nonce, **headers})
        with self.store.reading() as tx:
            seen = read_seen(tx, side)
        took_s = time.monotonic() - began_s
        if seen is not None and seen.nonce == nonce:
            return _judge(check, side, sent, seen) if took_s < MAX_ANSWER_S else _describe_slow(check, took_s)
        return self._explain(check, side, answer)

    def _make_body(self, side: Side, nonce: str) -> bytes:
        """Return a body that a program which reads and writes JSON anew would change: blanks, ``1.0``, umlauts."""
        mark = f"wanesync.test.{nonce}"
        if side is Side.HUBSPOT:
            text = (
                f'[ {{"subscriptionType":"wanesync.test",  "portalId": {self.portal or 0}, "test":"{mark}", '
                '"number": 1.0, "text": "Grüße", "a": null} ]'
            )
        else:
            text = (
                f'{{ "object":"event",  "type": "wanesync.test", "id":"evt_wanesync_test", "test":"{mark}", '
                f'"livemode": {str(self.livemode).lower()}, "number": 1.0, "text": "Grüße", "a": null }}'
            )
        return text.encode()

    def _post(self, parts: SplitResult, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection(parts.hostname or "", _port(parts), timeout=TIMEOUT_S)
        connection.sock = self._connect(parts)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            text = f"{parts.hostname} takes the connection and gives no answer ({type(error).__name__})"
            raise StepFailed(text, f"check the proxy there; it must pass /webhooks/ on to {self.listens}") from error
        finally:
            connection.close()
        return _read_answer(response.status, response.getheader("location") or "", content)

    def _connect(self, parts: SplitResult) -> socket.socket:
        host, port = parts.hostname or "", _port(parts)
        try:
            opened = socket.create_connection((host, port), TIMEOUT_S)
        except TimeoutError as error:
            fix = f"open port {port} in the firewall, or correct server.public_url"
            raise StepFailed(f"{host} port {port} does not answer", fix, unreachable=True) from error
        except OSError as error:
            text = f"nothing listens at {host} port {port} ({error.strerror or type(error).__name__})"
            fix = f"start the proxy there (it passes /webhooks/ on to {self.listens}), or correct server.public_url"
            raise StepFailed(text, fix, unreachable=True) from error
        if parts.scheme != "https":
            return opened
        try:
            secure = self.context().wrap_socket(opened, server_hostname=host)
        except (OSError, ssl.SSLError) as error:
            opened.close()
            raise _describe_tls(host, error) from error
        self._note_expiry(host, secure)
        return secure

    def _note_expiry(self, host: str, secure: ssl.SSLSocket) -> None:
        """Note how long the certificate is valid, once."""
        ends = str((secure.getpeercert() or {}).get("notAfter") or "")
        days = int((ssl.cert_time_to_seconds(ends) - self.store.now_ms() / 1000) / 86_400) if ends else EXPIRY_DAYS
        if days < EXPIRY_DAYS and not self.expiry:
            text = f"TLS: the certificate of {host} ends in {days} days"
            self.expiry.append(warn("public address", text, "renew it, and see why that was not done by itself"))

    def _explain(self, check: str, side: Side, answer: Answer) -> Finding:
        """Return why a test event was not seen by a web process of this database."""
        status = answer.status
        table = OUR_ANSWERS if answer.is_ours else OTHER_ANSWERS
        text, fix = table.get(status) or table.get(status // 100) or OTHER_ANSWERS[0]
        filled = {"path": PATHS[side], "status": status, "listens": self.listens, "to": answer.location[:200]}
        text, fix = text.format(**filled), fix.format(**filled)
        if status in GATEWAY and not has_web_process(self.store):
            return warn(check, f"{text}, and none is running", START)
        return fail(check, text, fix)


def _describe_slow(check: str, took_s: float) -> Finding:
    text = f"arrived, but the answer took {took_s:.0f} s, and HubSpot gives up after {MAX_ANSWER_S:g} s"
    return fail(check, text, "look at the load of the proxy, of this machine and of the database")


def _judge(check: str, side: Side, sent: DoorMessage, seen: DoorMessage) -> Finding:
    """Compare a test event as it was received with what was sent."""
    if seen.verdict == Verdict.OK:
        return ok(check, "arrived at the public address, with its signature right")
    if seen.verdict == Verdict.CLOCK:
        text = "arrived, but its signature counted as more than 5 minutes old or in the future"
        return fail(check, text, "set the clocks (NTP) of both machines and of the database")
    if seen.digest != sent.digest:
        text = f"the body was rewritten on its way ({sent.size} bytes were sent, {seen.size} arrived)"
        return fail(
            check, text, "let the proxy pass the body unchanged: no JSON, encoding or security filter on /webhooks/"
        )
    if seen.signed != sent.signed:
        what = "changed" if seen.signed else "removed"
        text = f"the signature's headers were {what} on their way"
        return fail(check, text, "let the proxy pass X-HubSpot-* and Stripe-Signature on as they are")
    if side is Side.HUBSPOT and seen.url != sent.url:
        text = f"the web process verifies signatures for {seen.url}, the event was sent to {sent.url}"
        return fail(check, text, "restart it with this server.public_url, and let the proxy keep the path")
    fix = f"restart wanesync serve, so that it takes {SECRETS[side]} of this configuration"
    return fail(check, "the web process uses another secret than this configuration", fix)


def _describe_tls(host: str, error: Exception) -> StepFailed:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0
    if code in EXPIRED:
        return StepFailed(f"TLS: the certificate of {host} has expired", "renew it")
    if code in OTHER_HOST:
        text = f"TLS: the certificate is of another host than {host}"
        return StepFailed(text, f"get one for {host}, or correct server.public_url")
    if code in SELF_SIGNED:
        text = f"TLS: the certificate of {host} is self-signed, or of an authority of your own"
        return StepFailed(text, "get one of a public authority (Let's Encrypt): the vendors accept no other")
    if code in INCOMPLETE:
        text = f"TLS: the certificate of {host} comes without its intermediate one, or from no public authority"
        return StepFailed(text, "let the server send the full chain (fullchain.pem)")
    reason = getattr(error, "reason", "") or type(error).__name__
    text = f"TLS: no secure connection to {host} ({reason})"
    return StepFailed(text, "check that the server speaks TLS 1.2 or newer on this port")


def _read_answer(status: int, location: str, content: bytes) -> Answer:
    try:
        shown = json.loads(content)
    except ValueError:
        shown = None
    members = shown if isinstance(shown, dict) else {}
    error = members.get("error")
    ours = set(members) in ({"error"}, {"stored"}, {"test"})
    return Answer(status, error if isinstance(error, str) else "", location, ours)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _is_private(address: str) -> bool:
    return not ipaddress.ip_address(address.partition("%")[0]).is_global
