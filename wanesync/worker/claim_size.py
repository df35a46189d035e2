"""How many jobs a claim takes: fewer after a claim that could not be committed (docs/correctness.md#bad-rows)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wanesync.core.errors import DatabaseUnavailable
from wanesync.store.session import ConstraintViolated, TransactionConflict

MAX_BATCH_JOBS = 100
"""HubSpot's batch endpoints take 100 inputs (developers.hubspot.com, CRM API, batch)."""
MAX_REPEATS = 2
"""How often a batch is repeated unchanged (docs/correctness.md#bad-rows)."""
SHRINK_FACTOR = 10
"""A claim of 100 jobs that cannot be committed is one of a single job after two more failures (our choice)."""


def is_to_be_cut(error: Exception, failures: int) -> bool:
    """Return whether a batch that failed so often in a row is cut now, rather than repeated unchanged.

    A conflict was repeated by the transaction itself already; other errors are not about the state of the database.
    """
    # A constraint: another transaction claimed or queued the same key in between.
    passes = isinstance(error, DatabaseUnavailable | ConstraintViolated)
    return not passes or isinstance(error, TransactionConflict) or failures > MAX_REPEATS


@dataclass(slots=True)
class ClaimSize:
    """The size of the next claim of a lane. ``fault``: the error of the most urgent job, which is set aside next."""

    jobs: int = MAX_BATCH_JOBS
    failures: int = 0
    fault: Exception | None = None

    @property
    def is_reduced(self) -> bool:
        """Whether a claim failed, and not enough have succeeded since."""
        return self.jobs < MAX_BATCH_JOBS

    def shrink(self, error: Exception, note: Callable[[str], bool]) -> None:
        """Adapt to a claim that was not committed. ``note`` stores the failure: whether the database works."""
        self.failures += 1
        if self.failures <= 1 and not is_to_be_cut(error, self.failures):
            return
        works = note(str(error) if isinstance(error, DatabaseUnavailable) else type(error).__name__)
        if not is_to_be_cut(error, self.failures):
            return
        if self.jobs > 1:
            self.jobs, self.failures = max(1, self.jobs // SHRINK_FACTOR), 0
        elif works:
            self.fault = error

    def grow(self, clear: Callable[[], None]) -> None:
        """Adapt to a claim that was committed."""
        self.jobs, self.failures, self.fault = min(MAX_BATCH_JOBS, self.jobs * 2), 0, None
        clear()
