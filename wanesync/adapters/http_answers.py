"""What HTTP exchanges of both vendors have in common: bounded bodies, times, and when and whether it was sent."""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError

from wanesync.adapters.large_bodies import BodyCollector, TooLarge
from wanesync.core.errors import CallError, ConfigError, Failure
from wanesync.core.model import Side
from wanesync.core.ports import Timing

CONNECT_TIMEOUT_S = 3.05
"""A little more than the 3 s after which TCP repeats its first packet."""
HUBSPOT_READ_TIMEOUT_S = 12.0
"""Our choice: HubSpot answers within a second as a rule; a write without an answer is settled as an unknown outcome."""
STRIPE_READ_TIMEOUT_S = 15.0
"""Our choice: Stripe answers within a second as a rule; a write without an answer is settled as an unknown outcome."""
MAX_BODY_BYTES = 16 << 20
"""Largest answer that is read, unpacked: a page of 100 contacts has 0.1 MB as a rule; a larger one is read in parts."""
MAX_ERROR_BYTES = 1 << 20
"""Largest error answer that is read (our choice)."""
MAX_ANSWER_S = 60.0
"""Longest time from a request that is sent to the end of its answer, headers included (our choice)."""
_MAX_DATE_CHARS = 64
"""A date in a header has 29 characters (RFC 9110, section 5.6.7)."""
_CHUNK_BYTES = 1 << 16
"""Bytes of an answer read at a time (our choice)."""
UTF_8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
"""Names of the charset of JSON (RFC 8259) and of its part."""
_GZIP, _DEFLATE = 31, 15
"""Window bits of zlib for both encodings (docs.python.org, zlib.decompressobj)."""


class NotSent(HTTPError):
    """A request was refused on this machine."""


