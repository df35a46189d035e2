"""One pass over a key: linking, electing, creating, mourning and merging, each in a scene of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.unit.core_builders import (
    FIELDS,
    HUBSPOT,
    RULES,
    STRIPE,
    contact,
    customer,
    full_name,
    link,
    only_action,
    seen,
    written_by,
)
from wanesync.core.action import EXCLUDED, FIRST_LISTING, Plan, Rules
from wanesync.core.fields import Direction, FieldMap
from wanesync.core.match import Scene
from wanesync.core.model import Answer, Change, Link, LinkState, OwnWrite, Record, Seen, Side, WriteKind
from wanesync.core.plan import base_of_create, plan

ADA = "ada@example.com"


def scene(key: str, *records: Record | Seen, links: Iterable[Link] = (), **facts: object) -> Scene:
    """A scene of copies; a bare record is one we have just seen."""
    copies = [r if isinstance(r, Seen) else seen(r) for r in records]
    made = Scene(key, {(s.side, s.id): s for s in copies}, list(links))
    return replace(made, **facts)  # type: ignore[arg-type]


def run(at: Scene, rules: Rules = RULES) -> Plan:
    return plan(at, rules, "new")


def create(side: Side, source_id: str, key: str = "k", **changes: Change) -> OwnWrite:
    """An open creation of ours."""
    return OwnWrite("own", side, WriteKind.CREATE, "key", source_id, "", key, "{}", changes)


# -- creation


def test_a_contact_nobody_matches_gets_a_customer() -> None:
    action = only_action(run(scene("contact:1", contact(email=ADA, phone="110"))))
    assert (action.side, action.kind, action.source_id, action.target_id) == (STRIPE, WriteKind.CREATE, "1", "")
    assert written_by(action, blanks=False) == {"email": ADA, "phone": "110"}
    assert action.hmacs == {ADA}


def test_a_customer_nobody_matches_gets_a_contact() -> None:
    action = only_action(run(scene("customer:cus_1", customer(email=ADA, name="Ada Byron"))))
    assert (action.side, action.kind, action.source_id) == (HUBSPOT, WriteKind.CREATE, "cus_1")
    assert written_by(action, blanks=False) == {"email": ADA, "name": full_name("Ada", "Byron")}


def test_a_creation_tells_what_both_sides_held_for_every_field() -> None:
    source = contact(email=ADA, country="Germany")
    action = only_action(run(scene("contact:1", source)))
    base = base_of_create(create(STRIPE, "1", **dict(action.changes)))
    assert set(base) == set(FIELDS.by_name)
    assert (base["email"], base["country"], base["city"]) == ((ADA, ADA), ("Germany", "DE"), ("", ""))


def test_a_business_name_is_left_out_of_a_new_contact() -> None:
    action = only_action(run(scene("customer:cus_1", customer(email=ADA, name="Acme GmbH"))))
    assert action.changes["name"] == Change("", "", "Acme GmbH")


def test_a_field_that_does_not_flow_there_is_left_out_of_a_creation() -> None:
    specs = tuple(replace(s, direction=Direction.TO_HUBSPOT) if s.name == "phone" else s for s in FIELDS.specs)
    action = only_action(run(scene("contact:1", contact(email=ADA, phone="110")), Rules(FieldMap(specs))))
    assert action.changes["phone"] == Change("", "", "110")


@pytest.mark.parametrize(
    ("key", "record"), [("contact:1", contact(email=ADA)), ("customer:cus_1", customer(email=ADA))]
)
class TestNothingIsCreated:
    def test_before_the_first_listing(self, key: str, record: Record) -> None:
        outcome = run(scene(key, record, listed=False))
        assert not outcome.actions
        assert outcome.notes == {(record.side, record.id): FIRST_LISTING}

    def test_for_an_address_under_a_tombstone(self, key: str, record: Record) -> None:
        outcome = run(scene(key, record, tombstones=frozenset({ADA})))
        assert not outcome.actions
        assert outcome.notes[(record.side, record.id)].startswith("orphaned")

    def test_while_the_address_is_held_by_another_creation(self, key: str, record: Record) -> None:
        outcome = run(scene(key, record, holders={ADA: "contact:99"}))
        assert not outcome.actions
        assert outcome.wait

    def test_while_a_read_is_under_way(self, key: str, record: Record) -> None:
        outcome = run(scene(key, record, reading=frozenset({(record.side, record.id)})))
        assert not outcome.actions
        assert outcome.wait

    def test_from_a_record_in_doubt(self, key: str, record: Record) -> None:
        assert not run(scene(key, seen(record, in_doubt=True))).actions

    def test_where_the_operator_does_not_want_it(self, key: str, record: Record) -> None:
        outcome = run(scene(key, record), Rules(FIELDS, create_customers=False, create_contacts=False))
        assert not outcome.actions
        assert outcome.notes[(record.side, record.id)].startswith("excluded")

    def test_without_an_address(self, key: str, record: Record) -> None:
        nameless = seen(replace(record, values={}, emails=frozenset()))
        outcome = run(scene(key, nameless))
        assert not outcome.actions
        assert outcome.notes == {(record.side, record.id): EXCLUDED}

    def test_from_a_deleted_record(self, key: str, record: Record) -> None:
        assert not run(scene(key, seen(record, deleted=True))).actions


def test_a_creation_of_ones_own_key_is_planned_again() -> None:
    assert run(scene("contact:1", contact(email=ADA), holders={ADA: "contact:1"})).actions


def test_a_reason_that_no_longer_holds_is_lifted() -> None:
    excluded = seen(contact(email=ADA), note=EXCLUDED)
    assert run(scene("contact:1", excluded)).notes == {(HUBSPOT, "1"): ""}


# -- linking


def test_a_contact_and_a_customer_with_one_address_are_linked() -> None:
    outcome = run(scene("contact:1", contact(email=ADA), customer(email="Ada@Example.com ")))
    (made,) = outcome.links.values()
    assert (made.hubspot_id, made.stripe_id, made.primary, made.version) == ("1", "cus_1", True, 1)
    assert outcome.linked == [("1", "cus_1")]
    assert "customer:cus_1" in outcome.locks


def test_a_secondary_address_of_a_contact_links_too() -> None:
    two = seen(contact(email="main@example.com"), hmacs=frozenset({"main@example.com", ADA}))
    assert run(scene("contact:1", two, customer(email=ADA))).linked == [("1", "cus_1")]


def test_an_unlinked_customer_hands_over_to_its_contact() -> None:
    outcome = run(scene("customer:cus_1", contact(email=ADA), customer(email=ADA)))
    assert outcome.wake == {(HUBSPOT, "contact:1")}
    assert not outcome.links


def test_a_linked_customer_hands_over_to_its_contact() -> None:
    outcome = run(scene("customer:cus_1", contact(), customer(), links=[link()]))
    assert outcome.wake == {(HUBSPOT, "contact:1")}


@pytest.mark.parametrize("ref", [(HUBSPOT, "1"), (STRIPE, "cus_1")])
def test_nothing_is_linked_while_one_of_the_two_is_read(ref: tuple[Side, str]) -> None:
    outcome = run(scene("contact:1", contact(email=ADA), customer(email=ADA), reading=frozenset({ref})))
    assert outcome.wait
    assert not outcome.links


def test_what_a_creation_of_ours_made_is_linked_with_what_it_was_made_of() -> None:
    own = create(STRIPE, "1", phone=Change("", "110", "110"))
    outcome = run(
        scene("contact:1", contact(email=ADA, phone="112"), customer(other_id="1", email=ADA, phone="110"), creates=[own])
    )
    (made,) = outcome.links.values()
    assert made.base["phone"] == ("110", "110")
    assert outcome.settled == [(own, Answer.MATCHED)]
    assert only_action(outcome).changes["phone"].after == "112"


def test_the_creation_still_open_is_the_one_that_is_settled() -> None:
    given_up = replace(create(STRIPE, "1", phone=Change("", "110", "110")), id="own-0", answer=Answer.LOST)
    is_open = replace(create(STRIPE, "1", phone=Change("", "112", "112")), id="own-1", generation=1)
    people = contact(email=ADA, phone="112"), customer(other_id="1", email=ADA, phone="112")
    outcome = run(scene("contact:1", *people, creates=[given_up, is_open]))
    assert outcome.settled == [(is_open, Answer.MATCHED)]
    assert next(iter(outcome.links.values())).base["phone"] == ("112", "112")


def test_a_contact_we_made_is_known_by_the_intent_it_carries() -> None:
    own = create(HUBSPOT, "cus_1", key="intent-7", email=Change("", ADA, ADA))
    made = replace(contact(email=ADA), intent="intent-7")
    outcome = run(scene("contact:1", made, customer(email=ADA), creates=[own]))
    assert outcome.settled == [(own, Answer.MATCHED)]


def test_a_contact_somebody_else_made_does_not_settle_our_creation() -> None:
    own = create(HUBSPOT, "cus_1", key="intent-7", email=Change("", ADA, ADA))
    outcome = run(scene("contact:1", contact(email=ADA), customer(email=ADA), creates=[own]))
    assert not outcome.settled
    assert outcome.linked


def test_people_taken_apart_by_hand_are_not_linked_again() -> None:
    released = link(primary=False, state=LinkState.RELEASED)
    outcome = run(scene("contact:1", contact(email=ADA), customer(email=ADA), links=[released]))
    assert not outcome.links
    assert not outcome.actions


def test_a_customer_that_carries_a_contacts_address_but_belongs_to_another_is_ambiguous() -> None:
    at = scene("contact:2", contact("2", email=ADA), contact("1"), customer(email=ADA), links=[link()])
    outcome = run(at)
    assert outcome.notes[(HUBSPOT, "2")].startswith("ambiguous")
    assert not outcome.actions
    assert not outcome.links


def test_an_ambiguous_customer_is_reported_on_both_passes() -> None:
    people = contact("1", email=ADA), contact("2", other_id="cus_1", email="x@example.com"), customer(email=ADA)
    for key in ("contact:1", "customer:cus_1"):
        outcome = run(scene(key, *people))
        assert outcome.notes[(STRIPE, "cus_1")].startswith("ambiguous")
        assert not outcome.links
        assert not outcome.actions


def test_a_pair_that_was_linked_before_gets_its_link_back_with_a_higher_version() -> None:
    old = link(primary=False, state=LinkState.ORPHANED, version=4, base={"phone": ("1", "1")})
    outcome = run(scene("contact:1", contact(email=ADA), customer(email=ADA), links=[old]))
    (again,) = outcome.links.values()
    assert (again.id, again.state, again.version) == (old.id, LinkState.ACTIVE, 5)


# -- several customers of one contact


def test_all_customers_with_the_address_are_linked_and_the_billed_one_is_primary() -> None:
    billed = replace(customer("cus_1", email=ADA), billed=True, created_ms=1)
    newer = replace(customer("cus_2", email=ADA), created_ms=9)
    outcome = run(scene("contact:1", contact(email=ADA), billed, newer))
    assert {k.stripe_id: k.primary for k in outcome.links.values()} == {"cus_1": True, "cus_2": False}


def test_of_customers_never_billed_the_newest_is_primary() -> None:
    older = replace(customer("cus_1", email=ADA), created_ms=1)
    newer = replace(customer("cus_2", email=ADA), created_ms=9)
    outcome = run(scene("contact:1", contact(email=ADA), older, newer))
    assert {k.stripe_id: k.primary for k in outcome.links.values()} == {"cus_1": False, "cus_2": True}


def test_a_primary_stays_primary_when_another_customer_is_linked() -> None:
    billed = replace(customer("cus_2", email=ADA), billed=True)
    at = scene("contact:1", contact(email=ADA), customer(email=ADA), billed, links=[link()])
    assert [(k.stripe_id, k.primary) for k in run(at).links.values() if k.primary] in ([], [("cus_1", True)])


def test_fields_flow_only_between_a_contact_and_its_primary_customer() -> None:
    links = [link(base={"phone": ("110", "110")}), link(customer_id="cus_2", primary=False)]
    people = contact(email=ADA, phone="112"), customer(email=ADA, phone="110"), customer("cus_2", email=ADA, phone="1")
    outcome = run(scene("contact:1", *people, links=links))
    assert {action.target_id for action in outcome.actions.values()} == {"cus_1"}


# -- deletions


def test_a_deleted_contact_orphans_its_links_and_leaves_a_tombstone() -> None:
    gone = seen(contact(email=ADA), deleted=True)
    outcome = run(scene("contact:1", gone, customer(email=ADA), links=[link()]))
    assert [k.state for k in outcome.links.values()] == [LinkState.ORPHANED]
    assert outcome.tombstones == [(HUBSPOT, "1", frozenset({ADA}))]
    assert not outcome.actions


def test_a_deleted_customer_orphans_its_link_and_is_not_made_again() -> None:
    gone = seen(customer(email=ADA), deleted=True)
    outcome = run(scene("contact:1", contact(email=ADA), gone, links=[link()]))
    assert [k.state for k in outcome.links.values()] == [LinkState.ORPHANED]
    assert outcome.notes[(HUBSPOT, "1")].startswith("orphaned")
    assert [side for side, _, _ in outcome.tombstones] == [STRIPE]
    assert not outcome.actions


def test_the_customer_of_a_deleted_contact_is_not_given_a_new_one() -> None:
    orphan = link(primary=False, state=LinkState.ORPHANED)
    outcome = run(scene("customer:cus_1", seen(contact(email=ADA), deleted=True), customer(email=ADA), links=[orphan]))
    assert outcome.notes[(STRIPE, "cus_1")].startswith("orphaned")
    assert not outcome.actions


def test_a_contact_made_by_hand_after_a_deletion_is_linked() -> None:
    orphan = link(primary=False, state=LinkState.ORPHANED)
    people = seen(contact(email=ADA), deleted=True), contact("2", email=ADA), customer(email=ADA)
    outcome = run(scene("contact:2", *people, links=[orphan], tombstones=frozenset({ADA})))
    assert outcome.linked == [("2", "cus_1")]


def test_when_a_primary_is_deleted_another_customer_takes_its_place() -> None:
    links = [link(base={"phone": ("110", "110")}), link(customer_id="cus_2", primary=False)]
    people = contact(email=ADA, phone="110"), seen(customer(email=ADA), deleted=True), customer("cus_2", email=ADA)
    outcome = run(scene("contact:1", *people, links=links))
    assert {k.stripe_id: (k.state, k.primary) for k in outcome.links.values()} == {
        "cus_1": (LinkState.ORPHANED, False),
        "cus_2": (LinkState.ACTIVE, True),
    }


def test_a_new_primary_starts_from_the_contacts_half_and_its_own_values_so_no_blank_is_filled() -> None:
    links = [link(base={"phone": ("110", "110")}), link(customer_id="cus_2", primary=False)]
    people = contact(email=ADA, phone="110"), seen(customer(email=ADA), deleted=True), customer("cus_2", email=ADA)
    outcome = run(scene("contact:1", *people, links=links))
    assert outcome.links[links[1].id].base["phone"] == ("110", "")
    assert "phone" not in {name for action in outcome.actions.values() for name in action.changes}


def test_what_a_new_primary_agreed_on_long_ago_does_not_count() -> None:
    links = [
        link(base={"phone": ("110", "110")}),
        link(customer_id="cus_2", primary=False, base={"phone": ("1", "1")}),
    ]
    people = contact(phone="110"), seen(customer(), deleted=True), customer("cus_2", phone="2")
    outcome = run(scene("contact:1", *people, links=links))
    assert outcome.links[links[1].id].base["phone"] == ("110", "2")
    assert not outcome.actions


def test_the_base_comes_from_the_primary_that_is_gone_and_not_from_another_customer() -> None:
    links = [
        link(customer_id="cus_0", primary=False, base={"phone": ("1", "1")}),
        link(base={"phone": ("110", "110")}),
        link(customer_id="cus_2", primary=False),
    ]
    dead = [seen(customer(i), deleted=True) for i in ("cus_0", "cus_1")]
    outcome = run(scene("contact:1", contact(phone="110"), *dead, customer("cus_2", phone="2"), links=links))
    assert outcome.links[links[2].id].base["phone"] == ("110", "2")


def test_an_edit_after_the_primary_is_gone_flows_to_the_new_one() -> None:
    links = [link(base={"phone": ("110", "110")}), link(customer_id="cus_2", primary=False)]
    people = contact(email=ADA, phone="112"), seen(customer(email=ADA), deleted=True), customer("cus_2", email=ADA)
    action = only_action(run(scene("contact:1", *people, links=links)))
    assert (action.target_id, action.changes["phone"].after) == ("cus_2", "112")


# -- merged contacts


def test_a_merge_takes_the_links_to_the_survivor_with_their_base() -> None:
    merged = seen(contact("1"), survivor="2")
    mine = link(base={"phone": ("110", "110")})
    outcome = run(scene("contact:1", merged, contact("2"), customer(), links=[mine]))
    (moved,) = outcome.links.values()
    assert (moved.hubspot_id, moved.primary, moved.base, moved.version) == ("2", True, mine.base, 2)
    assert outcome.wake == {(HUBSPOT, "contact:2")}
    assert "contact:2" in outcome.locks


def test_the_survivor_keeps_its_own_primary() -> None:
    links = [link("1", "cus_1"), link("2", "cus_2")]
    at = scene("contact:1", seen(contact("1"), survivor="2"), contact("2"), customer(), customer("cus_2"), links=links)
    assert [(k.hubspot_id, k.stripe_id, k.primary) for k in run(at).links.values()] == [("2", "cus_1", False)]


def test_a_chain_of_merges_ends_at_the_last_survivor() -> None:
    chain = seen(contact("1"), survivor="2"), seen(contact("2"), survivor="3"), contact("3")
    outcome = run(scene("contact:1", *chain, customer(), links=[link()]))
    assert [k.hubspot_id for k in outcome.links.values()] == ["3"]


def test_a_pair_is_never_linked_twice_by_a_merge() -> None:
    links = [link("1", "cus_1"), link("2", "cus_1", primary=False, state=LinkState.RELEASED)]
    at = scene("contact:1", seen(contact("1"), survivor="2"), contact("2"), customer(), links=links)
    assert [(k.hubspot_id, k.state) for k in run(at).links.values()] == [("1", LinkState.ORPHANED)]


# -- merging fields


def test_nothing_is_planned_for_a_pair_of_which_one_is_in_doubt() -> None:
    for doubtful in (
        [seen(contact(phone="1"), in_doubt=True), seen(customer(phone="2"))],
        [seen(contact(phone="1")), seen(customer(phone="2"), in_doubt=True)],
    ):
        assert not run(scene("contact:1", *doubtful, links=[link(base={"phone": ("2", "2")})])).actions


def test_a_conflict_rides_with_the_write_that_makes_it() -> None:
    at = scene("contact:1", contact(phone="1"), customer(phone="2"), links=[link(base={"phone": ("0", "0")})])
    outcome = run(at)
    assert [c.value for c in only_action(outcome).conflicts] == ["2"]
    assert not outcome.conflicts


def test_what_differs_on_first_contact_is_reported_at_once() -> None:
    outcome = run(scene("contact:1", contact(phone="1"), customer(phone="2"), links=[link()]))
    assert {(c.side, c.value) for c, _ in outcome.conflicts} == {(HUBSPOT, "1"), (STRIPE, "2")}


def parked_address(*others: Record) -> Plan:
    mine = link(base={"email": ("old@x.org", "old@x.org")}, parked={"email": (HUBSPOT, ADA)})
    return run(scene("contact:1", contact(email="old@x.org"), customer(email=ADA), *others, links=[mine]))


def test_a_parked_address_waits_while_another_contact_carries_it() -> None:
    assert not parked_address(contact("2", email=ADA)).actions


def test_a_parked_address_is_tried_again_once_the_other_contact_has_given_it_up() -> None:
    outcome = parked_address(contact("2", email="else@example.com"))
    assert only_action(outcome).changes["email"].after == ADA
    assert [dict(k.parked) for k in outcome.links.values()] == [{}]


def test_our_own_late_write_is_put_back() -> None:
    mine = link(base={"phone": ("110", "110")})
    at = scene(
        "contact:1", contact(phone="110"), customer(phone="112"), links=[mine], late=frozenset({(STRIPE, "cus_1", "phone")})
    )
    assert only_action(run(at)).changes["phone"].after == "110"


# -- printing


def test_an_agreed_pair_is_quiet() -> None:
    outcome = run(scene("contact:1", contact(), customer(), links=[link(base=dict.fromkeys(FIELDS.by_name, ("", "")))]))
    assert outcome.quiet


def test_a_key_nobody_knows_is_quiet() -> None:
    assert run(scene("contact:404")).quiet
    assert run(scene("customer:cus_404")).quiet
