"""The error answers of Stripe, with its messages and codes."""

from __future__ import annotations

from collections.abc import Mapping

from wanesync.sandbox.stripe.objects import Record

INVALID = "invalid_request_error"


class Refusal(Exception):
    """One error answer: HTTP ``status`` and the members of Stripe's error object.

    ``executed``: the request was already executing, so an idempotency key stores the answer
    (docs.stripe.com/api/idempotent_requests); validation failures and limiters are not stored.
    """

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.executed = False
        self.headers: dict[str, str] = {}
        self.error: Record = {"message": message, "type": INVALID}
        if code is not None:
            self.error |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
        if param is not None:
            self.error["param"] = param

    def after_start(self) -> Refusal:
        """Mark the refusal as given during execution."""
        self.executed = True
        return self

    def of_type(self, kind: str, headers: Mapping[str, str] | None = None) -> Refusal:
        """Set another error type and headers."""
        self.error["type"] = kind
        self.headers.update(headers or {})
        return self


def refuse_unknown(names: list[str]) -> Refusal:
    """400 for unknown parameters."""
    plural = "s" if len(names) > 1 else ""
    return Refusal(
        400, f"Received unknown parameter{plural}: {', '.join(names)}", code="parameter_unknown", param=names[0]
    )


def refuse_missing(name: str) -> Refusal:
    """400 for a missing required parameter."""
    return Refusal(400, f"Missing required param: {name}.", code="parameter_missing", param=name)


def refuse_empty(name: str) -> Refusal:
    """400 for an empty value of a parameter that cannot be unset."""
    text = (
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however "
        f"'{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
    )
    return Refusal(400, text, code="parameter_invalid_empty", param=name)


def refuse_absent(noun: str, record_id: str, param: str = "id", status: int = 404) -> Refusal:
    """404 (in the path) or 400 (as a parameter) for an object that does not exist."""
    return Refusal(status, f"No such {noun}: '{record_id}'", code="resource_missing", param=param)


def refuse_path(method: str, path: str) -> Refusal:
    """404 for an unknown path."""
    text = (
        f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove the trailing slash. "
        "If you are trying to retrieve an object, make sure you passed a valid (non-empty) identifier in your code."
    )
    return Refusal(404, text)


def refuse_rate(reason: str) -> Refusal:
    """429 of a rate limit; ``reason``: the value of Stripe-Rate-Limited-Reason."""
    text = "Request rate limit exceeded. You can learn more about rate limits here https://stripe.com/docs/rate-limits."
    return Refusal(429, text, code="rate_limit").of_type(INVALID, {"Stripe-Rate-Limited-Reason": reason})


def refuse_locked() -> Refusal:
    """429 because the object is locked: not a rate limit, so without a reason header."""
    text = (
        "This object cannot be accessed right now because another API request or Stripe process is currently accessing "
        "it. If you see this error intermittently, retry the request."
    )
    return Refusal(429, text, code="lock_timeout").of_type(INVALID, {"Stripe-Should-Retry": "true"})


def refuse_down(status: int) -> Refusal:
    """500 or 503 by an injected fault."""
    text = "An error occurred while processing your request. Please try again later."
    retry = "true" if status == 503 else "false"
    return Refusal(status, text).of_type("api_error", {"Stripe-Should-Retry": retry})
