"""The simulator's rule of the order of deadlines."""

from __future__ import annotations

from tests.simulation.deadlines import Change, find_passed_over
from wanesync.core.jobs import Priority

NOW_MS, TARGET_MS = 1_000_000, 30_000
LATE, ALSO_LATE = (Change(key, 0, Priority.LIVE, NOW_MS - 60_000) for key in ("late", "later"))
IN_TIME = Change("in time", 0, Priority.LIVE, NOW_MS - 10_000)


def test_one_late_change_may_go_first_and_no_more() -> None:
    due = {LATE, ALSO_LATE, IN_TIME}
    assert find_passed_over(due, {ALSO_LATE, IN_TIME}, NOW_MS, TARGET_MS) == []
    assert find_passed_over(due, {IN_TIME}, NOW_MS, TARGET_MS) == [("later", "in time")]


def test_where_nothing_in_time_is_left_late_ones_are_taken() -> None:
    assert find_passed_over({LATE, ALSO_LATE, IN_TIME}, set(), NOW_MS, TARGET_MS) == []


def test_a_change_that_came_meanwhile_was_not_passed_over() -> None:
    assert find_passed_over({LATE, ALSO_LATE}, {IN_TIME}, NOW_MS, TARGET_MS) == []
