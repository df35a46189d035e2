"""Connections of urllib3 whose requests are one write and whose answers llhttp parses (``httptools``).

urllib3 opens, secures, pools and closes them and names their failures. A small request and its answer took 204 us of
CPU through ``http.client``, whose headers the parser of e-mails reads, and take 54 us here.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any

import urllib3
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from urllib3._collections import HTTPHeaderDict
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from wanesync.adapters import http_answers

MAX_HEADER_BYTES = 1 << 17
"""Largest head of an answer (our choice): ``http.client`` reads 100 headers of 64 KiB at most."""
_CHUNK_BYTES = 1 << 16
"""Bytes read at a time (our choice)."""
_METHODS = frozenset({"GET", "POST", "DELETE"})
_NO_TARGET = re.compile(r"[^\x21-\x7e]")
"""What no request target holds: a space or a line break would begin something else."""
_SHOWN_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})
_INFORMATIONAL = 200


class _Message:
    """One answer while it is parsed. ``body``: parts that were not taken yet; ``surplus``: more came than it has."""

    __slots__ = (
        "body",
        "ends_with_stream",
        "has_head",
        "headers",
        "is_complete",
        "keeps_alive",
        "parser",
        "received",
        "status",
        "surplus",
    )

    def __init__(self) -> None:
        self.parser = HttpResponseParser(self)
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.status = self.received = 0
        self.has_head = self.is_complete = self.ends_with_stream = False
        self.keeps_alive = self.surplus = False

    def feed(self, data: bytes) -> None:
        """Parse what arrived, "" for the end of the stream. Raises ``ProtocolError``."""
        if not data:
            if not self.has_head or not self.ends_with_stream:
                raise ProtocolError("the answer ends too early")
            self.is_complete = True
            return
        self.received += len(data)
        try:
            self.parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.is_complete:
                raise ProtocolError(f"no HTTP ({type(error).__name__})") from error
            self.surplus = True
        if not self.has_head and self.received > MAX_HEADER_BYTES:
            raise ProtocolError("headers that are too large")

    # -- called by the parser

    def on_message_begin(self) -> None:
        """An answer begins: the first one, the one after a 1xx, or one that nothing asked for."""
        self.surplus = self.is_complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head, or a trailer, which is dropped."""
        if not self.has_head:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is complete; that of an informational answer is dropped."""
        if self.is_complete:
            return
        self.status = self.parser.get_status_code()
        if self.status < _INFORMATIONAL:
            self.headers = []
            return
        self.has_head = True
        # Without a length the end of the stream ends the body.
        self.ends_with_stream = _SHOWN_LENGTHS.isdisjoint(name.lower() for name, _ in self.headers)

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if self.has_head and not self.is_complete:
            self.body.append(data)

    def on_message_complete(self) -> None:
        """An answer is complete; only now the parser has its flags."""
        if self.has_head and not self.is_complete:
            self.is_complete, self.keeps_alive = True, bool(self.parser.should_keep_alive())

    def close(self) -> bool:
        """End the parsing; returns whether the connection can be used again."""
        # The parser refers to this object: without this, only the garbage collector would free both.
        del self.parser
        return self.keeps_alive and not self.surplus


class _Answer:
    """An answer whose body is still to be read: the part of ``urllib3.BaseHTTPResponse`` that pool and reader use."""

    # Set and shown by the pool.
    version_string = "HTTP/1.1"
    length_remaining: int | None = None
    retries: object = None
    _connection: Any = None
    _pool: Any = None

    def __init__(self, connection: _Fast, message: _Message, until_s: float) -> None:
        self._source, self._message, self._until_s = connection, message, until_s
        self.status = message.status
        self.headers = HTTPHeaderDict()
        for name, value in message.headers:
            self.headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def stream(self, _amount: int = 0, decode_content: bool | None = None) -> Iterator[bytes]:
        """Yield the parts of the body as they arrive, packed as they are."""
        if decode_content:
            raise NotImplementedError("the body is unpacked by its reader")
        message = self._message
        while True:
            parts, message.body = message.body, []
            yield from parts
            if message.is_complete:
                return
            try:
                data = self._source.receive(self._until_s)
            except TimeoutError as error:
                raise ReadTimeoutError(self._pool, "", "Read timed out.") from error
            except (OSError, ssl.SSLError) as error:
                raise ProtocolError("Connection broken") from error
            message.feed(data)

    def release_conn(self) -> None:
        """Give the connection back; one that cannot be used again is closed, and opened anew by the next request."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if not self._message.close():
                connection.close()
            self._pool._put_conn(connection)

    def close(self) -> None:
        """Close the connection: the rest of the answer is not read."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._message.close()
            connection.close()


class _Fast(urllib3.connection.HTTPConnection):
    """A direct connection, neither to nor through a proxy."""

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> None:
        """Send a request in one write. Raises ``ValueError`` for a text that would end its header or its line."""
        content = body.encode() if isinstance(body, str) else body or b""
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [
            f"{method} {url} HTTP/1.1",
            f"Host: {host}" if self.port == self.default_port else f"Host: {host}:{self.port}",
        ]
        if content or method == "POST":
            lines.append(f"Content-Length: {len(content)}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        head = "\r\n".join(lines)
        breaks = len(lines) - 1
        if method not in _METHODS or _NO_TARGET.search(url) or (head.count("\r"), head.count("\n")) != (breaks, breaks):
            raise ValueError("a request that holds a line break or a space where none may stand")
        if self.sock is None:
            self.connect()
        else:
            self.sock.settimeout(self.timeout)
        self.sock.sendall(f"{head}\r\n\r\n".encode("latin-1") + content)

    def getresponse(self) -> _Answer:  # type: ignore[override]
        """Read the head of the answer. Raises ``ProtocolError``, ``OSError``."""
        until_s = time.monotonic() + http_answers.MAX_ANSWER_S
        self.sock.settimeout(self.timeout)
        message = _Message()
        while not message.has_head:
            data = self.receive(until_s)
            if not data and not message.received:
                raise http.client.RemoteDisconnected("Remote end closed connection without response")
            message.feed(data)
        return _Answer(self, message, until_s)

    def receive(self, until_s: float) -> bytes:
        """Return what arrived, b"" at the end. Raises ``OSError``; ``TimeoutError`` also at ``until_s``, monotonic."""
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer took too long to arrive")
        if self.timeout is None or self.timeout > left_s:
            self.sock.settimeout(left_s)
        data: bytes = self.sock.recv(_CHUNK_BYTES)
        return data


class _FastSecure(_Fast, urllib3.connection.HTTPSConnection):
    """The same over TLS, which urllib3 sets up and checks."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Fast  # type: ignore[assignment] # its answers have what the pool and the reader use


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _FastSecure  # type: ignore[assignment] # as above


def use_fast_connections(manager: urllib3.PoolManager) -> None:
    """Let the pools that a manager opens from now on have these connections; it must not be one of a proxy.

    Answers are to be read with ``http_answers.read_body``, and take a minute at most.
    """
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
