"""Reads of a comparison are repeated after transient failures, and limited in number."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from tests.support.reconcile_harness import OpenPacer
from wanesync.core.errors import CallError, Failure, GuardError, VendorUnavailable
from wanesync.core.model import Side
from wanesync.core.rate_limits import SlotRequest
from wanesync.reconcile.requests import FIRST_WAIT_S, MAX_WAIT_S, READ_ATTEMPTS, TRANSIENT, Requests, read_paced


class CountingPacer(OpenPacer):
    """Notes each slot taken and each refusal."""

    def __init__(self) -> None:
        self.slots: list[SlotRequest] = []
        self.refusals: list[Failure] = []

    def wait_for_slot(self, want: SlotRequest) -> None:
        self.slots.append(want)

    def apply_refusal(self, error: CallError, operation: str) -> None:
        self.refusals.append(error.failure)


def failing(*failures: Failure) -> Callable[[], str]:
    """A call that fails so often, and then has an answer."""
    left = iter(failures)

    def call() -> str:
        failure = next(left, None)
        if failure is not None:
            raise CallError(Side.STRIPE, failure, "not now")
        return "answer"

    return call


def read(pacer: CountingPacer, call: Callable[[], str], limit: int | None = None) -> tuple[str, int, list[float]]:
    """The answer, how many requests it took, and the waits between them, s."""
    waits: list[float] = []
    requests = Requests(limit)
    with patch("tenacity.nap.time", SimpleNamespace(sleep=waits.append)):
        answer = read_paced(pacer, requests, "customers.list", call)  # type: ignore[arg-type] # as far as it is used
    return answer, requests.made, waits


@pytest.mark.parametrize("failure", sorted(TRANSIENT))
def test_a_transient_failure_is_repeated_in_a_slot_of_its_own(failure: Failure) -> None:
    pacer = CountingPacer()
    answer, made, waits = read(pacer, failing(failure, failure))
    assert (answer, made, pacer.refusals) == ("answer", 3, [failure, failure])
    assert pacer.slots == [SlotRequest("customers.list", bulk=True)] * 3
    assert all(0 < wait <= MAX_WAIT_S + FIRST_WAIT_S + 1 for wait in waits)


def test_after_the_last_attempt_the_listing_is_incomplete() -> None:
    pacer = CountingPacer()
    with pytest.raises(VendorUnavailable, match="the listing is incomplete and was not used"):
        read(pacer, failing(*[Failure.SERVER] * READ_ATTEMPTS))
    assert len(pacer.slots) == READ_ATTEMPTS


def test_a_refusal_is_not_repeated() -> None:
    pacer = CountingPacer()
    with pytest.raises(VendorUnavailable):
        read(pacer, failing(Failure.REFUSED))
    assert len(pacer.slots) == 1


def test_no_request_is_made_beyond_the_limit() -> None:
    with pytest.raises(GuardError, match="--max-requests 2 is used up"):
        read(CountingPacer(), failing(Failure.BUSY, Failure.BUSY), limit=2)
    assert read(CountingPacer(), failing(Failure.BUSY), limit=2)[0] == "answer"
