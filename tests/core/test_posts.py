"""A POST on its way into the store."""

from __future__ import annotations

from collections.abc import Sequence

from wanesync.core.model import Side
from wanesync.core.posts import Post, settle_together


def test_posts_of_the_same_content_are_told_apart() -> None:
    """Each has a request that waits for it: they are keys."""
    settled: list[Post] = []
    first, second = Post(Side.HUBSPOT, settled.extend), Post(Side.HUBSPOT, settled.extend)
    assert len({first: 1, second: 2}) == 2
    first.settle([first])
    assert (settled, first.new, first.error) == ([first], 0, None)


def test_outcomes_that_come_together_are_handed_on_in_one_call_for_each_that_waits() -> None:
    calls: list[tuple[str, list[Post]]] = []

    def first(posts: Sequence[Post]) -> None:
        calls.append(("first", list(posts)))

    def second(posts: Sequence[Post]) -> None:
        calls.append(("second", list(posts)))

    posts = [Post(Side.STRIPE, first), Post(Side.HUBSPOT, second), Post(Side.STRIPE, first)]
    settle_together(posts)
    assert calls == [("first", [posts[0], posts[2]]), ("second", [posts[1]])]
