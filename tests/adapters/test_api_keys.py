"""A refused key is replaced and its request repeated once; any other failure is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.support.canned_server import Asked, CannedServer, Told
from tests.support.network import ANY_ADDRESS
from wanesync.adapters.api_keys import FixedKey, call_with_newest
from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions
from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions
from wanesync.core.errors import CallError, Failure
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.model import Side

FIELDS = FieldMap(DEFAULT_FIELDS)
OLD, NEW = "sk_test_old", "sk_test_new"


@dataclass
class Played:
    """A key that is replaced when it is refused."""

    value: str = OLD
    next: str = NEW
    refused: list[str] = field(default_factory=list)

    def current(self) -> str:
        return self.value

    def renew(self, refused: str) -> bool:
        self.refused.append(refused)
        found = self.value != self.next
        self.value = self.next
        return found


def failing(failure: Failure, times: int) -> Callable[[], int]:
    calls = iter(range(10))

    def call() -> int:
        number = next(calls)
        if number < times:
            raise CallError(Side.STRIPE, failure, "refused")
        return number

    return call


def test_a_refused_key_is_replaced_once() -> None:
    assert call_with_newest(Played(), failing(Failure.UNAUTHORISED, 1)) == 1
    with pytest.raises(CallError):
        call_with_newest(Played(), failing(Failure.UNAUTHORISED, 2))
    with pytest.raises(CallError):
        call_with_newest(FixedKey(OLD), failing(Failure.UNAUTHORISED, 1))


@pytest.mark.parametrize("failure", [Failure.FORBIDDEN, Failure.NO_ANSWER, Failure.RATE_LIMITED])
def test_no_other_failure_asks_for_a_key(failure: Failure) -> None:
    key = Played()
    with pytest.raises(CallError):
        call_with_newest(key, failing(failure, 1))
    assert key.refused == []


def test_requests_of_both_sides_carry_the_key_of_the_moment() -> None:
    def answer(asked: Asked) -> Told:
        if asked.headers["Authorization"] == f"Bearer {OLD}":
            return Told(401, {"error": {"code": "api_key_expired"}, "category": "EXPIRED_AUTHENTICATION"})
        return Told(200, {"id": "acct_1", "portalId": 1})

    with CannedServer(answer=answer) as server:
        gates: list[str] = []
        for build in (hubspot, stripe):
            key = Played()
            build(server.url, key, lambda: gates.append("passed"))
            assert key.refused == [OLD]
        sent = [asked.headers["Authorization"] for asked in server.asked]
    assert sent == [f"Bearer {OLD}", f"Bearer {NEW}"] * 2
    # Each of them took a slot of its own.
    assert len(gates) == 4


def hubspot(url: str, key: Played, gate: Callable[[], None]) -> None:
    options = HubSpotOptions("pat-unused", url, gate=gate, network=ANY_ADDRESS, key=key)
    HubSpotAdapter(options, FIELDS).account()


def stripe(url: str, key: Played, gate: Callable[[], None]) -> None:
    options = StripeOptions("sk_test_unused", url, gate=gate, network=ANY_ADDRESS, key=key, event_key=b"k")
    StripeAdapter(options, FIELDS).account()
