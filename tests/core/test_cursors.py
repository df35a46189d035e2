"""Cursors of lists that are read page by page."""

from __future__ import annotations

import pytest

from wanesync.core import cursors
from wanesync.core.cursors import MAX_EMPTY_PAGES, CursorTrail
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side


def test_a_list_that_goes_on_is_followed_to_its_end() -> None:
    trail = CursorTrail(Side.HUBSPOT)
    assert [trail.follow(*step) for step in (("", "a"), ("a", "b"), ("b", ""))] == ["a", "b", ""]


@pytest.mark.parametrize(
    "steps", [[("", "a"), ("a", "a")], [("", "a"), ("a", "b"), ("b", "a")], [("7", "8"), ("8", "7")]]
)
def test_a_list_that_leads_back_to_one_of_its_pages_is_no_answer(steps: list[tuple[str, str]]) -> None:
    trail = CursorTrail(Side.STRIPE)
    *before, last = steps
    for step in before:
        trail.follow(*step)
    with pytest.raises(CallError) as raised:
        trail.follow(*last)
    assert (raised.value.side, raised.value.failure) == (Side.STRIPE, Failure.NO_ANSWER)


def test_a_page_that_is_asked_for_again_leads_on() -> None:
    trail = CursorTrail(Side.STRIPE)
    trail.follow("", "a")
    with pytest.raises(CallError):
        trail.follow("a", "a")
    assert trail.follow("a", "b") == "b"


def test_a_page_that_comes_again_under_another_cursor_is_no_answer() -> None:
    trail = CursorTrail(Side.HUBSPOT)
    trail.follow("", "a", ["1", "2"])
    trail.follow("", "a", ["1", "2"])
    trail.follow("a", "b", ["3"])
    with pytest.raises(CallError, match="comes again"):
        trail.follow("b", "c", ["1", "2"])
    assert trail.follow("b", "", ["1", "2"]) == "", "at its end nothing goes on"


def test_empty_pages_with_ever_new_cursors_end() -> None:
    trail = CursorTrail(Side.HUBSPOT)
    trail.follow("", "0", ["1"])
    for number in range(MAX_EMPTY_PAGES):
        trail.follow(str(number), str(number + 1), [])
        trail.follow(str(number), str(number + 1), [])
    with pytest.raises(CallError, match="without an element"):
        trail.follow(str(MAX_EMPTY_PAGES), "x", [])


def test_a_list_without_an_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "MAX_PAGES", 3)
    trail = CursorTrail(Side.STRIPE)
    for number in range(3):
        trail.follow(str(number), str(number + 1))
    with pytest.raises(CallError, match="without an end"):
        trail.follow("3", "4")
