"""Answers of the API that are repeated when a changing request comes again under the same ``Idempotency-Key``.

A row belongs to one caller, route and key. It holds no personal data: the key and the request are kept as keyed hashes,
and answers to changing requests consist of ids, names and counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.store.session import Table

ANSWER_DAYS = 1
"""How long an answer is repeated (our choice; Stripe keeps its own for at least 24 hours)."""
ABANDONED_MS = 120_000
"""A request that has no answer after this time is run again: its process has ended (our choice)."""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What stands under a key. ``status``: of HTTP, 0 while the request runs. ``body``: JSON."""

    request_hash: str
    status: int
    body: str


class ApiAnswers(Table):
    """The table ``api_answers``."""

    __slots__ = ()

    def begin(self, answer_id: str, request_hash: str) -> StoredAnswer | None:
        """Reserve a key for a request that runs now: None if it may run, otherwise what stands under the key."""
        session = self._session
        now_ms = session.now_ms
        if session.row("begin_api_answer", id=answer_id, request_hash=request_hash, now=now_ms) is not None:
            return None
        row = session.row("lock_api_answer", id=answer_id)
        if row is None:
            # Retention deleted it in between: as good as running, so that the caller comes again.
            return StoredAnswer(request_hash, 0, "")
        stored = StoredAnswer(str(row[0]), int(row[2]), str(row[3]))
        is_abandoned = stored.status == 0 and now_ms - int(row[1]) > ABANDONED_MS
        if not is_abandoned or stored.request_hash != request_hash:
            return stored
        session.rows("restart_api_answer", id=answer_id, now=now_ms)
        return None

    def finish(self, answer_id: str, status: int, body: str) -> None:
        """Store the answer of a request that has run."""
        self._session.rows("finish_api_answer", id=answer_id, status=status, answer=body)

    def forget(self, answer_id: str) -> None:
        """Free the key of a request that failed: it runs again when it is repeated."""
        self._session.rows("forget_api_answer", id=answer_id)
