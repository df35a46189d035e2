"""The idempotency store of API v1 (docs.stripe.com/api/idempotent_requests, docs.stripe.com/error-low-level)."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from wanesync.sandbox.stripe.refusals import INVALID, Refusal

RETENTION_MS = 24 * 3600 * 1000  # docs.stripe.com/api/idempotent_requests
MAX_KEY_LENGTH = 255  # characters, same source


@dataclass(frozen=True, slots=True)
class Stored:
    """The first answer for a key, and the request it answered."""

    path: str
    fingerprint: str
    status: int
    body: bytes
    request_id: str
    at_ms: int


class IdempotencyStore:
    """Answers by key, kept for 24 hours; a held key counts as a request in progress."""

    def __init__(self) -> None:
        self._answers: dict[str, Stored] = {}
        self._order: deque[tuple[int, str]] = deque()
        self._held: set[str] = set()

    def hold(self, key: str) -> None:
        """Treat the first request with the key as still in progress: others get 409."""
        self._held.add(key)

    def release(self, key: str) -> None:
        """End the request in progress with the key."""
        self._held.discard(key)

    def find(self, key: str, path: str, fingerprint: str, now_ms: int) -> Stored | None:
        """The stored answer, if any. Raises Refusal: 409 in progress, 400 for other parameters or a long key."""
        if len(key) > MAX_KEY_LENGTH:
            raise Refusal(400, f"Idempotency keys must be at most {MAX_KEY_LENGTH} characters.").of_type(
                "idempotency_error"
            )
        if key in self._held:
            text = (
                "There is currently another in-progress request using this Stripe Idempotency Key (that probably means "
                f"you submitted twice, and the other request is still going through): {key}. Please try again later."
            )
            raise Refusal(409, text, code="idempotency_key_in_use").of_type(INVALID, {"Stripe-Should-Retry": "true"})
        self._prune(now_ms)
        stored = self._answers.get(key)
        if stored is None:
            return None
        if stored.path != path:
            text = (
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{path}' vs '{stored.path}'). Try using a key other than '{key}' if you meant to execute a "
                "different request."
            )
            raise Refusal(400, text).of_type("idempotency_error")
        if stored.fingerprint != fingerprint:
            text = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try "
                f"using a key other than '{key}' if you meant to execute a different request."
            )
            raise Refusal(400, text).of_type("idempotency_error")
        return stored

    def keep(self, key: str, stored: Stored) -> None:
        """Store the first executed answer."""
        self._answers[key] = stored
        self._order.append((stored.at_ms, key))

    def __len__(self) -> int:
        return len(self._answers)

    def _prune(self, now_ms: int) -> None:
        while self._order and self._order[0][0] <= now_ms - RETENTION_MS:
            at_ms, key = self._order.popleft()
            if key in self._answers and self._answers[key].at_ms == at_ms:
                del self._answers[key]


def fingerprint(pairs: Iterable[tuple[str, str]]) -> str:
    """The fingerprint of parameters; equal for equal requests."""
    return hashlib.sha256(repr(sorted(pairs)).encode()).hexdigest()
