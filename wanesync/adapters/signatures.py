"""Signatures of webhooks: HubSpot's v3 and Stripe's v1, over the raw bytes, compared in constant time.

Our own verifiers: those of the SDKs accept times in the future, take one secret only and fail on input
that is not ASCII. HubSpot's older signatures (v1, v2) carry no time and are not accepted.
"""

from __future__ import annotations

import base64
import hmac
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wanesync.core.errors import ConfigError, InvalidSignature, StaleSignature

MAX_SIGNATURE_AGE_MS = 300_000
"""Both vendors' guides refuse signatures older than 5 minutes."""
MAX_SIGNATURES = 16
"""Signatures of one header that are compared (our choice): Stripe sends one per secret of a rotation."""
OVERLAP_S = MAX_SIGNATURE_AGE_MS / 1000
"""How long a secret that was replaced still verifies: requests that it signed are under way for no longer."""
ASK_INTERVAL_S = 10.0
"""Shortest time between two looks for a new secret because of a signature that no known one made (our choice)."""
MAX_WAIT_S = 2.0
"""How long a request waits for another one that looks for a new secret (our choice)."""
HUBSPOT_SIGNATURE = "x-hubspot-signature-v3"
HUBSPOT_TIMESTAMP = "x-hubspot-request-timestamp"
STRIPE_SIGNATURE = "stripe-signature"

# The only escapes HubSpot undoes before signing (request validation guide).
_DECODED = {
    "%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$", "%27": "'",
    "%28": "(", "%29": ")", "%2A": "*", "%2C": ",", "%3B": ";",
}  # fmt: skip
_ESCAPES = re.compile("|".join(_DECODED), re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,15}")
_SHA256 = "sha256"
"""By its name, of which OpenSSL makes an HMAC in half the time that ``hashlib.sha256`` takes."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """One request as it was received. ``url``: as the sender called it. ``headers``: names in any case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """Return a header's value, "" if it is missing."""
        value = self.headers.get(name)
        return (
            value
            if value is not None
            else next((value for key, value in self.headers.items() if key.lower() == name), "")
        )


def _check_secrets(secrets: Sequence[str], option: str) -> list[bytes]:
    if not secrets or not all(secrets):
        raise ConfigError([f"{option}: a secret is needed to verify webhooks"])
    return [secret.encode() for secret in secrets]


def _read_time(timestamp: str, unit_ms: int) -> int:
    if not _DIGITS.fullmatch(timestamp):
        raise InvalidSignature("the time of the signature is missing or not a number")
    return int(timestamp) * unit_ms


def _check_time(signed_ms: int, now_ms: int) -> None:
    """Raise ``StaleSignature`` for a right signature of another time (docs/correctness.md#web-door)."""
    if abs(now_ms - signed_ms) > MAX_SIGNATURE_AGE_MS:
        raise StaleSignature("signed more than 5 minutes from now; check this machine's clock if all webhooks fail")


def sign_hubspot(secret: str, url: str, body: bytes, now_ms: int) -> dict[str, str]:
    """Return the headers with which HubSpot signs a POST of ``body`` to ``url``."""
    signed = b"POST" + url.encode() + body + str(now_ms).encode()
    digest = base64.b64encode(hmac.digest(secret.encode(), signed, _SHA256)).decode()
    return {"X-HubSpot-Signature-v3": digest, "X-HubSpot-Request-Timestamp": str(now_ms)}


