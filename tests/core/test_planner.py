"""Plans of one key: linking, choosing the primary, creating, orphaning and merging, each in a context of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.support.core_builders import (
    FIELDS,
    HUBSPOT,
    STRIPE,
    contact,
    context,
    customer,
    full_name,
    link,
    only_action,
    run,
    stored,
    written_by,
)
from wanesync.core.evidence.answers import settle_answer
from wanesync.core.fields import Direction, FieldMap
from wanesync.core.jobs import WaitCode
from wanesync.core.model import (
    Change,
    Deletion,
    LinkState,
    NoteCode,
    PendingWrite,
    Record,
    Side,
    WriteKind,
    WriteResult,
)
from wanesync.core.normalize import FormOptions
from wanesync.core.plan import COUNTERPART_DELETED, FIRST_LISTING, NO_EMAIL, Plan, Rules

ADA = "ada@example.com"


def create(side: Side, source_id: str, changes: Mapping[str, Change], key: str = "k") -> PendingWrite:
    """An open creation of ours."""
    return PendingWrite("own", side, WriteKind.CREATE, "key", source_id, "", key, "{}", changes)


# -- creation


def code_of(outcome: Plan, side: Side, record_id: str) -> NoteCode | None:
    note = outcome.notes[side, record_id]
    return note.code if note else None


def test_a_contact_without_a_match_gets_a_customer() -> None:
    action = only_action(run(context("contact:1", contact(email=ADA, phone="110"))))
    assert (action.side, action.kind, action.source_id, action.target_id) == (STRIPE, WriteKind.CREATE, "1", "")
    assert written_by(action, blanks=False) == {"email": ADA, "phone": "110"}
    assert action.hmacs == {ADA}


def test_a_customer_without_a_match_gets_a_contact() -> None:
    action = only_action(run(context("customer:cus_1", customer(email=ADA, name="Ada Byron"))))
    assert (action.side, action.kind, action.source_id) == (HUBSPOT, WriteKind.CREATE, "cus_1")
    assert written_by(action, blanks=False) == {"email": ADA, "name": full_name("Ada", "Byron")}


def test_a_creation_tells_what_both_sides_held_for_every_field() -> None:
    source = contact(email=ADA, country="Germany")
    action = only_action(run(context("contact:1", source)))
    made = customer(email=ADA, country="DE")
    base = settle_answer(create(STRIPE, "1", action.changes), made, FIELDS).base
    assert set(base) == set(FIELDS.by_name)
    assert (base["email"], base["country"], base["city"]) == ((ADA, ADA), ("Germany", "DE"), ("", ""))


@pytest.mark.case(24)
def test_the_name_of_a_business_is_the_company_of_a_new_contact() -> None:
    action = only_action(run(context("customer:cus_1", customer(email=ADA, name="Acme 2000 GmbH"))))
    assert action.changes["name"] == Change("", "", "Acme 2000 GmbH")
    assert action.changes["company"] == Change("", "Acme 2000 GmbH", "")
    assert not action.conflicts


def test_a_business_name_beside_another_company_is_kept_whole_as_last_name() -> None:
    action = only_action(run(context("customer:cus_1", customer(email=ADA, name="Acme GmbH", company="Holding AG"))))
    assert action.changes["name"].after == full_name("", "Acme GmbH")
    assert action.changes["company"].after == "Holding AG"
    assert not action.conflicts


def test_a_name_that_only_repeats_the_company_is_no_name_of_a_new_contact() -> None:
    nordwind = "Nordwind Logistik"
    action = only_action(run(context("customer:cus_1", customer(email=ADA, name=nordwind, company=nordwind))))
    assert written_by(action, blanks=False) == {"email": ADA, "company": nordwind}
    assert not action.conflicts


def test_business_names_can_be_listed_instead() -> None:
    options = FormOptions(business_names="list")
    rules = Rules(FieldMap(tuple(replace(spec, options=options) for spec in FIELDS.specs)))
    action = only_action(run(context("customer:cus_1", customer(email=ADA, name="Acme GmbH")), rules))
    assert written_by(action, blanks=False) == {"email": ADA}
    assert [conflict.kind for conflict in action.conflicts] == ["unsplit"]


def test_two_numbers_and_an_unknown_country_are_left_out_of_a_creation_and_listed() -> None:
    source = contact(email=ADA, phone="+49 30 901820 / +49 171 2345678", country="Freedonia")
    action = only_action(run(context("contact:1", source)))
    assert written_by(action, blanks=False) == {"email": ADA}
    assert {(c.field, c.kind) for c in action.conflicts} == {
        ("phone", "several_numbers"),
        ("country", "unknown_country"),
    }


def test_a_field_that_does_not_flow_there_is_left_out_of_a_creation() -> None:
    specs = tuple(replace(s, direction=Direction.TO_HUBSPOT) if s.name == "phone" else s for s in FIELDS.specs)
    action = only_action(run(context("contact:1", contact(email=ADA, phone="110")), Rules(FieldMap(specs))))
    assert action.changes["phone"] == Change("", "", "110")


@pytest.mark.parametrize(
    ("key", "record"), [("contact:1", contact(email=ADA)), ("customer:cus_1", customer(email=ADA))]
)
class TestNothingIsCreated:
    def test_before_the_first_listing(self, key: str, record: Record) -> None:
        outcome = run(context(key, record, listed=False))
        assert not outcome.actions
        assert outcome.notes == {(record.side, record.id): FIRST_LISTING}

    def test_for_an_address_under_a_tombstone(self, key: str, record: Record) -> None:
        outcome = run(context(key, record, tombstones={ADA: Deletion(0)}))
        assert not outcome.actions
        assert outcome.notes[(record.side, record.id)] == COUNTERPART_DELETED

    def test_while_the_address_is_held_by_another_creation(self, key: str, record: Record) -> None:
        outcome = run(context(key, record, email_holders={ADA: "contact:99"}))
        assert not outcome.actions
        assert outcome.wait

    def test_while_a_read_is_under_way(self, key: str, record: Record) -> None:
        outcome = run(context(key, record, reading=frozenset({(record.side, record.id)})))
        assert not outcome.actions
        assert outcome.wait

    def test_from_a_record_in_doubt(self, key: str, record: Record) -> None:
        assert not run(context(key, stored(record, stale=True))).actions

    def test_where_the_operator_does_not_want_it(self, key: str, record: Record) -> None:
        outcome = run(context(key, record), Rules(FIELDS, create_customers=False, create_contacts=False))
        assert not outcome.actions
        assert code_of(outcome, record.side, record.id) is NoteCode.EXCLUDED

    def test_without_an_address(self, key: str, record: Record) -> None:
        nameless = stored(replace(record, values={}, emails=frozenset()))
        outcome = run(context(key, nameless))
        assert not outcome.actions
        assert outcome.notes == {(record.side, record.id): NO_EMAIL}

    def test_from_a_deleted_record(self, key: str, record: Record) -> None:
        assert not run(context(key, stored(record, deleted=True))).actions


def test_a_creation_of_ones_own_key_is_planned_again() -> None:
    assert run(context("contact:1", contact(email=ADA), email_holders={ADA: "contact:1"})).actions


def test_a_reason_that_no_longer_holds_is_lifted() -> None:
    excluded = stored(contact(email=ADA), note=NO_EMAIL)
    assert run(context("contact:1", excluded)).notes == {(HUBSPOT, "1"): None}


# -- linking


def test_a_contact_and_a_customer_with_one_address_are_linked() -> None:
    outcome = run(context("contact:1", contact(email=ADA), customer(email="Ada@Example.com ")))
    (made,) = outcome.links.values()
    assert (made.hubspot_id, made.stripe_id, made.primary, made.version) == ("1", "cus_1", True, 1)
    assert outcome.linked == [("1", "cus_1")]
    assert "customer:cus_1" in outcome.locks


def test_a_secondary_address_of_a_contact_links_too() -> None:
    two = stored(contact(email="main@example.com"), hmacs=frozenset({"main@example.com", ADA}))
    assert run(context("contact:1", two, customer(email=ADA))).linked == [("1", "cus_1")]


def test_an_unlinked_customer_hands_over_to_its_contact() -> None:
    outcome = run(context("customer:cus_1", contact(email=ADA), customer(email=ADA)))
    assert outcome.wake == {(HUBSPOT, "contact:1")}
    assert not outcome.links


def test_a_linked_customer_hands_over_to_its_contact() -> None:
    outcome = run(context("customer:cus_1", contact(), customer(), links=[link()]))
    assert outcome.wake == {(HUBSPOT, "contact:1")}


@pytest.mark.parametrize("ref", [(HUBSPOT, "1"), (STRIPE, "cus_1")])
def test_nothing_is_linked_while_one_of_the_two_is_read(ref: tuple[Side, str]) -> None:
    outcome = run(context("contact:1", contact(email=ADA), customer(email=ADA), reading=frozenset({ref})))
    assert outcome.wait
    assert not outcome.links


def test_what_a_creation_of_ours_made_is_linked_with_what_it_was_made_of() -> None:
    pending = create(STRIPE, "1", {"phone": Change("", "110", "110")})
    outcome = run(
        context(
            "contact:1",
            contact(email=ADA, phone="112"),
            customer(other_id="1", email=ADA, phone="110"),
            creates=[pending],
        )
    )
    (made,) = outcome.links.values()
    assert made.base["phone"] == ("110", "110")
    assert outcome.matched_creates == [(pending, WriteResult.MATCHED)]
    assert only_action(outcome).changes["phone"].after == "112"


def test_the_creation_still_open_is_the_one_that_is_settled() -> None:
    given_up = replace(create(STRIPE, "1", {"phone": Change("", "110", "110")}), id="own-0", result=WriteResult.LOST)
    is_open = replace(create(STRIPE, "1", {"phone": Change("", "112", "112")}), id="own-1", generation=1)
    people = contact(email=ADA, phone="112"), customer(other_id="1", email=ADA, phone="112")
    outcome = run(context("contact:1", *people, creates=[given_up, is_open]))
    assert outcome.matched_creates == [(is_open, WriteResult.MATCHED)]
    assert next(iter(outcome.links.values())).base["phone"] == ("112", "112")


@pytest.mark.parametrize("result", [None, WriteResult.LOST])
def test_for_the_survivor_of_a_merge_nothing_is_created_while_a_creation_for_the_merged_is_open(
    result: WriteResult | None,
) -> None:
    own = replace(create(STRIPE, "1", {"email": Change("", ADA, ADA)}), result=result)
    merged = stored(contact("1", email=ADA), survivor="3")
    outcome = run(context("contact:3", contact("3", email="b@example.com"), merged, creates=[own]))
    assert outcome.wait == (WaitCode.MERGED_BEING_CREATED if result is None else WaitCode.NONE)
    assert bool(outcome.actions) == (result is not None)
    assert outcome.locks >= ({"contact:1"} if outcome.actions else set())


def test_a_contact_we_made_is_known_by_the_intent_it_carries() -> None:
    pending = create(HUBSPOT, "cus_1", {"email": Change("", ADA, ADA)}, "intent-7")
    made = replace(contact(email=ADA), intent="intent-7")
    outcome = run(context("contact:1", made, customer(email=ADA), creates=[pending]))
    assert outcome.matched_creates == [(pending, WriteResult.MATCHED)]


def test_a_contact_that_another_program_made_does_not_settle_our_creation() -> None:
    pending = create(HUBSPOT, "cus_1", {"email": Change("", ADA, ADA)}, "intent-7")
    outcome = run(context("contact:1", contact(email=ADA), customer(email=ADA), creates=[pending]))
    assert not outcome.matched_creates
    assert outcome.linked


def test_people_taken_apart_by_hand_are_not_linked_again() -> None:
    released = link(primary=False, state=LinkState.RELEASED)
    outcome = run(context("contact:1", contact(email=ADA), customer(email=ADA), links=[released]))
    assert not outcome.links
    assert not outcome.actions


def test_a_customer_that_carries_a_contacts_address_but_belongs_to_another_is_ambiguous() -> None:
    at = context("contact:2", contact("2", email=ADA), contact("1"), customer(email=ADA), links=[link()])
    outcome = run(at)
    assert code_of(outcome, HUBSPOT, "2") is NoteCode.AMBIGUOUS
    assert not outcome.actions
    assert not outcome.links


def test_an_ambiguous_customer_is_reported_on_both_passes() -> None:
    people = contact("1", email=ADA), contact("2", other_id="cus_1", email="x@example.com"), customer(email=ADA)
    for key in ("contact:1", "customer:cus_1"):
        outcome = run(context(key, *people))
        assert code_of(outcome, STRIPE, "cus_1") is NoteCode.AMBIGUOUS
        assert not outcome.links
        assert not outcome.actions


def test_a_pair_that_was_linked_before_gets_its_link_back_with_a_higher_version() -> None:
    old = link(primary=False, state=LinkState.ORPHANED, version=4, base={"phone": ("1", "1")})
    outcome = run(context("contact:1", contact(email=ADA), customer(email=ADA), links=[old]))
    (again,) = outcome.links.values()
    assert (again.id, again.state, again.version) == (old.id, LinkState.ACTIVE, 5)


def test_a_pair_is_merged_against_the_base_that_a_landed_write_left() -> None:
    pair = link(base={"city": ("A", "A")})
    at = context(
        "contact:1", contact(city="C"), customer(city="A"), links=[pair], landed={pair.id: {"city": ("B", "A")}}
    )
    outcome = run(at)
    assert outcome.links[pair.id].base["city"] == ("B", "A")
    assert only_action(outcome).changes["city"] == Change("A", "C", "C")


# -- agreement


def test_an_agreement_with_a_copy_that_is_being_read_again_is_not_remembered() -> None:
    """HubSpot set the value back meanwhile: Stripe's edit is the only one, and would look like the older value."""
    pair = (contact(city="Bonn"), customer(city="Bonn"))
    linked = link(base={**dict.fromkeys(FIELDS.by_name, ("", "")), "city": ("Ulm", "Ulm")})
    assert not run(context("contact:1", *pair, links=[linked], reading=frozenset({(HUBSPOT, "1")}))).links
    agreed = run(context("contact:1", *pair, links=[linked]))
    assert agreed.links[linked.id].base["city"] == ("Bonn", "Bonn")


def test_what_was_never_agreed_on_is_remembered_at_once() -> None:
    pair = (contact(city="Bonn"), customer(city="Bonn"))
    outcome = run(context("contact:1", *pair, links=[link()], reading=frozenset({(HUBSPOT, "1")})))
    assert outcome.links[link().id].base["city"] == ("Bonn", "Bonn")
