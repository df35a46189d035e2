"""Every error of ours: typed, with its cause kept, saying what to do next.

A message never carries a secret, a payload or personal data: ids, field names and counts only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wanesync.core.model import Side


class WanesyncError(Exception):
    """Root of our errors. ``exit_code`` is what the command line ends with (DESIGN section 7)."""

    exit_code = 1


class ConfigError(WanesyncError):
    """The configuration (or the way a command was called) is wrong: all problems at once."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class WrongAccount(WanesyncError):
    """The state belongs to another portal, account or mode than the one configured."""

    exit_code = 2


class GuardError(WanesyncError):
    """A guard stopped the work before it did harm (CORRECTNESS section 10)."""

    exit_code = 3


class DatabaseUnavailable(WanesyncError):
    """The database cannot be reached or is busy beyond its time-out."""

    exit_code = 4


class VendorUnavailable(WanesyncError):
    """A side cannot be reached."""

    exit_code = 4


class NotFound(WanesyncError):
    """What was asked for by name does not exist here."""


class InvalidSignature(WanesyncError):
    """A webhook whose signature is missing, wrong, stale or from the future."""


class InvalidPayload(WanesyncError):
    """A webhook body that cannot be understood."""


class DecryptionFailed(WanesyncError):
    """A sealed value could not be opened: it was altered, moved, or its key is gone."""


class Failure(StrEnum):
    """What an API call came to when it did not come to a result."""

    NO_ANSWER = "no_answer"  # sent, outcome unknown: connection lost, timed out, answer unreadable
    UNREACHED = "unreached"  # never left us: connection refused
    UNAVAILABLE = "unavailable"  # 5xx that says nothing about the outcome (502, 503, 504, 52x)
    SERVER = "server"  # Stripe 500: stored under the key, outcome indeterminate
    RATE_LIMITED = "rate_limited"  # 429
    DAILY_LIMIT = "daily_limit"  # 429 of the daily quota
    BUSY = "busy"  # 423, Stripe lock_timeout: the record is locked, nothing happened
    IN_FLIGHT = "in_flight"  # Stripe 409: the same key still runs
    MOVING = "moving"  # HubSpot 477: the account is being migrated
    CONFLICT = "conflict"  # a unique value is taken, ``existing_id`` names the holder if known
    NOT_FOUND = "not_found"
    REFUSED = "refused"  # 400, 402, 404 on a path, 409 without meaning for us: will never succeed as it is
    MISMATCH = "mismatch"  # Stripe: one key, two bodies (our bug)
    UNAUTHORISED = "unauthorised"  # 401
    FORBIDDEN = "forbidden"  # 403


@dataclass(eq=False)
class CallError(Exception):
    """One call (or one item of a batch) that failed.

    ``reason`` is safe to show: codes and field names, never values. ``scope`` names the limiter
    or the permission (``endpoint-rate``, ``TEN_SECONDLY_ROLLING``, ``crm.objects.contacts.write``).
    """

    side: Side
    failure: Failure
    reason: str
    status: int | None = None
    retry_after_ms: int | None = None
    existing_id: str | None = None
    scope: str = ""
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        status = f" ({self.status})" if self.status else ""
        return f"{self.side}: {self.failure}{status}: {self.reason}"