def sign_stripe(secret: str, _url: str, body: bytes, now_ms: int) -> dict[str, str]:
    """Return the header with which Stripe signs a POST of ``body``; the address is not signed."""
    signed = str(now_ms // 1000).encode() + b"." + body
    return {"Stripe-Signature": f"t={now_ms // 1000},v1={hmac.digest(secret.encode(), signed, _SHA256).hex()}"}


class HubSpotSignature:
    """Verifies v3: base64 of HMAC-SHA256 over method, URI, body and time. Several secrets during a rotation."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = _check_secrets(secrets, "hubspot.webhook_secret")

    def verify(self, request: SignedRequest, now_ms: int) -> None:
        """Raise ``InvalidSignature`` unless one of the secrets signed it within 5 minutes of ``now_ms``."""
        timestamp = request.header(HUBSPOT_TIMESTAMP)
        signed_ms = _read_time(timestamp, 1)
        given = request.header(HUBSPOT_SIGNATURE).encode("utf-8", "replace")
        uri = _ESCAPES.sub(lambda found: _DECODED[found[0].upper()], request.url)
        signed = request.method.encode() + uri.encode() + request.body + timestamp.encode()
        digests = [base64.b64encode(hmac.digest(secret, signed, _SHA256)) for secret in self._secrets]
        if not any(hmac.compare_digest(digest, given) for digest in digests):
            raise InvalidSignature("no secret made this signature; check hubspot.webhook_secret and server.public_url")
        _check_time(signed_ms, now_ms)


class StripeSignature:
    """Verifies v1: hex of HMAC-SHA256 over ``t.body``. Several secrets and several signatures are tried."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = _check_secrets(secrets, "stripe.webhook_secret")

    def verify(self, request: SignedRequest, now_ms: int) -> None:
        """Raise ``InvalidSignature`` unless one of the secrets signed it within 5 minutes of ``now_ms``."""
        parts = [part.partition("=") for part in request.header(STRIPE_SIGNATURE).split(",")]
        times = [value for name, _, value in parts if name.strip() == "t"]
        given = [value.encode("utf-8", "replace") for name, _, value in parts if name.strip() == "v1"]
        if len(times) != 1 or not 1 <= len(given) <= MAX_SIGNATURES:
            raise InvalidSignature("the header Stripe-Signature is missing or malformed")
        signed_ms = _read_time(times[0], 1000)
        signed = times[0].encode() + b"." + request.body
        digests = [hmac.digest(secret, signed, _SHA256).hex().encode() for secret in self._secrets]
        if not any(hmac.compare_digest(digest, signature) for digest in digests for signature in given):
            raise InvalidSignature("no secret made this signature; check stripe.webhook_secret")
        _check_time(signed_ms, now_ms)


class Signature(Protocol):
    """Verifies the signatures of one side's webhooks."""

    def verify(self, request: SignedRequest, now_ms: int) -> None:
        """Raise ``InvalidSignature`` unless the side signed it within 5 minutes of ``now_ms``."""
        ...


class RenewableSignature:
    """Verifies with the secrets of the moment; those that were replaced count for 5 more minutes. Thread-safe.

    ``make``: builds the verifier of some secrets. ``current``: returns the secrets as they were read last. ``renew``:
    reads them again, for a signature that none of them made; None: they never change. ``monotonic_s``: a clock.
    """

    def __init__(
        self,
        make: Callable[[Sequence[str]], Signature],
        current: Callable[[], Sequence[str]],
        renew: Callable[[], object] | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._current, self._renew, self._monotonic_s = make, current, renew, monotonic_s
        self._known = tuple(current())
        self._replaced: dict[str, float] = {}
        self._signature = make(self._known)
        self._expires_s = float("inf")
        self._asked_s = float("-inf")
        self._guard, self._turn = threading.Lock(), threading.Lock()

    def verify(self, request: SignedRequest, now_ms: int) -> None:
        """Raise ``InvalidSignature`` unless one of the secrets signed it within 5 minutes of ``now_ms``."""
        signature = self.newest()
        try:
            signature.verify(request, now_ms)
        except StaleSignature:
            raise
        except InvalidSignature:
            if self._renew is None or not self._look_for_another(signature):
                raise
            self.newest().verify(request, now_ms)

    def newest(self) -> Signature:
        """Return the verifier of the secrets of the moment and those replaced lately; never waits."""
        now_s, known = self._monotonic_s(), tuple(self._current())
        if known == self._known and now_s < self._expires_s:
            return self._signature
        with self._guard:
            for secret in self._known:
                self._replaced.setdefault(secret, now_s + OVERLAP_S)
            self._replaced = {
                secret: until_s for secret, until_s in self._replaced.items() if until_s > now_s and secret not in known
            }
            self._known, self._signature = known, self._make([*known, *self._replaced])
            self._expires_s = min(self._replaced.values(), default=float("inf"))
            return self._signature

    def _look_for_another(self, refused: Signature) -> bool:
        """Read the secrets again, or wait for the thread that does; return whether there are others now."""
        if self._renew is not None and self._turn.acquire(timeout=MAX_WAIT_S):
            try:
                now_s = self._monotonic_s()
                if self.newest() is refused and now_s >= self._asked_s + ASK_INTERVAL_S:
                    self._asked_s = now_s
                    self._renew()
            finally:
                self._turn.release()
        return self.newest() is not refused


def is_signed(signature: Signature, request: SignedRequest, now_ms: int) -> bool:
    """Return whether one of the secrets at hand signed a request within 5 minutes of ``now_ms``; never waits."""
    known = signature.newest() if isinstance(signature, RenewableSignature) else signature
    try:
        known.verify(request, now_ms)
    except InvalidSignature:
        return False
    return True
