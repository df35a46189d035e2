"""What each error answer of Stripe means (docs.stripe.com/error-low-level, /rate-limits, /error-codes).

A ``reason`` holds codes, parameter names and the status: never a message, which may quote values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stripe import APIConnectionError, StripeError

from wanesync.adapters.http_answers import (
    AnswerTooLarge,
    name_network_error,
    read_clock_ms,
    read_retry_after_ms,
    was_unsent,
)
from wanesync.adapters.json_values import mapping, text
from wanesync.adapters.large_bodies import TooLarge
from wanesync.adapters.network import Redirected
from wanesync.core.errors import CallError, Failure
from wanesync.core.fields import FieldMap
from wanesync.core.model import ParkReason, Side

STATUSES = {
    401: Failure.UNAUTHORISED,
    403: Failure.FORBIDDEN,
    408: Failure.NO_ANSWER,
    409: Failure.IN_FLIGHT,
    500: Failure.SERVER,
}
RATE_REASON = "stripe-rate-limited-reason"
SHOULD_RETRY = "stripe-should-retry"

_SAFE_TOKEN = re.compile(r"[A-Za-z0-9_.\-\[\]]{1,120}")
_PERMISSION = re.compile(r"\brak_[a-z0-9_]+\b")
_ACCOUNT = re.compile(r"\bacct_[A-Za-z0-9_]+\b")


@dataclass(eq=False)
class RefusedCall(CallError):
    """A refusal. ``account``: the account named in the message of a restricted key's 403, else ""."""

    account: str = ""


class ErrorTable:
    """Reads errors for one field map: parameters are named as our fields."""

    def __init__(self, fields: FieldMap) -> None:
        self._names = {spec.stripe[0]: spec.name for spec in fields.specs}

    def read_error(self, error: StripeError) -> CallError:
        """Return the error of a call that raised in the SDK."""
        if isinstance(error, APIConnectionError) or not error.http_status:
            return _read_network_error(error)
        return self.read_answer(error.http_status, dict(error.headers or {}), error.json_body)

    def read_answer(self, status: int, headers: Mapping[str, str], body: object) -> CallError:
        """Return the error of an answer; ``body`` is None if it was not JSON."""
        lower_headers = {name.lower(): value for name, value in headers.items()}
        problem = mapping(mapping(body).get("error"))
        code = _safe_token(problem.get("code"))
        kind = _safe_token(problem.get("type"))
        param = _safe_token(problem.get("param"))
        failure = _classify(status, lower_headers, code=code, kind=kind)
        if failure is Failure.REFUSED and code == "resource_missing" and param in ("", "id", "customer"):
            failure = Failure.NOT_FOUND
        if not problem and (status < 300 or status == 404):
            failure = Failure.NO_ANSWER if status < 300 else Failure.UNAVAILABLE
        named = f" ({param})" if param else ""
        message = text(problem.get("message"))
        permission = _PERMISSION.search(message) if status == 403 else None
        account = _ACCOUNT.search(message) if status == 403 else None
        return RefusedCall(
            Side.STRIPE,
            failure,
            f"{code or kind or 'no code given'}{named}, status {status}",
            status=status,
            retry_after_ms=read_retry_after_ms(lower_headers),
            scope=lower_headers.get(RATE_REASON, "") or (permission[0] if permission else ""),
            fields=(self._field(param),) if param and failure is Failure.REFUSED else (),
            reasons={self._field(param): _park_reason(code, param)} if param and failure is Failure.REFUSED else {},
            account=account[0] if account else "",
            clock_ms=read_clock_ms(lower_headers),
        )

    def _field(self, param: str) -> str:
        """Return the field of a parameter (``address[city]``); a parameter of no field keeps its name."""
        path = re.sub(r"\[([^\]]*)\]", r".\1", param)
        return self._names.get(path) or self._names.get(path.partition(".")[0], param)


def _park_reason(code: str, param: str) -> ParkReason:
    if param == "metadata":
        return ParkReason.NO_ROOM  # of metadata as a whole only the number of keys is refused
    return ParkReason.UNKNOWN_PROPERTY if code == "parameter_unknown" else ParkReason.INVALID


def _classify(status: int, headers: Mapping[str, str], *, code: str, kind: str) -> Failure:
    if status == 429 or code == "rate_limit":
        limited = RATE_REASON in headers or code != "lock_timeout"
        return Failure.RATE_LIMITED if limited else Failure.BUSY
    if kind == "idempotency_error" and status == 400:
        return Failure.MISMATCH
    if code == "lock_timeout":
        return Failure.BUSY
    if status in STATUSES:
        return STATUSES[status]
    retry = headers.get(SHOULD_RETRY)
    if status > 500:
        # Not to be repeated: Stripe stored the outcome under the key, as for a 500.
        return Failure.SERVER if retry == "false" else Failure.UNAVAILABLE
    return Failure.BUSY if retry == "true" else Failure.REFUSED


def _read_network_error(error: StripeError) -> CallError:
    cause = error.__cause__
    name = name_network_error(cause or error)
    if isinstance(cause, Redirected):
        reason = "redirected; set stripe.base_url to the address itself"
        return CallError(Side.STRIPE, Failure.UNAVAILABLE, reason)
    if isinstance(cause, TooLarge):
        return AnswerTooLarge(Side.STRIPE, cause, 200)
    failure = Failure.UNREACHED if was_unsent(error) else Failure.NO_ANSWER
    return CallError(Side.STRIPE, failure, f"no answer from Stripe ({name})")


def _safe_token(value: object) -> str:
    """Return a code or name; "" for anything that may be free text."""
    token = text(value)
    return token if _SAFE_TOKEN.fullmatch(token) else ""
