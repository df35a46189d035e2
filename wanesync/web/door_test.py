"""The door test: ``wanesync doctor`` posts a signed test event to the public address, and this notes how it arrived.

The doctor stores what it is about to send; the web process that receives the event stores what it received. Both are
compared, so that a wrong secret, a rewritten body and a changed address can be told apart. A test event is never
synced. The nonce is random and known to the two processes only: any other request counts as a webhook like all others.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from wanesync.core.errors import InvalidSignature, StaleSignature

if TYPE_CHECKING:
    from wanesync.core.model import Side
    from wanesync.core.ports import WebhookPort
    from wanesync.store.database import Store, Tx

TEST_HEADER = "x-wanesync-test"
"""Header that carries the nonce; the body carries it as well, for a proxy that removes unknown headers."""
SIGNATURE_HEADERS = ("x-hubspot-signature-v3", "x-hubspot-request-timestamp", "stripe-signature")
MARK = re.compile(rb"wanesync\.test\.([0-9a-f]{32})")
NONCE = re.compile(r"[0-9a-f]{32}")
MAX_TEST_BYTES = 4_096
"""Larger bodies are not searched for a test event (our choice: it has about 300 bytes)."""
VALID_MS = 60_000
"""How long a test event may be under way (our choice: a request has 10 s)."""
MAX_LOOKUPS_PER_S = 5
"""Most look-ups of a nonce: requests that no secret has signed reach the database no faster (our choice)."""


class Verdict(StrEnum):
    """What the signature check of the web process said."""

    OK = "ok"
    SIGNATURE = "signature"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class DoorMessage:
    """A test event as it was sent, or as it was received. ``digest``: of the body; ``signed``: of its headers."""

    nonce: str
    url: str
    digest: str
    signed: str
    at_ms: int
    verdict: str = ""
    size: int = 0


def describe_message(nonce: str, url: str, body: bytes, headers: Mapping[str, str], at_ms: int) -> DoorMessage:
    """Return what both processes compare of a request; names of ``headers`` in any case."""
    lower = {name.lower(): value for name, value in headers.items()}
    marks = [lower.get(name, "") for name in SIGNATURE_HEADERS]
    signed = hashlib.sha256("\n".join(marks).encode()).hexdigest() if any(marks) else ""
    return DoorMessage(nonce, url, hashlib.sha256(body).hexdigest(), signed, at_ms, size=len(body))


def store_sent(tx: Tx, side: Side, message: DoorMessage) -> None:
    """Store what the doctor is about to send."""
    tx.settings.put(_name("sent", side), json.dumps(asdict(message)))


def read_sent(tx: Tx, side: Side) -> DoorMessage | None:
    """Return what the doctor sent last."""
    return _read(tx, "sent", side)


def read_seen(tx: Tx, side: Side) -> DoorMessage | None:
    """Return what a web process received last."""
    return _read(tx, "seen", side)


def _name(what: str, side: Side) -> str:
    return f"door_test_{what}_{side}"


def _read(tx: Tx, what: str, side: Side) -> DoorMessage | None:
    text = tx.settings.get(_name(what, side))
    return DoorMessage(**json.loads(text)) if text else None


def is_expected(store: Store, side: Side, nonce: str) -> bool:
    """Return whether the doctor has just sent the test event with this nonce. Raises ``DatabaseUnavailable``."""
    with store.reading() as tx:
        sent = read_sent(tx, side)
    return sent is not None and sent.nonce == nonce and 0 <= store.now_ms() - sent.at_ms <= VALID_MS


def store_seen(store: Store, side: Side, seen: DoorMessage) -> None:
    """Store how a test event arrived. Raises ``DatabaseUnavailable``."""
    store.run(lambda tx: tx.settings.put(_name("seen", side), json.dumps(asdict(seen))))


def find_nonce(body: bytes, headers: Mapping[str, str]) -> str:
    """Return the nonce of a request that may be a test event, "" for all others."""
    given = headers.get(TEST_HEADER, "")
    if NONCE.fullmatch(given):
        return given
    found = MARK.search(body) if len(body) <= MAX_TEST_BYTES else None
    return found[1].decode() if found else ""


@dataclass(slots=True)
class DoorTest:
    """Recognises test events in front of the intake of a web process."""

    store: Store
    hooks: Mapping[Side, WebhookPort]
    monotonic_s: Callable[[], float] = time.monotonic
    _second: int = 0
    _lookups: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def receive(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> Verdict | None:
        """Store how a test event arrived; None for every other request, which is then handled as a webhook.

        ``headers``: names in lower case. Raises ``DatabaseUnavailable``.
        """
        nonce = find_nonce(body, headers)
        if not nonce or not self._may_look():
            return None
        now_ms = self.store.now_ms()
        if not is_expected(self.store, side, nonce):
            return None
        verdict = self._verify(side, body, headers, url, now_ms)
        plain = describe_message(nonce, url, body, headers, now_ms)
        store_seen(self.store, side, DoorMessage(nonce, url, plain.digest, plain.signed, now_ms, verdict, len(body)))
        return verdict

    def _verify(self, side: Side, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> Verdict:
        try:
            self.hooks[side].verify(body, headers, url, now_ms)
        except StaleSignature:
            return Verdict.CLOCK
        except InvalidSignature:
            return Verdict.SIGNATURE
        return Verdict.OK

    def _may_look(self) -> bool:
        with self._guard:
            second = int(self.monotonic_s())
            self._lookups = self._lookups + 1 if second == self._second else 1
            self._second = second
            return self._lookups <= MAX_LOOKUPS_PER_S
