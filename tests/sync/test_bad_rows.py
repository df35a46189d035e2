"""A batch that cannot be committed is halved until the item at fault is found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from wanesync.core.errors import DatabaseRefused, DatabaseUnavailable, DecryptionFailed
from wanesync.core.jobs import DeadClass
from wanesync.sync.bad_rows import find_fault, in_halves


class Batch:
    """Work that fails for some numbers, and what was asked of it."""

    def __init__(self, *bad: int) -> None:
        self.bad = bad
        self.tried: list[list[int]] = []
        self.aside: list[tuple[int, str]] = []

    def work(self, items: Sequence[int]) -> list[int]:
        self.tried.append(list(items))
        if set(items) & set(self.bad):
            raise ValueError("one of them")
        return list(items)

    def set_aside(self, item: int, error: Exception) -> list[int]:
        self.aside.append((item, type(error).__name__))
        return [-item]


def test_a_good_batch_is_done_at_once() -> None:
    batch = Batch()
    assert in_halves([1, 2, 3], batch.work, batch.set_aside) == [1, 2, 3]
    assert batch.tried == [[1, 2, 3]]


def test_the_bad_item_is_found_and_all_others_are_done_in_order() -> None:
    batch = Batch(6)
    assert in_halves(list(range(1, 101)), batch.work, batch.set_aside) == [*range(1, 6), -6, *range(7, 101)]
    assert batch.aside == [(6, "ValueError")]
    assert len(batch.tried) < 16
    assert all(batch.tried.count(one) == 1 for one in batch.tried), "nothing is repeated as it was"


def test_nothing_to_do_is_nothing() -> None:
    batch = Batch()
    assert in_halves([], batch.work, batch.set_aside) == []


def test_an_unavailable_database_is_the_fault_of_no_item() -> None:
    def down(_items: Sequence[int]) -> list[int]:
        raise DatabaseUnavailable("down")

    batch = Batch()
    with pytest.raises(DatabaseUnavailable):
        in_halves([1, 2], down, batch.set_aside)
    assert batch.aside == []


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (DatabaseRefused("54000"), DeadClass.UNSTORABLE),
        (UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed"), DeadClass.UNSTORABLE),
        (OverflowError("Python int too large to convert to SQLite INTEGER"), DeadClass.UNSTORABLE),
        (DecryptionFailed("altered"), DeadClass.DAMAGED),
        (ValueError("a defect"), None),
    ],
)
def test_only_a_value_that_can_never_be_stored_or_read_ends_a_job_at_once(
    error: Exception, fault: DeadClass | None
) -> None:
    assert find_fault(error) is fault
