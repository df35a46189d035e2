"""The idempotency store of v1 (docs.stripe.com/api/idempotent_requests, error-low-level)."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from wanesync.sandbox.stripe.refusals import INVALID, Refusal

LIFE_MS = 24 * 3600 * 1000
LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class Stored:
    """The first answer under a key, and what it was asked with."""

    path: str
    fingerprint: str
    status: int
    body: bytes
    request_id: str
    at_ms: int


class IdempotencyStore:
    """Answers by key, for 24 hours; keys held by hand count as still running."""

    def __init__(self) -> None:
        self._answers: dict[str, Stored] = {}
        self._order: deque[tuple[int, str]] = deque()
        self._held: set[str] = set()

    def hold(self, key: str) -> None:
        """From now on the first request with the key is still running: others get 409."""
        self._held.add(key)

    def release(self, key: str) -> None:
        """The request that held the key is over."""
        self._held.discard(key)

    def look(self, key: str, path: str, fingerprint: str, now_ms: int) -> Stored | None:
        """The stored answer, if any. Raises Refusal: 409 in flight, 400 for other parameters or a too long key."""
        if len(key) > LONGEST_KEY:
            raise Refusal(400, f"Idempotency keys must be at most {LONGEST_KEY} characters.").of_type(
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
        """Remember the first executed answer."""
        self._answers[key] = stored
        self._order.append((stored.at_ms, key))

    def __len__(self) -> int:
        return len(self._answers)

    def _prune(self, now_ms: int) -> None:
        while self._order and self._order[0][0] <= now_ms - LIFE_MS:
            at_ms, key = self._order.popleft()
            if key in self._answers and self._answers[key].at_ms == at_ms:
                del self._answers[key]


def fingerprint(pairs: Iterable[tuple[str, str]]) -> str:
    """What two requests must share to be the same request."""
    return hashlib.sha256(repr(sorted(pairs)).encode()).hexdigest()
