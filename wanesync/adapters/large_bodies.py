"""The memory of bodies that arrive: small ones have their own, of large ones only few are collected at once.

Without that, as many answers of the largest size as a process makes calls could fill its memory.
"""

from __future__ import annotations

import queue

from urllib3.exceptions import HTTPError

SMALL_BYTES = 1 << 17
"""Up to here a body has memory of its own: a page of 100 records has 0.1 MB as a rule (our choice)."""
LARGE_BODIES = 2
"""Larger bodies that a process collects at once (our choice): each takes the memory of the largest answer."""
MAX_WAIT_S = 60.0
"""Longest time that an answer waits for another large one to end (our choice), as long as one may take."""
MAX_HEAD_BYTES = 1 << 16
"""Bytes of a body that is too large which are kept, because the id of its first record stands there."""

_free: queue.LifoQueue[bytearray] = queue.LifoQueue()
for _ in range(LARGE_BODIES):
    _free.put(bytearray())


class TooLarge(HTTPError):
    """An answer is larger than it may be, unpacked; ``head``: its first bytes."""

    def __init__(self, limit: int, head: bytes) -> None:
        self.head = head
        super().__init__(f"more than {limit:,} bytes")


class BodyCollector:
    """Collects the pieces of one body, to be closed at its end. ``limit``: most bytes of it."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._own = bytearray()
        self._shared: bytearray | None = None

    def add(self, piece: bytes) -> None:
        """Add a piece of at most a few bytes times 65,536.

        Raises ``TooLarge``, and ``HTTPError`` where other large answers take too long to end.
        """
        size = self._size + len(piece)
        if size > self._limit:
            raise TooLarge(self._limit, self._head(piece))
        if self._shared is None and size > SMALL_BYTES:
            self._take()
        if self._shared is None:
            self._own += piece
        else:
            if size > len(self._shared):
                self._shared.extend(bytes(max(size, 2 * len(self._shared)) - len(self._shared)))
            self._shared[self._size : size] = piece
        self._size = size

    def close(self) -> None:
        """Give the shared memory back for the next large body."""
        if self._shared is not None:
            _free.put(self._shared)
            self._shared = None

    def __bytes__(self) -> bytes:
        return bytes(memoryview(self._place)[: self._size])

    @property
    def _place(self) -> bytearray:
        return self._own if self._shared is None else self._shared

    def _take(self) -> None:
        try:
            self._shared = _free.get(timeout=MAX_WAIT_S)
        except queue.Empty:
            raise HTTPError("too many large answers at once") from None
        if len(self._shared) < len(self._own):
            self._shared.extend(bytes(len(self._own) - len(self._shared)))
        self._shared[: len(self._own)] = self._own
        self._own = bytearray()

    def _head(self, piece: bytes) -> bytes:
        return (bytes(memoryview(self._place)[: min(self._size, MAX_HEAD_BYTES)]) + piece)[:MAX_HEAD_BYTES]
