"""Errors of wanesync, and the classes of failed vendor calls.

A message says what to do next and never carries a secret, a payload or personal data: ids, field names and counts
only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wanesync.core.model import ParkReason, Record, Side


class WanesyncError(Exception):
    """Root of all errors of wanesync; ``exit_code`` is the exit status of the command line."""

    exit_code = 1


class ConfigError(WanesyncError):
    """The configuration or the use of a command is wrong; ``problems`` lists everything that was found."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ConfirmationNeeded(ConfigError):
    """What is asked for is possible, but needs a second confirmation (``--force``). ``why``: without the advice."""

    def __init__(self, why: str, advice: str) -> None:
        self.why = why
        super().__init__([f"{why}; {advice}"])


class WrongAccount(WanesyncError):
    """The database belongs to another portal, account or mode than the one configured."""

    exit_code = 2


class GuardError(WanesyncError):
    """A guard stopped bulk work before anything was written (docs/correctness.md#bulk-guards)."""

    exit_code = 3


class SidePaused(GuardError):
    """An operator stopped every request to a side (docs/correctness.md#pauses)."""

    def __init__(self, side: Side) -> None:
        super().__init__(f"{side} is paused by an operator: wanesync resume {side} lets requests through again")
        self.side = side


class DatabaseUnavailable(WanesyncError):
    """The database cannot be reached, is busy for longer than its time-out, or has no memory or disk left.

    Nothing else is unavailability: any other error concerns the rows of the statement (docs/correctness.md#bad-rows).
    ``lasts``: it stays so until an operator mends it, so that a program that starts does not wait for it.
    """

    exit_code = 4

    def __init__(self, message: str, *, lasts: bool = False) -> None:
        self.lasts = lasts
        super().__init__(message)


class DatabaseRefused(WanesyncError):
    """The database does not take the content of a statement: that concerns its rows, and nothing else has to wait.

    ``code``: the SQLSTATE, or SQLite's name of the error; "" without one.
    """

    def __init__(self, code: str = "") -> None:
        self.code = code
        shown = f" ({code})" if code else ""
        super().__init__(f"the database does not take a value{shown}: it is too long, too large or not text")


class FieldMapChanged(DatabaseUnavailable):
    """Another process has begun to work with another field map: this process may not work on the database any more.

    docs/correctness.md#changes-of-the-field-map
    """

    exit_code = 2

    def __init__(self) -> None:
        super().__init__(
            "the field map of the database was changed by a process with a newer configuration: this process stops; "
            "give it the same [[field]] tables and the same version of wanesync, then start it again",
            lasts=True,
        )


class VendorUnavailable(WanesyncError):
    """A vendor cannot be reached."""

    exit_code = 4


class KeyRefused(WanesyncError):
    """A side does not accept a key, or not for this call."""

    exit_code = 4


class OutputFailed(WanesyncError):
    """What a command prints or saves cannot be written: the disk is full, or the device fails."""

    exit_code = 4


class DeliveryFailed(WanesyncError):
    """A notice did not reach a recipient. ``retry_after_s``: as it asked for. ``of_message``: others may arrive."""

    def __init__(self, text: str, *, retry_after_s: float = 0, of_message: bool = False) -> None:
        super().__init__(text)
        self.retry_after_s, self.of_message = retry_after_s, of_message


class NotFound(WanesyncError):
    """The named record, job, hold or file does not exist."""

    exit_code = 2


class NotSignedIn(WanesyncError):
    """A request to the admin service comes from none of its users."""


class NotAllowed(WanesyncError):
    """An operator may not do this: the role has no permission, or the request did not come from our own page."""


class ProofNeeded(NotAllowed):
    """An operator must give the password and the second factor again before this."""


class TooManyGuesses(WanesyncError):
    """Too many passwords were tried; ``retry_after_s``: when the next one is looked at."""

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"too many attempts: try again in {-(-retry_after_s // 60)} minutes")


