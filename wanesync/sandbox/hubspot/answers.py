"""The answers and error bodies of HubSpot, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from wanesync.sandbox import json_text

Json = dict[str, object]
LATEST_MS = 253_402_300_800_000  # the year 10000


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body; None is an empty body."""

    status: int
    body: Json | None = None


class Refusal(Exception):
    """A request, or one input of a batch, that HubSpot refuses; nothing was changed."""

    def __init__(self, status: int, category: str, message: str, **extra: object) -> None:
        self.status, self.category, self.message, self.extra = status, category, message, extra
        super().__init__(f"{category}: {message}")

    def body(self, correlation_id: str) -> Json:
        """The body of a refused request (member order as recorded)."""
        return {
            "status": "error",
            "message": self.message,
            "correlationId": correlation_id,
            **self.extra,
            "category": self.category,
        }

    def item(self, trace_id: str | None, record_id: str | None = None) -> Json:
        """One element of ``errors`` in a 207 answer, with the ids of its input."""
        given = self.extra.get("context")
        context: Json = dict(given) if isinstance(given, dict) else {}
        if record_id is not None:
            context.setdefault("ids", [record_id])
        if trace_id is not None:
            context["objectWriteTraceId"] = [trace_id]
        return {
            "status": "error",
            "category": self.category,
            "message": self.message,
            "context": context,
            "errors": self.extra.get("errors", []),
            "links": {},
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """One invalid property value."""

    name: str
    code: str
    message: str


def invalid(problems: Sequence[Problem]) -> Refusal:
    """400 with one entry per problem, as recorded for unknown properties."""
    listed = [
        {"isValid": False, "message": problem.message, "error": problem.code, "name": problem.name}
        for problem in problems
    ]
    errors = [
        {"message": problem.message, "code": problem.code, "context": {"propertyName": [problem.name]}}
        for problem in problems
    ]
    message = f"Property values were not valid: {json_text.write(listed).decode()}"
    return Refusal(400, "VALIDATION_ERROR", message, errors=errors)


def malformed(message: str) -> Refusal:
    """400 for a request that cannot be parsed."""
    return Refusal(400, "VALIDATION_ERROR", f"Invalid input JSON: {message}")


def bad_request(message: str) -> Refusal:
    """400 for a well-formed request with invalid content."""
    return Refusal(400, "VALIDATION_ERROR", message)


def not_found() -> Refusal:
    """404 for a record, property or definition that does not exist."""
    return Refusal(404, "OBJECT_NOT_FOUND", "resource not found")


def missing(ids: Sequence[str]) -> Refusal:
    """The element of a batch answer that lists the ids that do not exist."""
    message = "Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid."
    return Refusal(404, "OBJECT_NOT_FOUND", message, context={"ids": list(ids)})


def conflict(existing_id: int | None) -> Refusal:
    """409 for an e-mail address that is taken, with the id of its holder unless that is in the same request."""
    if existing_id is None:
        return Refusal(409, "CONFLICT", "Contact already exists")
    context = {"existingId": [str(existing_id)]}
    return Refusal(409, "CONFLICT", f"Contact already exists. Existing ID: {existing_id}", context=context)


def forbidden(scope: str) -> Refusal:
    """403: the tier of the portal or the scopes of the token do not allow the call."""
    message = "This app hasn't been granted all required scopes to make this call."
    errors = [
        {"message": "One or more of the following scopes are required.", "context": {"requiredGranularScopes": [scope]}}
    ]
    return Refusal(403, "MISSING_SCOPES", message, errors=errors)


def rate_limited(policy: str, request_id: str) -> Refusal:
    """429 without ``Retry-After``; ``policy`` is SECONDLY, TEN_SECONDLY_ROLLING or DAILY."""
    message = f"You have reached your {policy.lower()} limit."
    return Refusal(429, "RATE_LIMITS", message, errorType="RATE_LIMIT", policyName=policy, requestId=request_id)


def batch(status: int, results: list[Json], errors: list[Json], now_ms: int) -> Answer:
    """A batch answer: ``status``, or 207 with errors."""
    body: Json = {"completedAt": iso(now_ms), "status": "COMPLETE", "startedAt": iso(now_ms), "results": results}
    if not errors:
        return Answer(status, body)
    return Answer(207, {**body, "errors": errors, "numErrors": len(errors)})


@lru_cache(maxsize=65_536)
def iso(at_ms: int) -> str:
    """Epoch milliseconds as HubSpot writes them: ISO 8601 in UTC with milliseconds."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def parse_ms(value: str) -> int:
    """Epoch milliseconds of ``value``, which may be a number or ISO 8601. Raises ValueError."""
    text = value.strip()
    if text.isdecimal():
        at_ms = int(text)
    else:
        parsed = datetime.fromisoformat(text)
        at_ms = round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    if not 0 <= at_ms < LATEST_MS:
        raise ValueError("expected a time between the years 1970 and 9999")
    return at_ms


def encode(body: Mapping[str, object] | None) -> bytes:
    """The bytes of a body."""
    return b"" if body is None else json_text.write(body)
