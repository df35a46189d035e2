"""What a process has in hand; and a suspect is the only job it runs."""

from __future__ import annotations

from wanesync.core.jobs import Job, JobKind, JobState
from wanesync.core.model import Side
from wanesync.sync.runtime import Call
from wanesync.worker.in_flight import Custody

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


def call_of(name: str) -> Call:
    job = Job(name, STRIPE, JobKind.WRITE, name, JobState.RUNNING, 10, 0, 0)
    return Call(STRIPE, "customers.create", [job], lambda: None, lambda _tx, _answer: [])


def claim(custody: Custody, side: Side, *calls: Call) -> bool:
    """A whole claim."""
    entered = custody.enter(side)
    if entered:
        custody.leave(side, calls)
    return entered


def in_hand(custody: Custody) -> set[str] | None:
    with custody.standstill() as jobs:
        return jobs


def test_without_a_suspect_both_lanes_claim_as_they_like() -> None:
    custody = Custody()
    assert custody.enter(HUBSPOT)
    assert claim(custody, STRIPE, call_of("a"), call_of("b"))
    custody.leave(HUBSPOT, [call_of("c")])
    assert claim(custody, STRIPE)
    assert not custody.alone
    assert in_hand(custody) == {"a", "b", "c"}


def test_a_suspect_waits_until_nothing_else_runs_and_then_runs_alone() -> None:
    custody, first, then, poison = Custody(), call_of("first"), call_of("then"), call_of("poison")
    assert claim(custody, STRIPE, first)
    custody.see(HUBSPOT, suspect=True)
    assert not custody.enter(STRIPE)
    assert not custody.enter(HUBSPOT)
    custody.settle([first], [then])
    assert not custody.enter(HUBSPOT)
    custody.settle([then])
    assert not custody.enter(STRIPE)
    assert claim(custody, HUBSPOT, poison)
    assert custody.alone
    custody.see(HUBSPOT, suspect=False)
    assert not custody.enter(HUBSPOT)
    assert not custody.enter(STRIPE)
    custody.settle([poison])
    assert claim(custody, STRIPE)
    assert claim(custody, HUBSPOT)
    assert not custody.alone


def test_a_claim_under_way_keeps_a_suspect_out() -> None:
    custody = Custody()
    assert custody.enter(STRIPE)
    custody.see(HUBSPOT, suspect=True)
    assert not custody.enter(HUBSPOT)
    custody.leave(STRIPE)
    assert custody.enter(HUBSPOT)


def test_a_suspect_that_somebody_else_took_holds_nobody_up() -> None:
    custody = Custody()
    custody.see(HUBSPOT, suspect=True)
    assert not custody.enter(STRIPE)
    custody.see(HUBSPOT, suspect=False)
    assert claim(custody, STRIPE)


def test_two_suspects_run_one_after_the_other() -> None:
    custody, first = Custody(), call_of("first")
    custody.see(HUBSPOT, suspect=True)
    custody.see(STRIPE, suspect=True)
    assert claim(custody, STRIPE, first)
    assert not custody.enter(HUBSPOT)
    custody.settle([first])
    assert claim(custody, HUBSPOT)


def test_what_is_in_hand_is_unknown_while_somebody_claims() -> None:
    custody = Custody()
    assert in_hand(custody) == set()
    assert custody.enter(STRIPE)
    assert in_hand(custody) is None
    custody.leave(STRIPE, [call_of("a")])
    assert in_hand(custody) == {"a"}
