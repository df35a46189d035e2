"""Plans of one contact: which customer is primary, what a deletion and a merge change, what is written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import (
    FIELDS,
    HUBSPOT,
    STRIPE,
    contact,
    context,
    customer,
    link,
    only_action,
    run,
    stored,
)
from wanesync.core.model import Conflict, Deletion, LinkState, Parked, PutBack, Record, Side
from wanesync.core.plan import COUNTERPART_DELETED, Plan, Tombstone

ADA = "ada@example.com"


# -- several customers of one contact


def test_all_customers_with_the_address_are_linked_and_the_billed_one_is_primary() -> None:
    billed = replace(customer("cus_1", email=ADA), billed=True, created_ms=1)
    newer = replace(customer("cus_2", email=ADA), created_ms=9)
    outcome = run(context("contact:1", contact(email=ADA), billed, newer))
    assert {k.stripe_id: k.primary for k in outcome.links.values()} == {"cus_1": True, "cus_2": False}


def test_of_customers_never_billed_the_newest_is_primary() -> None:
    older = replace(customer("cus_1", email=ADA), created_ms=1)
    newer = replace(customer("cus_2", email=ADA), created_ms=9)
    outcome = run(context("contact:1", contact(email=ADA), older, newer))
    assert {k.stripe_id: k.primary for k in outcome.links.values()} == {"cus_1": False, "cus_2": True}


def test_a_primary_stays_primary_when_another_customer_is_linked() -> None:
    billed = replace(customer("cus_2", email=ADA), billed=True)
    at = context("contact:1", contact(email=ADA), customer(email=ADA), billed, links=[link()])
    assert [(k.stripe_id, k.primary) for k in run(at).links.values() if k.primary] in ([], [("cus_1", True)])


def test_fields_flow_only_between_a_contact_and_its_primary_customer() -> None:
    links = [link(base={"phone": ("110", "110")}), link(customer_id="cus_2", primary=False)]
    people = contact(email=ADA, phone="112"), customer(email=ADA, phone="110"), customer("cus_2", email=ADA, phone="1")
    outcome = run(context("contact:1", *people, links=links))
    assert {action.target_id for action in outcome.actions.values()} == {"cus_1"}


# -- deletions


def test_a_deleted_contact_orphans_its_links_and_leaves_a_tombstone() -> None:
    gone = stored(contact(email=ADA), deleted=True)
    outcome = run(context("contact:1", gone, customer(email=ADA), links=[link()]))
    assert [k.state for k in outcome.links.values()] == [LinkState.ORPHANED]
    assert outcome.tombstones == [Tombstone(HUBSPOT, "1", frozenset({ADA}), 0)]
    assert not outcome.actions


def test_a_deleted_customer_orphans_its_link_and_is_not_made_again() -> None:
    gone = stored(customer(email=ADA), deleted=True)
    outcome = run(context("contact:1", contact(email=ADA), gone, links=[link()]))
    assert [k.state for k in outcome.links.values()] == [LinkState.ORPHANED]
    assert outcome.notes[(HUBSPOT, "1")] == COUNTERPART_DELETED
    assert [grave.side for grave in outcome.tombstones] == [STRIPE]
    assert not outcome.actions


def test_what_is_not_put_back_any_more_because_its_customer_is_deleted_is_kept() -> None:
    back = PutBack(HUBSPOT, "112", ("110", "110"), contested=True)
    gone = stored(customer(email=ADA), deleted=True)
    before = link(base={"phone": ("110", "110")}, put_back={"phone": back})
    outcome = run(context("contact:1", contact(email=ADA, phone="110"), gone, links=[before]))
    assert [dict(after.put_back) for after in outcome.links.values()] == [{}]
    assert outcome.conflicts == [(Conflict(HUBSPOT, "1", "phone", "112", "overwritten"), before.id)]


@pytest.mark.parametrize("side", list(Side))
def test_of_a_deleted_contact_the_customer_s_buried_value_is_kept_and_its_own_waits(side: Side) -> None:
    back = PutBack(side, "112", ("110", "110"), contested=True)
    gone = stored(contact(email=ADA, phone="110"), deleted=True)
    before = link(base={"phone": ("110", "110")}, put_back={"phone": back})
    outcome = run(context("contact:1", gone, customer(email=ADA, phone="110"), links=[before]))
    waits = side is HUBSPOT
    assert [dict(after.put_back) for after in outcome.links.values()] == [{"phone": back} if waits else {}]
    assert [conflict.value for conflict, _ in outcome.conflicts] == ([] if waits else ["112"])


def test_the_customer_of_a_deleted_contact_is_not_given_a_new_one() -> None:
    orphan = link(primary=False, state=LinkState.ORPHANED)
    outcome = run(
        context("customer:cus_1", stored(contact(email=ADA), deleted=True), customer(email=ADA), links=[orphan])
    )
    assert outcome.notes[(STRIPE, "cus_1")] == COUNTERPART_DELETED
    assert not outcome.actions


def test_a_contact_made_by_hand_after_a_deletion_is_linked() -> None:
    orphan = link(primary=False, state=LinkState.ORPHANED)
    people = stored(contact(email=ADA), deleted=True), contact("2", email=ADA), customer(email=ADA)
    outcome = run(context("contact:2", *people, links=[orphan], tombstones={ADA: Deletion(0)}))
    assert outcome.linked == [("2", "cus_1")]


def test_when_a_primary_is_deleted_another_customer_takes_its_place() -> None:
    links = [link(base={"phone": ("110", "110")}), link(customer_id="cus_2", primary=False)]
    people = contact(email=ADA, phone="110"), stored(customer(email=ADA), deleted=True), customer("cus_2", email=ADA)
    outcome = run(context("contact:1", *people, links=links))
    assert {k.stripe_id: (k.state, k.primary) for k in outcome.links.values()} == {
        "cus_1": (LinkState.ORPHANED, False),
        "cus_2": (LinkState.ACTIVE, True),
    }


def test_a_new_primary_starts_from_the_contacts_half_and_its_own_values_so_no_blank_is_filled() -> None:
    links = [link(base={"phone": ("110", "110")}), link(customer_id="cus_2", primary=False)]
    people = contact(email=ADA, phone="110"), stored(customer(email=ADA), deleted=True), customer("cus_2", email=ADA)
    outcome = run(context("contact:1", *people, links=links))
    assert outcome.links[links[1].id].base["phone"] == ("110", "")
    assert "phone" not in {name for action in outcome.actions.values() for name in action.changes}


def test_what_a_new_primary_agreed_on_long_ago_does_not_count() -> None:
    links = [
        link(base={"phone": ("110", "110")}),
        link(customer_id="cus_2", primary=False, base={"phone": ("1", "1")}),
    ]
    people = contact(phone="110"), stored(customer(), deleted=True), customer("cus_2", phone="2")
    outcome = run(context("contact:1", *people, links=links))
    assert outcome.links[links[1].id].base["phone"] == ("110", "2")
    assert not outcome.actions


def test_the_base_comes_from_the_primary_that_is_gone_and_not_from_another_customer() -> None:
    links = [
        link(customer_id="cus_0", primary=False, base={"phone": ("1", "1")}),
        link(base={"phone": ("110", "110")}),
        link(customer_id="cus_2", primary=False),
    ]
    dead = [stored(customer(i), deleted=True) for i in ("cus_0", "cus_1")]
    outcome = run(context("contact:1", contact(phone="110"), *dead, customer("cus_2", phone="2"), links=links))
    assert outcome.links[links[2].id].base["phone"] == ("110", "2")


def test_an_edit_after_the_primary_is_gone_flows_to_the_new_one() -> None:
    links = [link(base={"phone": ("110", "110")}), link(customer_id="cus_2", primary=False)]
    people = contact(email=ADA, phone="112"), stored(customer(email=ADA), deleted=True), customer("cus_2", email=ADA)
    action = only_action(run(context("contact:1", *people, links=links)))
    assert (action.target_id, action.changes["phone"].after) == ("cus_2", "112")


# -- merged contacts


def test_a_merge_takes_the_links_to_the_survivor_with_their_base() -> None:
    merged = stored(contact("1"), survivor="2")
    mine = link(base={"phone": ("110", "110")})
    outcome = run(context("contact:1", merged, contact("2"), customer(), links=[mine]))
    (moved,) = outcome.links.values()
    assert (moved.hubspot_id, moved.primary, moved.base, moved.version) == ("2", True, mine.base, 2)
    assert outcome.wake == {(HUBSPOT, "contact:2")}
    assert "contact:2" in outcome.locks


def test_the_survivor_keeps_its_own_primary() -> None:
    links = [link("1", "cus_1"), link("2", "cus_2")]
    at = context(
        "contact:1", stored(contact("1"), survivor="2"), contact("2"), customer(), customer("cus_2"), links=links
    )
    assert [(k.hubspot_id, k.stripe_id, k.primary) for k in run(at).links.values()] == [("2", "cus_1", False)]


def test_a_chain_of_merges_ends_at_the_last_survivor() -> None:
    chain = stored(contact("1"), survivor="2"), stored(contact("2"), survivor="3"), contact("3")
    outcome = run(context("contact:1", *chain, customer(), links=[link()]))
    assert [k.hubspot_id for k in outcome.links.values()] == ["3"]


def test_a_pair_is_never_linked_twice_by_a_merge() -> None:
    links = [link("1", "cus_1"), link("2", "cus_1", primary=False, state=LinkState.RELEASED)]
    at = context("contact:1", stored(contact("1"), survivor="2"), contact("2"), customer(), links=links)
    assert [(k.hubspot_id, k.state) for k in run(at).links.values()] == [("1", LinkState.ORPHANED)]


# -- merging fields


def test_nothing_is_planned_for_a_pair_of_which_one_is_in_doubt() -> None:
    for doubtful in (
        [stored(contact(phone="1"), stale=True), stored(customer(phone="2"))],
        [stored(contact(phone="1")), stored(customer(phone="2"), stale=True)],
    ):
        assert not run(context("contact:1", *doubtful, links=[link(base={"phone": ("2", "2")})])).actions


def test_a_conflict_rides_with_the_write_that_makes_it() -> None:
    at = context("contact:1", contact(phone="1"), customer(phone="2"), links=[link(base={"phone": ("0", "0")})])
    outcome = run(at)
    assert [c.value for c in only_action(outcome).conflicts] == ["2"]
    assert not outcome.conflicts


def test_what_differs_on_first_contact_is_reported_at_once() -> None:
    outcome = run(context("contact:1", contact(phone="1"), customer(phone="2"), links=[link()]))
    assert {(c.side, c.value) for c, _ in outcome.conflicts} == {(HUBSPOT, "1"), (STRIPE, "2")}


def parked_address(*others: Record) -> Plan:
    mine = link(base={"email": ("old@x.org", "old@x.org")}, parked={"email": Parked(HUBSPOT, ADA)})
    return run(context("contact:1", contact(email="old@x.org"), customer(email=ADA), *others, links=[mine]))


def test_a_parked_address_waits_while_another_contact_carries_it() -> None:
    assert not parked_address(contact("2", email=ADA)).actions


def test_a_parked_address_is_tried_again_once_the_other_contact_has_given_it_up() -> None:
    outcome = parked_address(contact("2", email="else@example.com"))
    assert only_action(outcome).changes["email"].after == ADA
    assert [dict(k.parked) for k in outcome.links.values()] == [{}]


def test_our_own_late_write_is_put_back() -> None:
    mine = link(base={"phone": ("110", "110")})
    at = context(
        "contact:1",
        contact(phone="110"),
        customer(phone="112"),
        links=[mine],
        late=frozenset({(STRIPE, "cus_1", "phone")}),
    )
    assert only_action(run(at)).changes["phone"].after == "110"


# -- printing


def test_an_agreed_pair_is_quiet() -> None:
    outcome = run(
        context("contact:1", contact(), customer(), links=[link(base=dict.fromkeys(FIELDS.by_name, ("", "")))])
    )
    assert outcome.is_empty


def test_an_unknown_key_plans_nothing() -> None:
    assert run(context("contact:404")).is_empty
    assert run(context("customer:cus_404")).is_empty
