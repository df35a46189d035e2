"""Calls as values."""

from __future__ import annotations

import pytest

from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync
from wanesync.core.errors import WanesyncError
from wanesync.core.jobs import JobKind, Priority
from wanesync.sync.calls import DONE, Call
from wanesync.sync.runtime import ProcessState, Runtime


@pytest.mark.parametrize(("priority", "bulk"), [(Priority.LIVE, False), (Priority.BULK, True)])
def test_a_call_needs_a_bulk_slot_only_if_all_its_jobs_are_bulk(
    live: LiveSync, priority: Priority, *, bulk: bool
) -> None:
    live.queue(STRIPE, "contact:1", JobKind.WRITE, priority)
    live.queue(STRIPE, "contact:2", JobKind.WRITE, Priority.BULK)
    call = Call(STRIPE, "customers.create", live.claim(STRIPE), lambda: None, lambda _tx, _answer: DONE)
    assert (call.urgency, call.slot_request.bulk, call.slot_request.operation) == (priority, bulk, "customers.create")
    assert call.slot_request is call.slot_request, "found once"


def test_a_call_is_equal_to_itself_only() -> None:
    one, other = (Call(HUBSPOT, "notes.read", [], lambda: None, lambda _tx, _answer: DONE) for _ in range(2))
    assert one != other
    assert one.urgency == 0


def test_a_process_without_a_port_says_so(live: LiveSync) -> None:
    made = live.runtime
    bare = Runtime(made.store, made.rules, made.translator, made.options, made.rng, ProcessState("w2"))
    with pytest.raises(WanesyncError, match="no HubSpot key"):
        _ = bare.hubspot
    with pytest.raises(WanesyncError, match="no Stripe key"):
        _ = bare.stripe
    assert bare.name == "w2"
    assert bare.commit("intake", lambda _tx: 7) == 7
