"""What HTTP answers and failures of both vendors have in common: their time, and whether the request was sent."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

from wanesync.core.ports import Timing

CONNECT_TIMEOUT_S = 3.05
"""A little more than the 3 s after which TCP repeats its first packet."""
HUBSPOT_READ_TIMEOUT_S = 12.0
"""Our choice: HubSpot answers within a second as a rule; a write without an answer is settled as an unknown outcome."""
STRIPE_READ_TIMEOUT_S = 15.0
"""Our choice: Stripe answers within a second as a rule; a write without an answer is settled as an unknown outcome."""
MAX_BODY_BYTES = 32 << 20
"""Largest answer that is read: far above the largest page, far below the memory of a worker."""

_UNSENT = (NewConnectionError, ConnectTimeoutError, ProxyError, ssl.SSLCertVerificationError, ConnectionRefusedError)


MAX_SKEW_MS = 2_000
"""How far the clock of ``Date`` (of the network's edge) may be from that of ``created`` (our choice)."""


def read_timing(headers: Mapping[str, str], duration_s: float, now_ms: int) -> Timing:
    """Return [Date - duration, Date + 999 ms], wider by the skew at both ends; ``now_ms`` replaces a missing ``Date``.

    ``Date`` has whole seconds and is the clock of the server that answers (RFC 9110, section 6.6.1), which need not be
    the one that stamps events. Too wide costs a read; too narrow takes an old object for a new one.
    """
    date = _read_date(headers, "date")
    at_ms = now_ms if date is None else int(date.timestamp()) * 1000
    return Timing(at_ms - round(duration_s * 1000) - MAX_SKEW_MS, at_ms + 999 + MAX_SKEW_MS)


def _read(headers: Mapping[str, str], wanted: str) -> str:
    return next((value for name, value in headers.items() if name.lower() == wanted), "")


def _read_date(headers: Mapping[str, str], wanted: str) -> datetime | None:
    try:
        return parsedate_to_datetime(_read(headers, wanted))
    except ValueError:
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


def was_unsent(error: BaseException) -> bool:
    """Return whether a failure certainly happened before the request was sent."""
    return any(isinstance(link, _UNSENT) for link in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, its causes, and the errors that urllib3 wraps without chaining."""
    waiting: list[object] = [error]
    known: set[int] = set()
    while waiting:
        link = waiting.pop()
        if not isinstance(link, BaseException) or id(link) in known:
            continue
        known.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
