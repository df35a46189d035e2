"""Excluded records: the planner leaves them alone, whatever else exists, until an operator decides otherwise."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from tests.support.core_builders import contact, context, customer, link, only_action, run, stored
from wanesync.core.model import (
    BY_DECISION,
    COUNTERPART_EXCLUDED,
    MERGED_EXCLUDED,
    WANTED,
    LinkState,
    Record,
    Side,
    StoredRecord,
)

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


# -- merges (docs/correctness.md#merges)

APART = link(primary=False, state=LinkState.RELEASED)
"""An operator unlinked customer cus_1 from contact 1."""


def merged(record: Record, survivor: str = "9", **facts: object) -> StoredRecord:
    return stored(record, survivor=survivor, **facts)


@pytest.mark.parametrize("chain", [("9",), ("5", "9")])
def test_a_pair_taken_apart_stays_apart_when_the_contact_is_merged(chain: tuple[str, ...]) -> None:
    ones = [merged(contact(email=ADA), chain[0])]
    ones += [merged(contact(one), after) for one, after in itertools.pairwise(chain)]
    survivor = contact("9", other_id="cus_1", email=ADA)
    named = customer(other_id="1", email=ADA)
    for key, ref in (("contact:9", (Side.HUBSPOT, "9")), ("customer:cus_1", (Side.STRIPE, "cus_1"))):
        outcome = run(context(key, survivor, named, *ones, links=[APART]))
        assert (outcome.actions, outcome.links, outcome.wake) == ({}, {}, set())
        assert outcome.notes == {ref: COUNTERPART_EXCLUDED}


def test_no_other_customer_is_created_for_the_survivor_of_a_contact_that_was_unlinked() -> None:
    people = (contact("9", email="new@x.org"), merged(contact()), customer(email="other@x.org"))
    outcome = run(context("contact:9", *people, links=[APART]))
    assert (outcome.actions, outcome.notes) == ({}, {(Side.HUBSPOT, "9"): COUNTERPART_EXCLUDED})


@pytest.mark.parametrize("survivor_id", ["9", "3"])
def test_a_link_of_another_merged_contact_with_the_unlinked_customer_ends_unless_an_operator_made_it(
    survivor_id: str,
) -> None:
    others = [merged(contact(one), survivor_id) for one in ("1", "3") if one != survivor_id]
    people: list[Record | StoredRecord] = [contact(survivor_id, email=ADA), customer(email=ADA), *others]
    by_itself = run(context(f"contact:{survivor_id}", *people, links=[APART, link("3", base={"email": (ADA, ADA)})]))
    assert [kept.state for kept in by_itself.links.values()] == [LinkState.ORPHANED]
    assert by_itself.parted == [(survivor_id, "cus_1")]
    assert by_itself.notes == {(Side.HUBSPOT, survivor_id): COUNTERPART_EXCLUDED}
    again = context(f"contact:{survivor_id}", *people, links=[APART, *by_itself.links.values()])
    assert run(again).links == {}, "and does not come back"
    decided = link("3", base={"email": (ADA, ADA)}, decided=True)
    links = run(context(f"contact:{survivor_id}", *people, links=[APART, decided])).links or {decided.id: decided}
    assert [(kept.hubspot_id, kept.state) for kept in links.values()] == [(survivor_id, LinkState.ACTIVE)]


def test_a_link_that_an_operator_made_takes_the_place_of_the_survivors_released_one() -> None:
    people: list[Record | StoredRecord] = [contact(email=ADA), customer(email=ADA), merged(contact("3"), "1")]
    decided = link("3", base={"email": (ADA, ADA)}, decided=True)
    links = run(context("contact:1", *people, links=[APART, decided])).links
    assert (links[APART.id].state, links[APART.id].base["email"]) == (LinkState.ACTIVE, (ADA, ADA))
    assert links[decided.id].state is LinkState.ORPHANED
    assert list(links) == [decided.id, APART.id], "one active link of a customer: the old one ends first"


@pytest.mark.parametrize("others", [["1"], ["1", "3"]])
def test_nothing_is_created_or_linked_for_the_survivor_of_an_excluded_contact(others: list[str]) -> None:
    """Also where another one, which was not excluded, was merged with it."""
    ones = [merged(contact(one), note=BY_DECISION if one == "1" else None) for one in others]
    survivor = contact("9", email=ADA)
    alone = run(context("contact:9", survivor, *ones))
    assert (alone.actions, alone.notes) == ({}, {(Side.HUBSPOT, "9"): MERGED_EXCLUDED})
    beside = run(context("contact:9", survivor, customer(email=ADA), *ones))
    assert (beside.links, beside.notes[Side.HUBSPOT, "9"]) == ({}, MERGED_EXCLUDED)
    theirs = run(context("customer:cus_1", survivor, customer(email=ADA), *ones))
    assert (theirs.actions, theirs.wake, theirs.notes) == ({}, set(), {(Side.STRIPE, "cus_1"): COUNTERPART_EXCLUDED})


def test_a_link_of_a_contact_that_was_merged_with_an_excluded_one_goes_on() -> None:
    ones = [merged(contact("1"), note=BY_DECISION), merged(contact("3"))]
    people: list[Record | StoredRecord] = [contact("9", email=ADA, city="Rome"), customer(email=ADA, city="Ulm"), *ones]
    base = {"email": (ADA, ADA), "city": ("Ulm", "Ulm")}
    assert only_action(run(context("contact:9", *people, links=[link("3", base=base)]))).target_id == "cus_1"


def test_an_operators_later_decision_for_the_survivor_wins() -> None:
    ones = [merged(contact("1"), note=BY_DECISION)]
    wanted = stored(contact("9", email=ADA), note=WANTED)
    assert only_action(run(context("contact:9", wanted, *ones))).target_id == ""
    assert only_action(run(context("contact:9", replace(wanted, note=None), merged(contact("1"))))).target_id == ""
