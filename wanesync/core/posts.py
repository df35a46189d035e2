"""A webhook on its way from the web server to its commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wanesync.core.model import Side


@dataclass(slots=True, eq=False)
class Post:
    """One POST on its way into the store: how many of its events were new, or the error.

    ``settle``: called with those POSTs that have the same one and whose outcomes came together, once these are there,
    in a thread of the intake; it must not raise.
    """

    side: Side
    settle: Callable[[Sequence[Post]], None]
    new: int = 0
    error: Exception | None = None
