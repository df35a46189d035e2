"""What each error answer of HubSpot means (developers.hubspot.com, error handling and usage guidelines).

A ``reason`` holds categories, codes, property names and the status: never a message, which may quote values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from urllib3.exceptions import SSLError

from wanesync.adapters.http_answers import name_network_error, read_clock_ms, read_retry_after_ms, was_unsent
from wanesync.adapters.json_values import mapping, rows, text
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import ParkReason, Side

RECORD_LOCK_MS = 2_000
"""A record that is locked under heavy load (423) stays locked for 2 s (HubSpot, error handling)."""
RATE_POLICY_WAITS_MS = {"SECONDLY": 1_000, "TEN_SECONDLY_ROLLING": 10_000}
STATUSES = {
    401: Failure.UNAUTHORISED,
    403: Failure.FORBIDDEN,
    408: Failure.NO_ANSWER,
    423: Failure.BUSY,
    429: Failure.RATE_LIMITED,
    477: Failure.MOVING,
    500: Failure.NO_ANSWER,  # HubSpot has no idempotency keys: the outcome is unknown
}
CATEGORIES = {
    "CONFLICT": Failure.CONFLICT,
    "OBJECT_NOT_FOUND": Failure.NOT_FOUND,
    "RATE_LIMITS": Failure.RATE_LIMITED,
    "MISSING_SCOPES": Failure.FORBIDDEN,
}
UNKNOWN_PROPERTY = "PROPERTY_DOESNT_EXIST"
PARK_REASONS = {
    UNKNOWN_PROPERTY: ParkReason.UNKNOWN_PROPERTY,
    "READ_ONLY_VALUE": ParkReason.READ_ONLY,
    "PROPERTY_VALIDATION_RULE": ParkReason.PORTAL_RULE,
    "REQUIRED_PROPERTY": ParkReason.PORTAL_RULE,
}
"""Code of a refused property -> reason. The spelling of codes is not documented; any other one is an invalid value."""

_EXISTING = re.compile(r"Existing ID:\s*(\d+)|(\d+) already has that value", re.IGNORECASE)
_MESSAGE_CODE = re.compile(r'"error"\s*:\s*"([A-Z_]+)"')
_MESSAGE_NAME = re.compile(r'"name"\s*:\s*"([a-z0-9_]+)"|propertyName=([a-z0-9_]+)')
_REPEATED = re.compile(r"uuid.*\b(already|duplicate|exists)|\b(already|duplicate)\b.*uuid", re.IGNORECASE | re.DOTALL)
_SAFE_TOKEN = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


@dataclass(eq=False)
class RefusedCall(CallError):
    """A refusal and the inputs it names: by trace id, record id, or properties that are not defined in HubSpot.

    ``repeated``: it was refused because an input with its ``uuid`` is there already.
    """

    traces: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The contents of an error body. ``details``: per entry a code and the property names."""

    category: str
    details: tuple[tuple[str, tuple[str, ...]], ...]
    existing_id: str
    traces: tuple[str, ...]
    ids: tuple[str, ...]
    scopes: tuple[str, ...]
    policy: str
    repeated: bool = False

    @property
    def properties(self) -> tuple[str, ...]:
        """All property names, each once."""
        return tuple(dict.fromkeys(name for _, names in self.details for name in names))

    @property
    def reason(self) -> str:
        """The reason of a ``CallError``: category, codes and property names."""
        codes = dict.fromkeys(code for code, _ in self.details if code)
        named = f" ({', '.join(self.properties)})" if self.properties else ""
        return ": ".join(filter(None, (self.category or "no category given", ", ".join(codes)))) + named


def read_error_body(body: Mapping[str, object]) -> ErrorBody:
    """Read an error body or one entry of a multi-status answer; every part of it is optional."""
    context = mapping(body.get("context"))
    message = text(body.get("message"))
    errors = [mapping(entry) for entry in rows(body.get("errors"))]
    messages = [message, *(text(entry.get("message")) for entry in errors)]
    details = tuple(_read_detail(entry) for entry in errors) or tuple(_parse_message(message))
    existing = _safe_tokens(context.get("existingId")) or tuple(
        found[1] or found[2] for found in map(_EXISTING.search, messages) if found
    )
    scopes = (
        name for entry in errors for name in _safe_tokens(mapping(entry.get("context")).get("requiredGranularScopes"))
    )
    return ErrorBody(
        category=_safe_token(body.get("category")) or _safe_token(body.get("errorType")),
        details=details,
        existing_id=existing[0] if existing else "",
        traces=_safe_tokens(context.get("objectWriteTraceId")),
        ids=_safe_tokens(context.get("ids")),
        scopes=tuple(dict.fromkeys(scopes)),
        policy=_safe_token(body.get("policyName")),
        repeated=any(_REPEATED.search(each) for each in messages),
    )


