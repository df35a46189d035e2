"""Cursors of lists that are read page by page."""

from __future__ import annotations

import pytest

from wanesync.core.cursors import CursorTrail
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
