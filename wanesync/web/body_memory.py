"""The memory of request bodies: bounded, and a body that does not arrive gives way to one that does."""

from __future__ import annotations

from collections.abc import Callable

SMALL_BODY_BYTES = 1 << 20
"""Bodies up to here are the usual ones: 100 events have about 50 kB."""
SMALL_BODIES_BYTES = 128 << 20
"""Bytes of all usual bodies that are held at a time (our choice)."""


class NoRoom(Exception):
    """There is no memory for a body: others that are complete fill it, or it gave way to a newer one."""


class Body:
    """The bytes of one request. ``cancel`` ends the wait for the rest of them."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.data = bytearray()
        self.cancel = cancel
        self.held_bytes = 0
        self.gave_way = False


class BodyMemory:
    """How many bytes of bodies are held at a time; used on the event loop only, so without a lock.

    Large bodies have a share of their own, so that they cannot keep the usual ones out. Where a share is full, the
    body that has been arriving for longest gives way: 128 clients that send a MiB and then nothing would otherwise
    keep every webhook out until they time out.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self._left = {False: SMALL_BODIES_BYTES, True: 2 * max_body_bytes}
        self._arriving: dict[Body, None] = {}

    def begin(self, cancel: Callable[[], None]) -> Body:
        """Return a body that begins to arrive; until it is complete it may give way, and ``cancel`` is called then."""
        body = Body(cancel)
        self._arriving[body] = None
        return body

    def add(self, body: Body, chunk: bytes) -> None:
        """Add bytes to a body. Raises ``NoRoom``."""
        if body.gave_way:
            raise NoRoom
        after = body.held_bytes + len(chunk)
        is_large = after > SMALL_BODY_BYTES
        self._give_back(body)
        while after > self._left[is_large]:
            oldest = next((one for one in self._arriving if one is not body and _is_large(one) == is_large), None)
            if oldest is None:
                raise NoRoom
            self._drop(oldest)
        body.held_bytes = after
        self._left[is_large] -= after
        body.data += chunk

    def complete(self, body: Body) -> None:
        """Note that a body is complete: it no longer gives way. Raises ``NoRoom`` if it already did."""
        self._arriving.pop(body, None)
        if body.gave_way:
            raise NoRoom

    def release(self, body: Body) -> None:
        """Forget a body."""
        self._arriving.pop(body, None)
        self._give_back(body)
        body.data = bytearray()

    def _drop(self, body: Body) -> None:
        body.gave_way = True
        self.release(body)
        body.cancel()

    def _give_back(self, body: Body) -> None:
        self._left[_is_large(body)] += body.held_bytes
        body.held_bytes = 0


def _is_large(body: Body) -> bool:
    return body.held_bytes > SMALL_BODY_BYTES