def _read_detail(entry: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    context = mapping(entry.get("context"))
    in_message = tuple(found[1] or found[2] for found in _MESSAGE_NAME.finditer(text(entry.get("message"))))
    return _safe_token(entry.get("code")), tuple(dict.fromkeys(_safe_tokens(context.get("propertyName")) or in_message))


def _parse_message(message: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    # "Property values were not valid: [...]" holds its details as JSON in the message.
    names = [found[1] or found[2] for found in _MESSAGE_NAME.finditer(message)]
    codes = _MESSAGE_CODE.findall(message)
    for position, name in enumerate(names):
        yield (codes[position] if position < len(codes) else ""), (name,)


def _safe_token(value: object) -> str:
    """Return a code or name; "" for anything that may be free text."""
    token = text(value)
    return token if _SAFE_TOKEN.fullmatch(token) else ""


def _safe_tokens(value: object) -> tuple[str, ...]:
    entries = rows(value) if isinstance(value, list) else (value,)
    return tuple(token for token in map(_safe_token, entries) if token)


class ErrorTable:
    """Reads errors for one field map: properties are named as our fields."""

    def __init__(self, field_names: Mapping[str, str]) -> None:
        self._field_names = field_names

    def read_answer(self, status: int, headers: Mapping[str, str], body: object) -> RefusedCall:
        """Return the error of an answer that is not 2xx; ``body`` is None if it was not JSON."""
        error_body = read_error_body(mapping(body))
        failure = _classify(status, error_body, readable=isinstance(body, dict))
        wait_ms = read_retry_after_ms(headers)
        if wait_ms is None and failure is Failure.BUSY:
            wait_ms = RECORD_LOCK_MS
        if wait_ms is None and failure is Failure.RATE_LIMITED:
            wait_ms = RATE_POLICY_WAITS_MS.get(error_body.policy)
        redirected = f"redirected ({status}); set hubspot.base_url to the address itself"
        reason = redirected if 300 <= status < 400 else f"{error_body.reason}, status {status}"
        refused = self._refuse(failure, error_body, reason, status, wait_ms)
        refused.clock_ms = read_clock_ms(headers)
        return refused

    def read_entry(self, entry: Mapping[str, object]) -> RefusedCall:
        """Return the error of one input of a multi-status answer."""
        error_body = read_error_body(entry)
        return self._refuse(_classify(207, error_body, readable=True), error_body, error_body.reason, 207, None)

    def _refuse(
        self, failure: Failure, error_body: ErrorBody, reason: str, status: int, wait_ms: int | None
    ) -> RefusedCall:
        names = error_body.properties
        if failure is Failure.CONFLICT and not names:
            names = ("email",)
        return RefusedCall(
            Side.HUBSPOT,
            failure,
            reason,
            status=status,
            retry_after_ms=wait_ms,
            existing_id=error_body.existing_id or None,
            scope=error_body.policy or " ".join(error_body.scopes),
            fields=tuple(dict.fromkeys(self._field_names.get(name, name) for name in names)),
            traces=error_body.traces,
            ids=error_body.ids,
            repeated=error_body.repeated,
            reasons=self._find_reasons(error_body),
            unknown=tuple(name for code, found in error_body.details if code == UNKNOWN_PROPERTY for name in found),
        )

    def _find_reasons(self, error_body: ErrorBody) -> dict[str, ParkReason]:
        """Return field -> why it was refused; unknown codes count as invalid values."""
        return {
            self._field_names.get(name, name): PARK_REASONS.get(code, ParkReason.INVALID)
            for code, names in error_body.details
            for name in names
        }


def _classify(status: int, error_body: ErrorBody, *, readable: bool) -> Failure:
    if status == 429 and error_body.policy == "DAILY":
        return Failure.DAILY_LIMIT
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500 or 300 <= status < 400 or (status == 404 and not readable):
        return Failure.UNAVAILABLE
    if error_body.existing_id and error_body.category in ("VALIDATION_ERROR", ""):
        return Failure.CONFLICT
    return CATEGORIES.get(error_body.category, Failure.REFUSED)


def read_network_error(error: BaseException) -> CallError:
    """Return the error of a request without an answer."""
    # The SDK raises its error for a failed TLS handshake, of this request, without naming it as the cause.
    cause = error.__context__ if isinstance(error.__context__, SSLError) else error
    failure = Failure.UNREACHED if was_unsent(cause) else Failure.NO_ANSWER
    return CallError(Side.HUBSPOT, failure, f"no answer from HubSpot ({name_network_error(cause)})")


def read_unreadable(status: int, what: str) -> CallError:
    """Return the error of a 2xx answer that cannot be read: the request was carried out, its result is unknown."""
    return CallError(Side.HUBSPOT, Failure.NO_ANSWER, f"unreadable answer: {what}", status=status)