class TooManyTests(WanesyncError):
    """Too many test notices were sent; ``retry_after_s``: when the next one can be."""

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = max(1, retry_after_s)
        super().__init__(f"too many test notices were sent: try again in {-(-self.retry_after_s // 60)} minutes")


class InvalidSignature(WanesyncError):
    """A webhook whose signature is missing, wrong, stale or from the future."""


class StaleSignature(InvalidSignature):
    """A signature whose time is too far from ours: an old request, or a wrong clock."""


class InvalidPayload(WanesyncError):
    """A webhook body that cannot be parsed."""


class DecryptionFailed(WanesyncError):
    """An encrypted value could not be decrypted: it was altered, moved, or its key is missing.

    ``table``, ``row``: where it is stored; of a record the row is its side and id.
    """

    def __init__(self, message: str, table: str = "", row: str = "") -> None:
        self.table, self.row = table, row
        super().__init__(message)


class Failure(StrEnum):
    """Why an API call has no result."""

    NO_ANSWER = "no_answer"  # sent, outcome unknown: connection lost, timed out, answer not readable
    UNREACHED = "unreached"  # not sent: connection refused
    UNAVAILABLE = "unavailable"  # 5xx that leaves the outcome open (502, 503, 504, 52x)
    SERVER = "server"  # Stripe 500: stored under the key, outcome indeterminate
    RATE_LIMITED = "rate_limited"  # 429
    DAILY_LIMIT = "daily_limit"  # 429 of the daily quota
    BUSY = "busy"  # 423, Stripe lock_timeout: the record is locked, nothing happened
    IN_FLIGHT = "in_flight"  # Stripe 409: the same key still runs
    MOVING = "moving"  # HubSpot 477: the account is being migrated
    CONFLICT = "conflict"  # a unique value is taken; ``existing_id`` is the record that has it, if known
    NOT_FOUND = "not_found"
    REFUSED = "refused"  # 400, 402, 404 on a path, another 409: cannot succeed unchanged
    UNUSABLE = "unusable"  # answered, but the record holds what cannot be stored: it is set aside
    MISMATCH = "mismatch"  # Stripe: one idempotency key, two bodies
    UNAUTHORISED = "unauthorised"  # 401
    FORBIDDEN = "forbidden"  # 403


@dataclass(eq=False)
class CallError(Exception):
    """One failed call, or one failed item of a batch.

    ``reason`` is safe to show: codes and field names, never values. ``status``: HTTP status, None without an answer.
    ``scope`` names the limiter or the permission (``endpoint-rate``, ``TEN_SECONDLY_ROLLING``,
    ``crm.objects.contacts.write``). ``fields``: properties that were refused; ``reasons``: why each was, where the
    answer says so. ``remains``: what an unusable record still shows, its id and addresses, with every field unknown.
    ``clock_ms``: the vendor's clock at a refusal, 0 if it did not show it.
    """

    side: Side
    failure: Failure
    reason: str
    status: int | None = None
    retry_after_ms: int | None = None
    existing_id: str | None = None
    scope: str = ""
    fields: tuple[str, ...] = ()
    remains: Record | None = None
    reasons: Mapping[str, ParkReason] = field(default_factory=dict)
    clock_ms: int = field(default=0, compare=False)

    def __str__(self) -> str:
        status = f" ({self.status})" if self.status else ""
        return f"{self.side}: {self.failure}{status}: {self.reason}"

    @property
    def with_advice(self) -> str:
        """The failure, and what an operator can do about it."""
        if self.failure is Failure.FORBIDDEN:
            lacking = f" (the key lacks {self.scope})" if self.scope and self.scope not in self.reason else ""
            return f"{self}{lacking}: wanesync doctor names what the key lacks"
        if self.failure is Failure.UNAUTHORISED:
            return f"{self}: wanesync doctor checks the keys"
        return f"{self}: try again later, or see wanesync status"
