"""Excluded records: the planner leaves them alone, whatever else exists, until an operator decides otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import contact, context, customer, link, only_action, run, stored
from wanesync.core.model import BY_DECISION, COUNTERPART_EXCLUDED, LinkState, Side

ADA = "ada@x.org"
CONTACT, CUSTOMER = stored(contact(email=ADA), note=BY_DECISION), stored(customer(email=ADA), note=BY_DECISION)


@pytest.mark.parametrize("key", ["contact:1", "customer:cus_1"])
def test_nothing_is_created_for_an_excluded_record(key: str) -> None:
    assert run(context(key, CONTACT if key == "contact:1" else CUSTOMER)).is_empty


@pytest.mark.parametrize("key", ["contact:1", "customer:cus_1"])
def test_an_excluded_record_is_not_linked_and_nothing_is_created_for_it(key: str) -> None:
    for people in ([CONTACT, customer(email=ADA)], [contact(email=ADA), CUSTOMER], [CONTACT, CUSTOMER]):
        outcome = run(context(key, *people))
        assert (outcome.actions, outcome.links, outcome.wake) == ({}, {}, set())
        assert BY_DECISION not in outcome.notes.values()
        assert set(outcome.notes.values()) <= {COUNTERPART_EXCLUDED}


def test_the_record_beside_an_excluded_one_says_why() -> None:
    assert run(context("contact:1", contact(email=ADA), CUSTOMER)).notes == {(Side.HUBSPOT, "1"): COUNTERPART_EXCLUDED}
    assert run(context("customer:cus_1", CONTACT, customer(email=ADA))).notes == {
        (Side.STRIPE, "cus_1"): COUNTERPART_EXCLUDED
    }


def test_with_one_of_two_claimants_excluded_the_other_gets_the_customer() -> None:
    claims = stored(contact("2", other_id="cus_1", email="b@x.org"))
    mine = contact("1", email=ADA)
    assert not run(context("contact:1", mine, claims, customer(email=ADA))).linked
    outcome = run(context("contact:1", mine, replace(claims, note=BY_DECISION), customer(email=ADA)))
    assert outcome.linked == [("1", "cus_1")]


def test_a_pair_taken_apart_stays_apart_and_says_so() -> None:
    apart = link(primary=False, state=LinkState.RELEASED)
    for key, ref in (("contact:1", (Side.HUBSPOT, "1")), ("customer:cus_1", (Side.STRIPE, "cus_1"))):
        outcome = run(context(key, contact(email=ADA), customer(email=ADA), links=[apart]))
        assert (outcome.actions, outcome.links, outcome.wake) == ({}, {}, set())
        assert outcome.notes == {ref: COUNTERPART_EXCLUDED}


def test_once_the_exclusion_is_lifted_all_is_planned() -> None:
    assert only_action(run(context("contact:1", replace(CONTACT, note=None)))).target_id == ""
    assert run(context("contact:1", replace(CONTACT, note=None), customer(email=ADA))).linked == [("1", "cus_1")]
