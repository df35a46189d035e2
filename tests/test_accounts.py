"""Nothing is sent to a side before it has said whose key it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from wanesync.accounts import RETRY_INTERVAL_S, AccountGate, Pins
from wanesync.core.errors import CallError, Failure, VendorUnavailable, WanesyncError, WrongAccount
from wanesync.core.model import Side
from wanesync.core.ports import Account


@dataclass
class Town:
    """A side that says what it is told to, the requests that passed, and a clock."""

    says: Account | CallError
    asked: int = 0
    passed: int = 0
    now_s: float = 0.0
    identity: AccountGate = field(init=False)

    def __post_init__(self) -> None:
        self.identity = AccountGate(
            Side.HUBSPOT, self.ask, Pins("4242").check_hubspot, self.let_pass, lambda: self.now_s
        )

    def ask(self) -> Account:
        self.asked += 1
        if isinstance(self.says, CallError):
            raise self.says
        return self.says

    def let_pass(self) -> None:
        self.passed += 1

    def refused(self) -> CallError:
        with pytest.raises(CallError) as caught:
            self.identity.pass_gate()
        return caught.value


def failed(failure: Failure, retry_after_ms: int | None = None) -> CallError:
    return CallError(Side.HUBSPOT, failure, "it said no", retry_after_ms=retry_after_ms)


OURS, OTHERS = Account("4242", "live"), Account("7", "live")


def test_a_known_account_is_asked_for_once() -> None:
    town = Town(OURS)
    assert town.identity.begin(patient=True) == OURS
    for _ in range(3):
        town.identity.pass_gate()
    assert (town.asked, town.passed) == (1, 3)


def test_without_patience_a_side_that_does_not_answer_stops_the_start() -> None:
    with pytest.raises(VendorUnavailable, match="cannot be reached"):
        Town(failed(Failure.UNAVAILABLE)).identity.begin(patient=False)
    with pytest.raises(WanesyncError, match="does not accept the key") as caught:
        Town(failed(Failure.UNAUTHORISED)).identity.begin(patient=False)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("patient", [True, False])
def test_another_account_is_refused_at_the_start(patient: bool) -> None:
    with pytest.raises(WrongAccount, match="belongs to HubSpot portal 4242"):
        Town(OTHERS).identity.begin(patient=patient)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (Failure.UNREACHED, Failure.UNREACHED),
        (Failure.NO_ANSWER, Failure.UNREACHED),
        (Failure.SERVER, Failure.UNREACHED),
        (Failure.UNAUTHORISED, Failure.UNAUTHORISED),
        (Failure.FORBIDDEN, Failure.UNAUTHORISED),
    ],
)
def test_until_it_is_known_nothing_leaves_and_the_engine_is_told_so(failure: Failure, told: Failure) -> None:
    town = Town(failed(failure, 4_000))
    assert town.identity.begin(patient=True) is None
    error = town.refused()
    assert (error.failure, error.reason, error.retry_after_ms) == (told, "it said no", 4_000)
    assert town.passed == 0
    town.says, town.now_s = OURS, RETRY_INTERVAL_S
    town.identity.pass_gate()
    town.identity.pass_gate()
    assert (town.asked, town.passed) == (3, 2)


def test_calls_in_line_share_one_answer() -> None:
    town = Town(failed(Failure.UNREACHED))
    for _ in range(5):
        town.refused()
    assert town.asked == 1
    town.now_s = RETRY_INTERVAL_S
    town.refused()
    assert town.asked == 2


def test_another_account_that_turns_up_late_gets_nothing() -> None:
    town = Town(failed(Failure.UNREACHED))
    town.identity.begin(patient=True)
    town.says = OTHERS
    error = town.refused()
    assert (error.failure, town.passed) == (Failure.UNAUTHORISED, 0)
    assert "belongs to HubSpot portal 4242, the configuration to 7" in error.reason
