"""Which write of ours caused which webhook: by Stripe's key, on HubSpot by the value and the time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wanesync.core.model import Change, Event, PendingWrite, Side, WriteKind
from wanesync.core.operating.echoes import AFTER_MS, Basis, Cause, find_cause

SENT_MS = 1_000_000
TO_CONTACT = PendingWrite(
    "w1", Side.HUBSPOT, WriteKind.UPDATE, "contact:1", "cus_1", "1", "", "", {"city": Change("a", "Ulm", "Ulm")},
    sent_ms=SENT_MS,
)  # fmt: skip
TO_CUSTOMER = replace(TO_CONTACT, id="w2", side=Side.STRIPE, target_id="cus_1", idempotency_key="key-2")
OF_CONTACT = Event("e1", Side.HUBSPOT, "updated", "1", SENT_MS + 40, {"city": "Ulm"}, source="INTEGRATION/7")


def test_stripe_names_the_request() -> None:
    event = Event("e2", Side.STRIPE, "updated", "cus_1", SENT_MS, {"city": "Ulm"}, request_key="key-2")
    assert find_cause(event, [TO_CONTACT, TO_CUSTOMER]) == Cause("w2", Basis.KEY)
    assert find_cause(replace(event, request_key="another"), [TO_CUSTOMER]) is None
    assert find_cause(replace(event, request_key=""), [TO_CUSTOMER]) is None


def test_hubspot_s_is_known_by_value_and_time() -> None:
    assert find_cause(OF_CONTACT, [TO_CUSTOMER, TO_CONTACT]) == Cause("w1", Basis.VALUE)
    newer = replace(TO_CONTACT, id="w3", sent_ms=SENT_MS + 10)
    assert find_cause(OF_CONTACT, [newer, TO_CONTACT]) == Cause("w3", Basis.VALUE)


@pytest.mark.parametrize(
    "event",
    [
        replace(OF_CONTACT, source="user:CRM_UI/anna"),
        replace(OF_CONTACT, record_id="2"),
        replace(OF_CONTACT, values={"city": "Bonn"}),
        replace(OF_CONTACT, values={"phone": "Ulm"}),
        replace(OF_CONTACT, values={}),
        replace(OF_CONTACT, occurred_ms=SENT_MS + AFTER_MS + 1),
        replace(OF_CONTACT, occurred_ms=SENT_MS - 60_000),
    ],
)
def test_an_event_of_others_has_no_cause(event: Event) -> None:
    assert find_cause(event, [TO_CONTACT]) is None


def test_a_part_of_a_name_and_a_creation() -> None:
    name = replace(TO_CONTACT, changes={"name": Change("", "Ann\x1fOde", "Ann Ode")})
    part = replace(OF_CONTACT, values={"name/firstname": "Ann"})
    assert find_cause(part, [name]) == Cause("w1", Basis.VALUE)
    made = replace(TO_CONTACT, kind=WriteKind.CREATE)
    assert find_cause(replace(OF_CONTACT, kind="created", values={}), [made]) == Cause("w1", Basis.VALUE)
