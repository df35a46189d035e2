"""Decisions, checked against the stored records before they are carried out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import (
    FIELDS,
    HUBSPOT,
    RULES,
    contact,
    customer,
    link,
    stored,
)
from tests.support.core_builders import context as made_context
from wanesync.core.diff.decision_checks import DecisionContext, check_decision, find_link
from wanesync.core.diff.decisions import Decision, Problem, read_decisions
from wanesync.core.model import BY_DECISION, Deletion, LinkState
from wanesync.core.plan import PlanContext

COLUMNS = ["hubspot_id", "stripe_id", "field", "decision"]

ADA = "ada@x.org"


def read(*lines: str, head: str = ",".join(COLUMNS)) -> tuple[list[Decision], list[Problem]]:
    return read_decisions("\n".join([head, *lines]).encode(), FIELDS.by_name)


def misfit(line: str, at: PlanContext, *others: PlanContext) -> str:
    (decision,), problems = read(line)
    assert problems == []
    records = {ref: copy for each in (at, *others) for ref, copy in each.records.items()}
    links = [k for each in (at, *others) for k in each.links if k.state is LinkState.ACTIVE]
    return check_decision(decision, DecisionContext(at, records, {k.stripe_id: k.hubspot_id for k in links}), RULES)


PAIR = made_context("contact:1", contact(email=ADA, phone="1"), customer(email=ADA, phone="2"))

LINKED = made_context("contact:1", contact(phone="1"), customer(phone="2"), links=[link()])

ALONE = made_context("contact:3", contact("3", email=ADA))

ORPHAN = made_context(
    "contact:3",
    contact("3", "cus_3", email=ADA),
    stored(customer("cus_3", email=ADA), deleted=True),
    links=[link("3", "cus_3", state=LinkState.ORPHANED, primary=False)],
    tombstones={ADA: Deletion(10)},
)

BURIED = made_context("contact:3", contact("3", email=ADA), tombstones={ADA: Deletion(10, erased=True)})

EXCLUDED = made_context("contact:3", stored(contact("3", email=ADA), note=BY_DECISION))


@pytest.mark.parametrize(
    ("line", "at", "reason"),
    [
        ("1,cus_1,phone,stripe", PAIR, ""),
        ("1,cus_1,phone,stripe", LINKED, ""),
        ("1,cus_1,,exclude", PAIR, ""),
        ("1,cus_1,,exclude", LINKED, ""),
        ("1,,,create", LINKED, "the record is linked"),
        ("1,,,create", PAIR, "its other record already"),
        ("3,,,create", ALONE, ""),
        ("3,,,create", EXCLUDED, ""),
        ("3,,,create", ORPHAN, ""),
        ("3,,,lift", ORPHAN, "no privacy deletion concerns it"),
        ("3,,,create", BURIED, "write lift"),
        ("3,,,lift", BURIED, ""),
        ("3,,,create", made_context("contact:3", contact("3")), "no e-mail"),
        ("3,,,exclude", ALONE, ""),
        ("1,,,exclude", LINKED, "name both records"),
        ("3,,,skip", made_context("contact:3"), "unknown"),
        ("3,,,skip", made_context("contact:3", stored(contact("3"), deleted=True)), "deleted or merged"),
        ("1,cus_1,,stripe", made_context("contact:1", contact(), customer()), "no pair"),
        ("1,cus_1,,exclude", made_context("contact:1", contact(), customer()), "no pair"),
        ("1,,,link 1", LINKED, "another contact"),
        ("1,,,link cus_9", LINKED, "unknown"),
    ],
)
def test_a_decision_fits_what_is_known(line: str, at: PlanContext, reason: str) -> None:
    said = misfit(line, at)
    assert (reason in said) if reason else not said


def test_a_customer_has_one_contact() -> None:
    other = made_context("contact:2", contact("2"))
    assert "exclude that pair first" in misfit("2,,,link cus_1", other, LINKED)
    assert misfit("1,,,link cus_1", LINKED) == ""
    free = made_context("customer:cus_1", customer())
    assert misfit("2,,,link cus_1", other, free) == ""


def test_a_name_that_cannot_be_split_does_not_win() -> None:
    at = made_context("contact:1", contact(), customer(name="Ada Augusta King Byron"), links=[link()])
    said = misfit("1,cus_1,name,stripe", at)
    converted = FIELDS.by_name["name"].convert(HUBSPOT, "Ada Augusta King Byron", "")
    assert ("without a guess" in said) == (converted is None)


def test_nothing_wins_over_a_second_customer() -> None:
    two = made_context(
        "contact:1", contact(), customer(), customer("cus_2"), links=[link(), link("1", "cus_2", primary=False)]
    )
    assert "second customer" in misfit("1,cus_2,phone,stripe", two)
    assert misfit("1,cus_2,,exclude", two) == ""


def test_a_decision_about_a_deleted_record_or_a_link_to_one_does_not_fit() -> None:
    deleted = made_context("contact:3", stored(contact("3", email=ADA), deleted=True))
    assert "deleted" in misfit("3,,,skip", deleted)
    alone = made_context("contact:1", contact(email=ADA))
    gone = made_context("customer:cus_9", stored(customer("cus_9"), deleted=True))
    assert "deleted" in misfit("1,,,link cus_9", alone, gone)


def test_a_winner_between_a_contact_and_its_second_customer_does_not_fit() -> None:
    links = [link(), link(customer_id="cus_2", primary=False)]
    at = made_context("contact:1", contact(phone="1"), customer(), customer("cus_2", phone="2"), links=links)
    assert "second customer" in misfit("1,cus_2,phone,hubspot", at)


def test_a_winner_of_every_field_of_a_pair_fits() -> None:
    assert misfit("1,cus_1,,hubspot", LINKED) == ""


def test_a_link_counts_once_it_is_planned_and_no_longer_once_it_is_closed() -> None:
    planned = link()
    pair = (planned.hubspot_id, planned.stripe_id)
    assert find_link(pair, ALONE, {}) is None
    assert find_link(pair, ALONE, {planned.id: planned}) == planned
    assert find_link(pair, LINKED, {planned.id: replace(planned, state=LinkState.RELEASED)}) is None
