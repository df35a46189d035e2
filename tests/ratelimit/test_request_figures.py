"""Requests are counted by the operation that was announced for them."""

from __future__ import annotations

import pytest

from tests.support.virtual_clock import VirtualClock
from wanesync.core.model import Side
from wanesync.core.operating.figures import Figure, RequestResult
from wanesync.core.ports import RequestEnd
from wanesync.core.rate_limits import SlotRequest
from wanesync.ratelimit.pacer import Pacer
from wanesync.ratelimit.request_figures import RequestFigures, find_result
from wanesync.store import open_store


def test_a_request_counts_for_its_operation_and_one_without_for_others() -> None:
    clock = VirtualClock()
    store = open_store("sqlite::memory:", migrate=True, clock=clock.as_database_clock())
    pacer = Pacer(store, clock, Side.STRIPE)
    figures = RequestFigures(pacer)
    figures.count(RequestEnd(200, 3.0))
    pacer.announce(0, SlotRequest("customers.create"))
    figures.count(RequestEnd(429, 40.0, "req_1"))
    counted = {labels: amount for (name, labels), amount in store.figures.pending().items()}
    assert {labels: amount.count for labels, amount in counted.items()} == {
        "side=stripe,operation=other,result=ok": 1,
        "side=stripe,operation=customers.create,result=rate_limited": 1,
        "side=stripe,operation=other": 1,
        "side=stripe,operation=customers.create": 1,
    }
    assert store.figures.pending()[Figure.VENDOR_CALL, "side=stripe,operation=customers.create"].total_ms == 40
    store.close()


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (0, RequestResult.NO_ANSWER),
        (204, RequestResult.OK),
        (400, RequestResult.REFUSED),
        (429, RequestResult.RATE_LIMITED),
        (503, RequestResult.FAILED),
    ],
)
def test_a_result_follows_from_the_status(status: int, result: RequestResult) -> None:
    assert find_result(status) is result
