"""A webhook on its way from the web server to its commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wanesync.core.model import Side

Settle = Callable[[Sequence["Post"]], None]
"""Takes POSTs whose outcomes came together, in a thread of the intake; it must not raise."""


@dataclass(slots=True, eq=False)
class Post:
    """One POST on its way into the store: how many of its events were new, or the error.

    ``settle``: called with those POSTs that have the same one and whose outcomes came together (``settle_together``).
    """

    side: Side
    settle: Settle
    new: int = 0
    error: Exception | None = None


def settle_together(posts: Sequence[Post]) -> None:
    """Hand on the outcomes of POSTs, those with the same ``settle`` in one call."""
    groups: dict[Settle, list[Post]] = defaultdict(list)
    for post in posts:
        groups[post.settle].append(post)
    for settle, ended in groups.items():
        settle(ended)
