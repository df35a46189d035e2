"""A POST on its way into the store."""

from __future__ import annotations

from wanesync.core.model import Side
from wanesync.core.posts import Post


def test_posts_of_the_same_content_are_told_apart() -> None:
    """Each has a request that waits for it: they are keys."""
    settled: list[Post] = []
    first, second = Post(Side.HUBSPOT, settled.extend), Post(Side.HUBSPOT, settled.extend)
    assert len({first: 1, second: 2}) == 2
    first.settle([first])
    assert (settled, first.new, first.error) == ([first], 0, None)
