"""A lane's claim under way: how long claims take, and so how many calls are prepared ahead of their slots.

A claim of a loaded database takes several tenths of a second, and what waits for slots must last until it ends
(docs/correctness.md#rate-slots).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from wanesync.core.model import Side
from wanesync.store.clock import Clock

MIN_PREPARED_CALLS, MAX_PREPARED_CALLS = {Side.HUBSPOT: 1, Side.STRIPE: 30}, {Side.HUBSPOT: 1, Side.STRIPE: 200}
"""Bounds of the calls prepared ahead of their slots. HubSpot's carry up to 100 jobs each, Stripe's one; what is claimed
early may miss its target."""
AHEAD_MS = 500
"""So long the prepared calls last at least, in ms, beside the time of claims (our choice)."""
_WEIGHT = 4
"""What was given counts for a quarter of what is followed."""
_WEIGHT_UP, _WEIGHT_DOWN = 2, 12
"""The time of claims follows the long ones: a slot that is missed costs more than a call that is prepared early."""


@dataclass(slots=True)
class ClaimUnderWay:
    """Shared by a lane and the thread that hands out slots meanwhile. ``began``: set during a claim.

    ``hand_out``: held while waiting calls are given slots, or counted. ``given``: calls with a slot since the last
    claim began.
    """

    began: threading.Event = field(default_factory=threading.Event)
    hand_out: threading.Lock = field(default_factory=threading.Lock)
    given: int = 0
    _began_ms: int = 0
    _claim_ms: float = 0
    _given_per_s: float = 0

    @contextmanager
    def measured(self, clock: Clock) -> Iterator[None]:
        """Run a claim inside the context."""
        began_ms = clock.monotonic_ms()
        per_s = 1000 * self.given / max(1, began_ms - self._began_ms)
        self._given_per_s += (per_s - self._given_per_s) / _WEIGHT
        self._began_ms, self.given = began_ms, 0
        self.began.set()
        try:
            yield
        finally:
            self.began.clear()
            change_ms = clock.monotonic_ms() - began_ms - self._claim_ms
            self._claim_ms += change_ms / (_WEIGHT_UP if change_ms > 0 else _WEIGHT_DOWN)

    def calls_ahead(self, side: Side) -> int:
        """Return how many calls are to be ready: the next claim begins at half of them, and the rest must outlast it.

        Other workers have slots as well, so it depends on how many this one is given.
        """
        ahead = int(self._given_per_s * (AHEAD_MS + 2 * self._claim_ms) / 1000)
        return max(MIN_PREPARED_CALLS[side], min(MAX_PREPARED_CALLS[side], ahead))
