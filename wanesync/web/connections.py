"""Connections of the web server: a client that opens many of them, or sends nothing, takes no place from a webhook."""

from __future__ import annotations

import asyncio
import itertools
import resource
from typing import Any, ClassVar, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from wanesync.web.settings import MAX_CONNECTIONS
from wanesync.web.whole_posts import WholePost, WholePosts

IDLE_TIMEOUT_S = 10.0
"""How long a connection may take to send its next request, as long as a body may take (``WebSettings``)."""
WANTED_FILES = 16_384
"""Open files that are plenty for every webhook sender at once; the soft limit is often 1,024."""
KEPT_FILES = 256
"""Open files kept for the database, logs, and connections the kernel hands over in one turn."""

MAX_HEAD_BYTES = 1 << 16
"""Bytes of the address and the headers of a request (our choice): those of both senders have 2 kB."""
HEADER_COST_BYTES = 32
"""What a header counts for besides its text, so that there are at most 2,000 (our choice)."""
TOO_LARGE = "The head of the request is too large."


def raise_file_limit() -> int:
    """Raise the number of files this process may open as far as it is allowed to; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < WANTED_FILES:
        wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return WANTED_FILES if soft == resource.RLIM_INFINITY else soft


def make_protocol(max_connections: int, whole_posts: WholePosts | None = None) -> type[BoundedProtocol]:
    """Return the protocol of a server with at most this many open connections.

    ``whole_posts``: takes POSTs that arrive in one piece before the application does.
    """

    class LimitedProtocol(BoundedProtocol):
        limit = max_connections
        whole_posts_taker = whole_posts

    return LimitedProtocol


NUMBERS = itertools.count()
"""Numbers of connections, in the order in which they were accepted."""


class Connection(Protocol):
    """An open connection, as the bound on their number needs it. ``waits_since_s``: of the event loop's time."""

    waits_since_s: float
    number: int

    @property
    def connections(self) -> set[Any]:
        """All connections of the server."""
        ...

    def abort(self) -> None:
        """Close it at once."""
        ...

    def is_closing(self) -> bool:
        """Return whether it is being closed."""
        ...

    def is_waiting(self) -> bool:
        """Return whether it may lose its place."""
        ...


def make_room(newest: Connection, limit: int) -> None:
    """Close the connections that have been waiting longest, ``newest`` last, until no more than ``limit`` are open."""
    if len(newest.connections) <= limit:
        return
    open_now: list[Connection] = [one for one in newest.connections if not one.is_closing()]
    excess = len(open_now) - limit
    if excess > 0:
        waiting = sorted((one for one in open_now if one is not newest and one.is_waiting()), key=_since)
        for one in [*waiting, newest][:excess]:
            one.abort()


class HeadTooLarge(Exception):
    """The head of a request is larger than any sender's; the parser passes it on as an error of the request."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed when it sends no request for a while, or when newer ones need its place.

    A request with a large head is refused: uvicorn has no bound, and many headers, or one without an end, take time
    that grows with their square.

    Only a connection whose request is complete, and not answered yet, cannot lose its place.
    """

    limit: ClassVar[int] = MAX_CONNECTIONS
    whole_posts_taker: ClassVar[WholePosts | None] = None
    waits_since_s = 0.0
    number = 0
    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    """Bytes of the address and the finished headers of the newest request."""
    _unread_bytes = 0
    """Bytes that arrived since the parser found the end of anything."""
    _gathered: list[bytes] | None = None
    """The body of a POST that may arrive in one piece."""
    _has_head = False
    """Whether the head of the newest request is complete: what follows its body is no header of it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, and close the one that has been waiting longest if there are too many."""
        super().connection_made(transport)  # type: ignore[arg-type] # uvicorn names the narrower type
        self.number = next(NUMBERS)
        self.waits_since_s = self.loop.time()
        self._timer = self.loop.call_later(IDLE_TIMEOUT_S, self._close_if_idle)
        make_room(self, self.limit)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request; refuse it when one of its headers does not end."""
        self._unread_bytes += len(data)
        if self._unread_bytes > MAX_HEAD_BYTES + len(data):
            self.send_400_response(TOO_LARGE)
            return
        super().data_received(data)
        if self._gathered is not None and not self.transport.is_closing():
            self._hand_to_application()

    def on_message_begin(self) -> None:
        """Begin to count the head of a request."""
        self._head_bytes, self._unread_bytes, self._has_head, self._gathered = 0, 0, False, None
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the head; one after the body is dropped, as a proxy in front looks at the head alone.

        RFC 9110, section 6.5.1; uvicorn would add it to the head.
        """
        self._count(name, value)
        if not self._has_head:
            super().on_header(name, value)

    def _count(self, *parts: bytes) -> None:
        self._unread_bytes = 0
        self._head_bytes += HEADER_COST_BYTES + sum(map(len, parts))
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge(TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Begin to take the body."""
        self._unread_bytes, self._has_head = 0, True
        if self._may_be_whole():
            self._gathered = []
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._unread_bytes = 0
        if self._gathered is None:
            super().on_body(body)
        else:
            self._gathered.append(body)

    def on_message_complete(self) -> None:
        """Answer a POST that arrived whole, or let the application have the rest of a request."""
        if self._gathered is None:
            super().on_message_complete()
            return
        earlier, post = self.cycle, WholePost(self, keep_alive=self.parser.should_keep_alive())
        # It may be answered at once.
        self.cycle = post  # type: ignore[assignment] # it takes the place of one
        taker, body = self.whole_posts_taker, b"".join(self._gathered)
        scheme = self.scheme or "http"
        if taker is not None and taker.take(scheme, self.url, self.headers, body, post.answer):
            self._gathered = None
            return
        self.cycle = earlier
        self._hand_to_application()
        super().on_message_complete()

    def _may_be_whole(self) -> bool:
        """Return whether a POST may be answered without the application, if all of it is there."""
        taker = self.whole_posts_taker
        if taker is None or self.parser.get_method() != b"POST" or self.expect_100_continue:
            return False
        if self._running is not None or self.flow.write_paused or self.parser.should_upgrade():
            return False
        lengths = [value for name, value in self.headers if name == b"content-length"]
        is_counted = len(lengths) == 1 and lengths[0].isdigit() and self.parser.get_http_version() == "1.1"
        return is_counted and taker.is_for(self.url, int(lengths[0]))

    def _hand_to_application(self) -> None:
        """Let the application have a POST after all, with what has arrived of it."""
        parts, self._gathered = self._gathered or [], None
        super().on_headers_complete()
        for part in parts:
            super().on_body(part)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection that is closed."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request of this connection."""
        self.waits_since_s = self.loop.time()
        super().on_response_complete()

    @property
    def _running(self) -> RequestResponseCycle | None:
        """The request that is not answered yet, None if there is none."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, which uvicorn does not name
        return None if cycle is None or cycle.response_complete else cycle

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def is_closing(self) -> bool:
        """Return whether the connection is being closed."""
        return self.transport.is_closing()

    def is_waiting(self) -> bool:
        """Return whether the next request, or the rest of its body, has not arrived."""
        return self._running is None or self._running.more_body

    def _close_if_idle(self) -> None:
        left_s = self.waits_since_s + IDLE_TIMEOUT_S - self.loop.time()
        if self._running is None and left_s <= 0:
            self.abort()
        else:
            self._timer = self.loop.call_later(left_s if left_s > 0 else IDLE_TIMEOUT_S, self._close_if_idle)


def _since(one: Connection) -> tuple[float, int]:
    """Sort by how long a connection waits; many are accepted at the same time of the event loop."""
    return (one.waits_since_s, one.number)
