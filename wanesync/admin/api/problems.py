"""Answers to failed requests: problem details of RFC 9457, made here and nowhere else from the typed errors.

A problem names its kind (``type``, a URN that does not change), a title, the status and what to do next. Like the
messages of the errors it consists of ids, field names and counts, never of a secret or of a person's values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from wanesync.admin.api.cursors import InvalidCursor
from wanesync.admin.api.idempotency import KeyInUse, KeyReused
from wanesync.admin.api.models import ApiModel
from wanesync.admin.live import TooManyListeners
from wanesync.core.errors import (
    CallError,
    ConfigError,
    ConfirmationNeeded,
    DatabaseRefused,
    DatabaseUnavailable,
    GuardError,
    KeyRefused,
    NotAllowed,
    NotFound,
    NotSignedIn,
    SidePaused,
    TooManyGuesses,
    TooManyTests,
    VendorUnavailable,
    WanesyncError,
    WrongAccount,
)
from wanesync.reconcile.lock import AlreadyRunning
from wanesync.store.session import ConstraintViolated
from wanesync.store.tables.links import LinkMoved

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
"""When to try again after an outage of the database (our choice)."""
MAX_DETAIL_CHARS = 2_000
"""Longest detail (our choice): a configuration with many mistakes would be longer."""


class FieldProblem(ApiModel):
    """What is wrong with one value of a request."""

    where: str = Field(description="The place of the value, such as `body.per_second` or `query.limit`.")
    why: str = Field(description="What is wrong with it.")


class Problem(ApiModel):
    """Why a request failed, and what to do next (RFC 9457)."""

    type: str = Field(description="The kind of the problem: a URN that stays the same.")
    title: str = Field(description="The kind in words.")
    status: int = Field(description="The status of the answer.")
    detail: str = Field(description="What happened, and what to do next.")
    fields: list[FieldProblem] = Field(default_factory=list, description="The values that were refused.")


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem. ``name``: the end of its URN."""

    name: str
    status: int
    title: str

    @property
    def urn(self) -> str:
        """The ``type`` of its problems."""
        return f"urn:wanesync:problem:{self.name}"


_INVALID = ProblemKind("invalid-request", 422, "The request is not valid")
_CHANGED = ProblemKind("changed-meanwhile", 409, "It was changed meanwhile")
_VENDOR = ProblemKind("vendor-refused", 502, "HubSpot or Stripe did not take a call")
_FAILED = ProblemKind("failed", 500, "The request failed")
KINDS: Mapping[type[Exception], ProblemKind] = {
    NotSignedIn: ProblemKind("unauthorized", 401, "No valid token"),
    NotAllowed: ProblemKind("forbidden", 403, "Not allowed"),
    TooManyListeners: ProblemKind("too-many-live-pages", 429, "Too many live pages"),
    TooManyGuesses: ProblemKind("too-many-requests", 429, "Too many attempts"),
    TooManyTests: ProblemKind("too-many-tests", 429, "Too many test notices"),
    NotFound: ProblemKind("not-found", 404, "Not found"),
    ConfigError: _INVALID,
    ConfirmationNeeded: ProblemKind("confirmation-needed", 409, "A second confirmation is needed"),
    RequestValidationError: _INVALID,
    InvalidCursor: ProblemKind("invalid-cursor", 422, "The cursor is not one of this list"),
    KeyReused: ProblemKind("idempotency-key-reused", 422, "The Idempotency-Key belongs to another request"),
    KeyInUse: ProblemKind("idempotency-key-in-use", 409, "The same request is still running"),
    GuardError: ProblemKind("guard", 409, "A guard stopped it"),
    SidePaused: ProblemKind("side-paused", 409, "The side is paused"),
    AlreadyRunning: ProblemKind("already-running", 409, "Another run is under way"),
    WrongAccount: ProblemKind("wrong-account", 409, "The database belongs to another account"),
    ConstraintViolated: _CHANGED,
    LinkMoved: _CHANGED,
    DatabaseRefused: ProblemKind("value-refused", 422, "The database does not take a value"),
    DatabaseUnavailable: ProblemKind("database-unavailable", 503, "The database is unavailable"),
    VendorUnavailable: ProblemKind("vendor-unavailable", 502, "HubSpot or Stripe cannot be reached"),
    KeyRefused: _VENDOR,
    CallError: _VENDOR,
    WanesyncError: _FAILED,
}
"""Error -> the kind of its problem; an error that is not listed has the kind of the nearest class it derives from."""


def find_kind(error: Exception) -> ProblemKind:
    """Return the kind of problem that an error is."""
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        return ProblemKind(phrase.lower().replace(" ", "-"), error.status_code, phrase)
    return next((KINDS[base] for base in type(error).__mro__ if base in KINDS), _FAILED)


def describe_problem(error: Exception) -> Problem:
    """Return the problem that an error is; of an unexpected one nothing is said but that it was logged."""
    kind = find_kind(error)
    fields: list[FieldProblem] = []
    match error:
        case RequestValidationError():
            fields = [
                FieldProblem(where=".".join(map(str, one["loc"])), why=str(one["msg"])) for one in error.errors()[:50]
            ]
            detail = "; ".join(f"{one.where}: {one.why}" for one in fields)
        case HTTPException():
            detail = str(error.detail)
        case ConfigError():
            detail = "; ".join(error.problems)
        case CallError():
            detail = error.with_advice
        case WanesyncError():
            detail = str(error)
        case _:
            detail = "an error of this program, which its log describes: search it for request failed"
    return Problem(type=kind.urn, title=kind.title, status=kind.status, detail=detail[:MAX_DETAIL_CHARS], fields=fields)


def answer_problem(error: Exception) -> Response:
    """Return the answer to a request that failed with an error."""
    problem = describe_problem(error)
    return Response(problem.model_dump_json(), problem.status, find_headers(error), MEDIA_TYPE)


def find_headers(error: Exception) -> dict[str, str]:
    """Return the headers of the answer to an error: when to come again, and how to sign in."""
    match error:
        case HTTPException():
            return dict(error.headers or {})
        case TooManyGuesses() | TooManyTests():
            return {"Retry-After": str(error.retry_after_s)}
        case DatabaseUnavailable():
            return {"Retry-After": str(RETRY_AFTER_S)}
        case NotSignedIn():
            return {"WWW-Authenticate": "Bearer"}
    return {}
