"""What answers and failures of any HTTP exchange have in common: when they were true, whether anything left us."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

from wanesync.core.ports import Timing

CONNECT_S = 3.05
HUBSPOT_READ_S = 12.0
STRIPE_READ_S = 15.0
BODY_LIMIT = 32 << 20
"""Bytes of one answer: far above the largest page, far below what would hurt."""

_UNSENT = (NewConnectionError, ConnectTimeoutError, ProxyError, ssl.SSLCertVerificationError, ConnectionRefusedError)


SKEW_MS = 2_000
"""How far the clock of ``Date`` (the edge's, which may be kept for a while) may be from that of ``created``."""


def read_timing(headers: Mapping[str, str], duration_s: float, now_ms: int) -> Timing:
    """[Date - duration, Date + 999 ms], wider by the skew at both ends; ``now_ms`` stands in for a missing Date.

    ``Date`` has whole seconds and is the clock of whoever answers (RFC 9110, section 6.6.1), which need
    not be the one that stamps events. Too wide costs a read; too narrow takes an old object for a new one.
    """
    said = _read_date(headers, "date")
    at_ms = now_ms if said is None else int(said.timestamp()) * 1000
    return Timing(at_ms - round(duration_s * 1000) - SKEW_MS, at_ms + 999 + SKEW_MS)


def _read(headers: Mapping[str, str], wanted: str) -> str:
    return next((value for name, value in headers.items() if name.lower() == wanted), "")


def _read_date(headers: Mapping[str, str], wanted: str) -> datetime | None:
    try:
        return parsedate_to_datetime(_read(headers, wanted))
    except ValueError:
        return None


def read_retry_after_ms(headers: Mapping[str, str]) -> int | None:
    """``Retry-After`` in whole or broken seconds, or until a date (RFC 9110, section 10.2.3); anything else is None.

    A date is counted from the answer's own ``Date``: the same clock; without one it says nothing.
    """
    try:
        seconds = float(_read(headers, "retry-after"))
    except ValueError:
        until, said = _read_date(headers, "retry-after"), _read_date(headers, "date")
        if until is None or said is None:
            return None
        seconds = max(0.0, until.timestamp() - said.timestamp())
    return round(seconds * 1000) if 0 <= seconds <= 86_400 else None


def was_unsent(error: BaseException) -> bool:
    """Whether a failure is sure to have come before the request left us."""
    return any(isinstance(link, _UNSENT) for link in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes, and what urllib3 and requests wrap without chaining."""
    waiting: list[object] = [error]
    known: set[int] = set()
    while waiting:
        link = waiting.pop()
        if not isinstance(link, BaseException) or id(link) in known:
            continue
        known.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
