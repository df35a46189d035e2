"""Changing requests under an ``Idempotency-Key``: the first one runs, the same one again gets the stored answer.

Another request under the same key is refused (422), and so is the same one while the first still runs (409). A request
that failed frees its key. The operations themselves change nothing when they are repeated, or say what changed
meanwhile, so that a process that ends between the change and the storing of its answer does no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wanesync.core.errors import ConfigError, WanesyncError

if TYPE_CHECKING:
    from wanesync.store.database import Store
    from wanesync.store.tables.operating.api_answers import StoredAnswer

HEADER = "Idempotency-Key"
REPEATED = "Idempotent-Replayed"
"""Header of an answer that was stored before; Stripe calls it the same."""
MAX_KEY_CHARS = 255
"""Longest key, as at Stripe."""


class KeyReused(WanesyncError):
    """An Idempotency-Key that came with another request before."""

    exit_code = 2

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key came with another request: use a new key for a new request")


class KeyInUse(WanesyncError):
    """The first request of an Idempotency-Key is still running."""

    def __init__(self) -> None:
        super().__init__("the first request with this Idempotency-Key is still running: repeat it in a few seconds")


class AnswerRepeated(Exception):
    """A request that was answered before: the stored answer is given instead of running it again."""

    def __init__(self, stored: StoredAnswer) -> None:
        self.stored = stored
        super().__init__("answered before")


class KeyedRequest:
    """One changing request with an Idempotency-Key. ``caller``: the name of its token. ``route``: method and path."""

    def __init__(self, store: Store, caller: str, route: str, key: str, body: bytes) -> None:
        if not 0 < len(key) <= MAX_KEY_CHARS:
            raise ConfigError([f"{HEADER}: 1 to {MAX_KEY_CHARS} characters"])
        self._store = store
        self._id = store.row_hash(f"api answer\n{caller}\n{key}")
        self._hash = store.row_hash(f"api request\n{route}\n{body.hex()}")

    def begin(self) -> None:
        """Reserve the key. Raises AnswerRepeated, KeyInUse, KeyReused, DatabaseUnavailable."""
        stored = self._store.run(lambda tx: tx.api_answers.begin(self._id, self._hash))
        if stored is None:
            return
        if stored.request_hash != self._hash:
            raise KeyReused
        if not stored.status:
            raise KeyInUse
        raise AnswerRepeated(stored)

    def finish(self, status: int, body: bytes) -> None:
        """Store the answer. Raises DatabaseUnavailable."""
        self._store.run(lambda tx: tx.api_answers.finish(self._id, status, body.decode()))

    def forget(self) -> None:
        """Free the key after a failure. Raises DatabaseUnavailable."""
        self._store.run(lambda tx: tx.api_answers.forget(self._id))
