"""What a process has in hand; and a suspect is the only job it runs."""

from __future__ import annotations

from wanesync.core.jobs import Job, JobKind, JobState
from wanesync.core.model import Side
from wanesync.sync.calls import AnyCall, Call
from wanesync.worker.in_flight import InFlight

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


def call_of(name: str) -> AnyCall:
    job = Job(name, STRIPE, JobKind.WRITE, name, JobState.RUNNING, 10, 0, 0)
    return Call(STRIPE, "customers.create", [job], lambda: None, lambda _tx, _answer: [])


def claim(in_flight: InFlight, side: Side, *calls: AnyCall) -> bool:
    """A whole claim."""
    entered = in_flight.begin_claim(side)
    if entered:
        in_flight.end_claim(side, calls)
    return entered


def in_hand(in_flight: InFlight) -> set[str] | None:
    with in_flight.no_claims() as jobs:
        return jobs


def test_without_a_suspect_both_lanes_claim_as_they_like() -> None:
    in_flight = InFlight()
    assert in_flight.begin_claim(HUBSPOT)
    assert claim(in_flight, STRIPE, call_of("a"), call_of("b"))
    in_flight.end_claim(HUBSPOT, [call_of("c")])
    assert claim(in_flight, STRIPE)
    assert not in_flight.alone
    assert in_hand(in_flight) == {"a", "b", "c"}


def test_a_suspect_waits_until_nothing_else_runs_and_then_runs_alone() -> None:
    in_flight, first, then, poison = InFlight(), call_of("first"), call_of("then"), call_of("poison")
    assert claim(in_flight, STRIPE, first)
    in_flight.note_next(HUBSPOT, suspect=True)
    assert not in_flight.begin_claim(STRIPE)
    assert not in_flight.begin_claim(HUBSPOT)
    in_flight.settle([first], [then])
    assert not in_flight.begin_claim(HUBSPOT)
    in_flight.settle([then])
    assert not in_flight.begin_claim(STRIPE)
    assert claim(in_flight, HUBSPOT, poison)
    assert in_flight.alone
    in_flight.note_next(HUBSPOT, suspect=False)
    assert not in_flight.begin_claim(HUBSPOT)
    assert not in_flight.begin_claim(STRIPE)
    in_flight.settle([poison])
    assert claim(in_flight, STRIPE)
    assert claim(in_flight, HUBSPOT)
    assert not in_flight.alone


def test_a_claim_under_way_keeps_a_suspect_out() -> None:
    in_flight = InFlight()
    assert in_flight.begin_claim(STRIPE)
    in_flight.note_next(HUBSPOT, suspect=True)
    assert not in_flight.begin_claim(HUBSPOT)
    in_flight.end_claim(STRIPE)
    assert in_flight.begin_claim(HUBSPOT)


def test_a_suspect_that_another_process_took_holds_no_job_up() -> None:
    in_flight = InFlight()
    in_flight.note_next(HUBSPOT, suspect=True)
    assert not in_flight.begin_claim(STRIPE)
    in_flight.note_next(HUBSPOT, suspect=False)
    assert claim(in_flight, STRIPE)


def test_two_suspects_run_one_after_the_other() -> None:
    in_flight, first = InFlight(), call_of("first")
    in_flight.note_next(HUBSPOT, suspect=True)
    in_flight.note_next(STRIPE, suspect=True)
    assert claim(in_flight, STRIPE, first)
    assert not in_flight.begin_claim(HUBSPOT)
    in_flight.settle([first])
    assert claim(in_flight, HUBSPOT)


def test_what_is_in_flight_is_unknown_during_a_claim() -> None:
    in_flight = InFlight()
    assert in_hand(in_flight) == set()
    assert in_flight.begin_claim(STRIPE)
    assert in_hand(in_flight) is None
    in_flight.end_claim(STRIPE, [call_of("a")])
    assert in_hand(in_flight) == {"a"}
