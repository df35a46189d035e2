"""POSTs that arrived whole, in one piece: they need neither a task nor a time-out, and their answer leaves as one.

Both senders' webhooks mostly do. Everything else, and whatever is not plainly right, goes through the web application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

if TYPE_CHECKING:
    from wanesync.web.connections import BoundedProtocol

SendAnswer = Callable[[int, bytes, bytes], None]
"""Takes status, headers (lines, each with its end) and body of an answer."""
RawHeaders = Sequence[tuple[bytes, bytes]]


class WholePosts(Protocol):
    """What takes such POSTs in place of the application."""

    def is_for(self, url: bytes, length: int) -> bool:
        """Return whether POSTs to this address, as it was sent, with so many bytes are taken."""
        ...

    def take(self, scheme: str, url: bytes, headers: RawHeaders, body: bytes, answer: SendAnswer) -> bool:
        """Take a POST, whose answer is given later, in the event loop; False: the application is to have it.

        Must not raise.
        """
        ...


class WholePost:
    """A POST until its answer, in place of uvicorn's ``RequestResponseCycle`` as far as a connection looks at it."""

    more_body = False
    body = b""

    def __init__(self, connection: BoundedProtocol, *, keep_alive: bool) -> None:
        self._connection = connection
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self.message_event = _NOTHING_WAITS

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """Send the answer. ``headers``: lines, each with its end."""
        if self.disconnected or self.response_complete:
            return
        connection = self._connection
        own = b"".join(b"%s: %s\r\n" % pair for pair in connection.server_state.default_headers)
        ends = b"" if self.keep_alive else b"connection: close\r\n"
        length = b"content-length: %d\r\n\r\n" % len(body)
        self.response_complete = True
        connection.transport.write(b"".join((STATUS_LINE[status], own, headers, ends, length, body)))
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()


_NOTHING_WAITS = asyncio.Event()
