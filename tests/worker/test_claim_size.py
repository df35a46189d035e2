"""The size of a claim after claims that could not be committed."""

from __future__ import annotations

from wanesync.core.errors import DatabaseUnavailable
from wanesync.store import TransactionTooLong
from wanesync.worker.claim_size import MAX_BATCH_JOBS, ClaimSize


class Notes:
    """What was noted; ``works``: whether the database takes a note."""

    def __init__(self, *, works: bool) -> None:
        self.works = works
        self.notes: list[str] = []

    def add(self, reason: str) -> bool:
        self.notes.append(reason)
        return self.works

    def clear(self) -> None:
        self.notes.clear()


def test_an_unavailable_database_is_tried_three_times_before_the_claim_is_cut() -> None:
    size, notes = ClaimSize(), Notes(works=False)
    sizes = []
    for _ in range(9):
        size.shrink(DatabaseUnavailable("down"), notes.add)
        sizes.append(size.jobs)
    assert sizes == [100, 100, 10, 10, 10, 1, 1, 1, 1]
    assert size.fault is None, "no job is at fault while nothing can be stored"


def test_a_claim_that_takes_too_long_is_cut_at_once_down_to_the_job_at_fault() -> None:
    size, notes = ClaimSize(), Notes(works=True)
    error = TransactionTooLong("30 s")
    for jobs in (10, 1):
        size.shrink(error, notes.add)
        assert (size.jobs, size.is_reduced, size.fault) == (jobs, True, None)
    size.shrink(error, notes.add)
    assert size.fault is error
    assert notes.notes == ["30 s"] * 3


def test_successful_claims_grow_again() -> None:
    size, notes = ClaimSize(jobs=1, failures=2, fault=ValueError("x")), Notes(works=True)
    notes.add("x")
    for _ in range(7):
        size.grow(notes.clear)
    assert (size.jobs, size.failures, size.fault, notes.notes) == (MAX_BATCH_JOBS, 0, None, [])


def test_a_defect_of_ours_names_its_kind_only() -> None:
    size, notes = ClaimSize(), Notes(works=True)
    size.shrink(ValueError("ana@example.com"), notes.add)
    assert notes.notes == ["ValueError"]
