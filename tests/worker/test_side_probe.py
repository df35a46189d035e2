"""The side probe: one request now and then, whatever it finds is stored."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.errors import CallError, Failure, WrongAccount
from wanesync.core.model import Side
from wanesync.core.ports import Account
from wanesync.core.rate_limits import SlotRequest
from wanesync.ops.alarms import read_alarms
from wanesync.ops.health.side_checks import SideCheck, read_check
from wanesync.ops.pauses import pause_sides
from wanesync.store import Store
from wanesync.sync.runtime import Runtime
from wanesync.worker.side_probe import PROBE_INTERVAL_MS, SideProbe


@dataclass
class Accounts:
    """A port that answers with what it is given."""

    answer: Account | Exception
    calls: int = 0

    def account(self) -> Account:
        self.calls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Slots:
    """A pacer that lets everything pass."""

    refused: list[str] = field(default_factory=list)

    def wait_for_slot(self, request: SlotRequest) -> None:
        assert request.operation == "account"

    def apply_refusal(self, error: CallError, operation: str) -> None:
        self.refused.append(f"{operation}: {error.failure}")


def make_probe(store: Store, port: Accounts) -> SideProbe:
    runtime = SimpleNamespace(store=store, stripe=port, hubspot=port, pacers=dict.fromkeys(Side, Slots()))
    return SideProbe(cast("Runtime", runtime), (Side.STRIPE,), threading.Event())


def found(store: Store) -> SideCheck | None:
    with store.reading() as tx:
        return read_check(tx, Side.STRIPE)


def test_a_side_is_probed_once_in_the_interval_by_all_processes(store: Store, clock: Clock) -> None:
    port = Accounts(Account("acct_1", "test"))
    first, second = make_probe(store, port), make_probe(store, port)
    for probe in (first, second, first):
        probe.probe_if_due(Side.STRIPE)
    assert port.calls == 1
    clock.advance(PROBE_INTERVAL_MS)
    for probe in (first, second):
        probe.probe_if_due(Side.STRIPE)
    assert port.calls == 2


def test_a_clock_that_went_back_does_not_end_the_probes(store: Store, clock: Clock) -> None:
    port = Accounts(Account("acct_1", "test"))
    probe = make_probe(store, port)
    probe.probe_if_due(Side.STRIPE)
    clock.advance(-3_600_000)
    probe.probe_if_due(Side.STRIPE)
    assert port.calls == 2


@pytest.mark.case(35)
def test_a_refused_key_is_found_without_any_job(store: Store) -> None:
    refused = CallError(Side.STRIPE, Failure.UNAUTHORISED, "401 invalid API key")
    make_probe(store, Accounts(refused)).probe_if_due(Side.STRIPE)
    check = found(store)
    assert check is not None
    assert (check.failure, check.reason) == ("unauthorised", "401 invalid API key")


def test_another_account_is_a_failure(store: Store) -> None:
    make_probe(store, Accounts(WrongAccount("it is another one"))).probe_if_due(Side.STRIPE)
    check = found(store)
    assert check is not None
    assert check.failure == "wrong_account"


def test_the_clocks_are_compared_where_the_answer_shows_the_time(store: Store, clock: Clock) -> None:
    now_ms = store.now_ms()
    make_probe(store, Accounts(Account("acct_1", "test", clock_ms=now_ms - 90_000))).probe_if_due(Side.STRIPE)
    check = found(store)
    assert check is not None
    assert check.clock_error_ms == 90_000
    clock.advance(PROBE_INTERVAL_MS)
    make_probe(store, Accounts(Account("acct_1", "test"))).probe_if_due(Side.STRIPE)
    check = found(store)
    assert check is not None
    assert check.clock_error_ms == 0


def test_a_side_that_an_operator_paused_is_left_alone_and_a_defect_ends_no_probe(store: Store) -> None:
    port = Accounts(ValueError("a defect"))
    probe = make_probe(store, port)
    probe.probe_if_due(Side.STRIPE)
    assert (port.calls, found(store)) == (1, None)
    pause_sides(store, [Side.STRIPE], ADA)
    make_probe(store, port).probe_if_due(Side.STRIPE)
    assert port.calls == 1


def test_it_ends_when_the_program_stops(store: Store) -> None:
    port = Accounts(Account("acct_1", "test"))
    probe = make_probe(store, port)
    probe.stopping.set()
    probe.run()
    assert port.calls == 0


def test_a_refused_key_beside_a_wrong_clock_names_the_clock(store: Store) -> None:
    ahead_ms = 7_200_000
    error = CallError(Side.STRIPE, Failure.UNAUTHORISED, "invalid", 401, clock_ms=store.now_ms() - ahead_ms)
    make_probe(store, Accounts(error)).probe_if_due(Side.STRIPE)
    check = found(store)
    assert check is not None
    assert abs(check.clock_error_ms - ahead_ms) < 10_000
    alarms = read_alarms(store)
    assert any("refuses the key" in alarm for alarm in alarms)
    assert any("the clock of the database is 2 h ahead of stripe's" in alarm for alarm in alarms)
