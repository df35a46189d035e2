"""How many calls are prepared ahead, and who hands out slots while a claim takes long."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from wanesync.core.model import Side
from wanesync.worker.claim_under_way import MAX_PREPARED_CALLS, MIN_PREPARED_CALLS, ClaimUnderWay


@dataclass
class HandClock:
    """Moved by hand."""

    at_ms: int = 1_000_000

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ms(self) -> int:
        return self.at_ms

    def sleep_until(self, at_ms: float) -> None:
        self.at_ms = max(self.at_ms, int(at_ms))


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def run_claims(claim: ClaimUnderWay, clock: HandClock, takes_ms: int, every_ms: int, given: int) -> None:
    for _ in range(40):
        with claim.measured(clock):
            clock.at_ms += takes_ms
        clock.at_ms += every_ms - takes_ms
        claim.given += given


@pytest.mark.parametrize(
    ("takes_ms", "every_ms", "given", "expected"),
    [
        (50, 300, 30, 60),  # 100 calls a second for 0.6 s
        (400, 600, 60, 130),  # a loaded database: what waits must outlast the claim
        (2_000, 2_000, 200, MAX_PREPARED_CALLS[Side.STRIPE]),
        (50, 300, 6, MIN_PREPARED_CALLS[Side.STRIPE]),  # one of many workers
        (50, 300, 0, MIN_PREPARED_CALLS[Side.STRIPE]),
    ],
)
def test_calls_are_prepared_for_as_long_as_claims_take(
    clock: HandClock, takes_ms: int, every_ms: int, given: int, expected: int
) -> None:
    claim = ClaimUnderWay()
    run_claims(claim, clock, takes_ms, every_ms, given)
    assert claim.calls_ahead(Side.STRIPE) == pytest.approx(expected, abs=1)
    assert claim.calls_ahead(Side.HUBSPOT) == 1


def test_a_claim_that_fails_has_ended(clock: HandClock) -> None:
    claim = ClaimUnderWay()
    with pytest.raises(ZeroDivisionError), claim.measured(clock):
        assert 1 / (not claim.began.is_set())
    assert not claim.began.is_set()
