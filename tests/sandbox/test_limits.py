from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanesync.sandbox.faults import PROFILES, Faults, parse
from wanesync.sandbox.journal import Journal
from wanesync.sandbox.limits import ArrivalCounter, RateWindow


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(1, 5))
def test_no_window_of_a_second_holds_more_than_the_limit(gaps: list[int], limit: int) -> None:
    window, now_ms, admitted = RateWindow(limit), 0, []
    for gap in gaps:
        now_ms += gap
        if window.admit(now_ms):
            admitted.append(now_ms)
        else:
            assert len([at for at in admitted if at > now_ms - 1000]) == limit

    assert all(len([at for at in admitted if end - 1000 < at <= end]) <= limit for end in admitted)


def test_a_request_exactly_one_interval_later_is_outside() -> None:
    window = RateWindow(1)

    assert [window.admit(at_ms) for at_ms in (0, 999, 1000)] == [True, False, True]


def test_the_limit_can_be_changed_while_running() -> None:
    window = RateWindow(1)
    window.admit(0)
    window.limit = 2

    assert [window.admit(1), window.admit(2)] == [True, False]


def test_refused_arrivals_are_counted_too_and_the_fullest_second_is_kept() -> None:
    arrivals = ArrivalCounter()
    for at_ms in (0, 10, 999, 1000, 5000):
        arrivals.count(at_ms)

    assert (arrivals.total, arrivals.largest()) == (5, 3)


def test_the_memory_of_the_arrival_counter_is_bounded() -> None:
    arrivals = ArrivalCounter()
    for number in range(10_000):
        arrivals.count(number // 7)

    assert len(arrivals._window._admitted) <= 1000
    assert arrivals.largest() == 7000


def test_faults_are_parsed_and_all_problems_named() -> None:
    assert parse({"drop": 1, "reorder_ms": 20}) == Faults(drop=1.0, reorder_ms=20)
    assert parse({"deliveries": 3}) == Faults(deliveries=3)
    with pytest.raises(ValueError, match="deliveries: expected an integer of at least 1"):
        parse({"deliveries": 0})
    assert parse({}) == PROFILES["none"]
    with pytest.raises(
        ValueError, match=r"unknown fault 'typo'; drop: .* between 0 and 1.*; reorder_ms: expected an integer"
    ):
        parse({"typo": 1, "drop": 1.5, "reorder_ms": 0.5})
    with pytest.raises(ValueError, match="duplicate: expected a number"):
        parse({"duplicate": "often"})


def test_the_journal_gives_what_came_after_a_number() -> None:
    journal = Journal()
    for number in range(3):
        journal.add(number, "contact.updated", "7", "user", {"city": str(number)})

    assert [entry.seq for entry in journal.after(1)] == [2, 3]
    assert journal.after(3) == []
    assert len(journal) == 3