_WRONG_TIME = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED (docs.openssl.org, X509_STORE_CTX_get_error)."""
_UNSENT = (
    *(NotSent, NewConnectionError, ConnectTimeoutError, ProxyError),
    *(ssl.SSLCertVerificationError, ConnectionRefusedError),
)

MAX_SKEW_MS = 2_000
"""How far the clock of ``Date`` (of the network's edge) may be from that of ``created`` (our choice)."""


class AnswerTooLarge(CallError):
    """A 2xx answer that is too large: of a read it is asked for in parts, of a write the outcome is unknown."""

    def __init__(self, side: Side, error: TooLarge, status: int | None) -> None:
        super().__init__(side, Failure.NO_ANSWER, f"unreadable answer: {error}", status)
        self.head = error.head


def read_body(response: BaseHTTPResponse, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return the body of a streamed answer, unpacked here so that no packed one fills the memory.

    Raises ``TooLarge``, and ``HTTPError`` for an encoding that was not asked for, a damaged one, and a body that does
    not arrive in time. The connection is given back, or closed after an error.
    """
    try:
        content = _unpack(response, limit)
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return content


def name_network_error(error: BaseException) -> str:
    """Return why there is no answer: the reason of this module without what a header held, or the kind of error."""
    inner = next((one for one in (error, *error.args) if isinstance(one, ssl.SSLCertVerificationError)), None)
    if inner is not None and inner.verify_code in _WRONG_TIME:
        return "its certificate is not valid at this time: check this machine's clock"
    ours = type(error) is HTTPError or isinstance(error, NotSent)
    return str(error).partition(" (")[0] if ours else type(error).__name__


def check_content_type(headers: Mapping[str, str]) -> None:
    """Raise ``HTTPError`` for an answer that says that it is no JSON, or JSON in another charset than UTF-8."""
    kind, _, parameters = headers.get("content-type", "").lower().partition(";")
    if kind.strip() and not kind.strip().endswith("json"):
        raise HTTPError("a content type that was not asked for")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters)
    if charset and charset[1] not in UTF_8:
        raise HTTPError("a charset that was not asked for")


class _TimedReader(io.RawIOBase):
    """Reads a socket until a time: a time-out for each read does not stop an answer that trickles."""

    def __init__(self, sock: socket.socket, until_s: float) -> None:
        self._raw = sock.makefile("rb", buffering=0)
        self._sock, self._until_s = sock, until_s

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:  # the type of any buffer has no name before Python 3.12
        """Read what is there, waiting for it until the time at most. Raises ``TimeoutError``."""
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer took too long to arrive")
        timeout_s = self._sock.gettimeout()
        if timeout_s is None or timeout_s > left_s:
            self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close it, and the socket where nothing else holds it."""
        self._raw.close()
        super().close()


class _TimedSocket:
    """A socket whose file is a ``_TimedReader``."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Make the file that an answer is read from."""
        return io.BufferedReader(_TimedReader(self._sock, time.monotonic() + MAX_ANSWER_S))


class _TimedResponse(http.client.HTTPResponse):
    """An answer that must arrive within a minute of its request."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        # All that it does with the socket is to make a file of it.
        super().__init__(_TimedSocket(sock), *args, **options)  # type: ignore[arg-type] # see above


_thread = threading.local()


@contextmanager
def tell_when_sent(tell: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` once the operating system has the bytes of the request that this thread makes within."""
    _thread.tell = tell
    try:
        yield
    finally:
        _thread.tell = None


class _Connection(urllib3.connection.HTTPConnection):
    """Hands each request over in one piece, headers and body: between two, other threads and programs may run."""

    response_class = _TimedResponse
    _pieces: list[bytes] | None = None

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request, and tell so."""
        self._pieces = []
        try:
            super().request(*args, **options)
            self._send_pieces()
        finally:
            self._pieces = None
        tell = getattr(_thread, "tell", None)
        if tell is not None:
            tell()

    def send(self, data: Any) -> None:
        """Keep a piece of the request that is made; send anything else at once, after what is kept."""
        if self._pieces is None:
            super().send(data)
        elif isinstance(data, bytes):
            self._pieces.append(data)
        else:
            self._send_pieces()
            super().send(data)

    def _send_pieces(self) -> None:
        pieces, self._pieces = self._pieces, None
        if pieces:
            super().send(b"".join(pieces))


class _SecureConnection(_Connection, urllib3.connection.HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def bound_answers(manager: urllib3.PoolManager) -> None:
    """Let every answer to the requests of a pool, headers included, take a minute at most."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


def _unpack(response: BaseHTTPResponse, limit: int) -> bytes:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise HTTPError(f"an encoding that was not asked for ({encoding[:40]})")
    chunks = response.stream(_CHUNK_BYTES, decode_content=False)
    with closing(BodyCollector(limit)) as body:
        for piece in chunks if encoding in ("", "identity") else _decompress(chunks, encoding):
            body.add(piece)
        return bytes(body)


def _decompress(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Yield a packed body in pieces of at most 65,536 bytes."""
    decoder = None
    for chunk in chunks:
        decoder = decoder or zlib.decompressobj(_choose_window(encoding, chunk))
        left, piece = chunk, b""
        while left or len(piece) == _CHUNK_BYTES:
            try:
                piece = decoder.decompress(left, _CHUNK_BYTES)
            except zlib.error as error:
                raise HTTPError("a body that cannot be unpacked") from error
            yield piece
            left = decoder.unconsumed_tail
        if decoder.unused_data:
            # The decoder keeps all that follows.
            raise HTTPError("a body that goes on behind its end")
    if decoder is not None and not decoder.eof:
        raise HTTPError("a body that ends too early")


def _choose_window(encoding: str, first: bytes) -> int:
    """Return the window bits; servers send deflate with and without the header of zlib (RFC 9110, section 8.4.1.2)."""
    if encoding != "deflate":
        return _GZIP
    return _DEFLATE if first[:1] and first[0] & 0x0F == zlib.DEFLATED else -_DEFLATE


def read_timing(headers: Mapping[str, str], duration_s: float, now_ms: int) -> Timing:
    """Return [Date - duration, Date + 999 ms], wider by the skew at both ends; ``now_ms`` replaces a missing ``Date``.

    ``Date`` has whole seconds and is the clock of the server that answers (RFC 9110, section 6.6.1), which need not be
    the one that stamps events. Too wide costs a read; too narrow takes an old object for a new one.
    """
    date = _read_date(headers, "date")
    at_ms = now_ms if date is None else int(date.timestamp()) * 1000
    return Timing(at_ms - round(duration_s * 1000) - MAX_SKEW_MS, at_ms + 999 + MAX_SKEW_MS)


def read_clock_ms(headers: Mapping[str, str]) -> int:
    """Return the time of an answer by the clock of its server, 0 if it does not show it."""
    date = _read_date(headers, "date")
    return int(date.timestamp() * 1000) if date else 0


def _read(headers: Mapping[str, str], wanted: str) -> str:
    return headers.get(wanted) or next((value for name, value in headers.items() if name.lower() == wanted), "")


def _read_date(headers: Mapping[str, str], wanted: str) -> datetime | None:
    return _parse_date(_read(headers, wanted)[:_MAX_DATE_CHARS])


# Hundreds of answers have the date of one second.
@lru_cache(maxsize=16)
def _parse_date(shown: str) -> datetime | None:
    try:
        return parsedate_to_datetime(shown)
    except (ValueError, OverflowError):
        return None


def read_retry_after_ms(headers: Mapping[str, str]) -> int | None:
    """Return ``Retry-After``, given in seconds or as a date (RFC 9110, section 10.2.3), in ms; anything else is None.

    A date counts from the answer's own ``Date``, which is of the same clock; without one it is None.
    """
    try:
        seconds = float(_read(headers, "retry-after"))
    except ValueError:
        until, date = _read_date(headers, "retry-after"), _read_date(headers, "date")
        if until is None or date is None:
            return None
        seconds = max(0.0, until.timestamp() - date.timestamp())
    return round(seconds * 1000) if 0 <= seconds <= 86_400 else None


def check_header_value(value: str, key: str) -> None:
    """Raise ``ConfigError`` for a secret that cannot stand in a header, such as one with a line break."""
    if not value.isascii() or not value.isprintable():
        raise ConfigError([f"{key}: holds a line break or a character that no key has"])


def was_unsent(error: BaseException) -> bool:
    """Return whether a failure certainly happened before the request was sent."""
    return any(isinstance(link, _UNSENT) for link in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, its causes, and the errors that urllib3 wraps without chaining.

    Not the error that was being handled when it was raised (``__context__``): that may be of an earlier request.
    """
    waiting: list[object] = [error]
    known: set[int] = set()
    while waiting:
        link = waiting.pop()
        if not isinstance(link, BaseException) or id(link) in known:
            continue
        known.add(id(link))
        yield link
        waiting += [link.__cause__, getattr(link, "reason", None), *link.args]
