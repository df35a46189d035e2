"""Answers to writes, field by field: taken, taken in another form, or not taken; names that Stripe fills in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import (
    FIELDS,
    HUBSPOT,
    RULES,
    STEADY,
    STRIPE,
    contact,
    context,
    customer,
    full_name,
    only_action,
    run,
)
from wanesync.core.evidence.answers import Settled, is_cut_short, settle_answer, settle_found
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec
from wanesync.core.merge import Pair, merge
from wanesync.core.model import Change, Conflict, PendingWrite, Record, Side, WriteKind, filled_in_key, not_taken_key

ADA = "ada@example.com"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


def write_of(side: Side, kind: WriteKind = WriteKind.UPDATE, **changes: Change) -> PendingWrite:
    """A write of ours to the contact or the customer."""
    source, target = ("cus_1", "1") if side is HUBSPOT else ("1", "cus_1")
    return PendingWrite("own", side, kind, "contact:1", source, target, "key", "{}", changes)


def answer_on(side: Side, **values: str) -> Record:
    return contact(**values) if side is HUBSPOT else customer(**values)


def halves(side: Side, written: str, source: str) -> tuple[str, str]:
    return (written, source) if side is HUBSPOT else (source, written)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("kind", list(WriteKind))
def test_a_value_that_took_is_the_base_of_both(side: Side, kind: WriteKind) -> None:
    pending = write_of(side, kind, city=Change("", "Bonn", "Bonn"))
    assert settle_answer(pending, answer_on(side, city="Bonn"), FIELDS) == Settled({"city": ("Bonn", "Bonn")})


@pytest.mark.parametrize("side", list(Side))
def test_a_change_of_form_is_only_that_side_s_half(side: Side) -> None:
    pending = write_of(side, phone=Change("", "+49 30 12", "+49 30 12"))
    settled = settle_answer(pending, answer_on(side, phone="+493012"), FIELDS)
    assert settled == Settled({"phone": halves(side, "+493012", "+49 30 12")})


TYPED_ANSWERS = [
    ("date", "1769817600000", "2026-01-31"),
    ("datetime", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00Z"),
    ("number", "10.50", "10.5"),
    ("bool", "TRUE", "true"),
    ("choices", "b;a", "a;b"),
]
SCORE = FieldSpec("score", ("score",), ("metadata.score",))


@pytest.mark.case(13)
@pytest.mark.parametrize(("transform", "sent", "answered"), TYPED_ANSWERS)
def test_a_typed_value_in_hubspot_s_own_form_took(transform: str, sent: str, answered: str) -> None:
    """Also where the map takes the property for text: the base keeps what each side holds, and nothing is sent."""
    pending = write_of(HUBSPOT, score=Change("", sent, sent))
    settled = settle_answer(pending, answer_on(HUBSPOT, score=answered), FieldMap((*DEFAULT_FIELDS, SCORE)))
    assert settled == Settled({"score": (answered, sent)})
    spec = replace(SCORE, transform=transform)
    assert spec.form.read_stripe(sent) == spec.form.read_hubspot([answered]) == answered


@pytest.mark.case(13)
@pytest.mark.parametrize("transform", ["text", "number"])
def test_another_value_of_a_typed_property_did_not_take(transform: str) -> None:
    fields = FieldMap((*DEFAULT_FIELDS, replace(SCORE, transform=transform)))
    settled = settle_answer(write_of(HUBSPOT, score=Change("", "10.5", "10.5")), answer_on(HUBSPOT, score="10"), fields)
    assert settled.refused == {"score": ("10.5", "10")}
    pending = write_of(STRIPE, score=Change("", "10.50", "10.50"))
    stripe = settle_answer(pending, answer_on(STRIPE, score="10.5"), FieldMap((*DEFAULT_FIELDS, SCORE)))
    assert stripe.refused == {"score": ("10.50", "10.5")}


def test_a_typed_value_is_never_taken_for_a_part_of_another() -> None:
    """A found record with ``10`` where ``10.5`` was sent was edited since; of a text that would be a cut."""
    pending = write_of(HUBSPOT, WriteKind.CREATE, score=Change("", "10.5", "10.5"))
    fields = FieldMap((*DEFAULT_FIELDS, replace(SCORE, transform="number")))
    assert settle_found(pending, answer_on(HUBSPOT, score="10"), fields) == Settled({"score": ("10.5", "10.5")})


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("kind", list(WriteKind))
def test_a_value_that_did_not_take_is_a_conflict_and_what_stands_is_the_base(side: Side, kind: WriteKind) -> None:
    pending = write_of(side, kind, city=Change("Ulm", "Bonn", "Bonn"))
    settled = settle_answer(pending, answer_on(side, city="Ulm"), FIELDS)
    assert settled.base == {"city": halves(side, "Ulm", "Bonn")}
    assert settled.refused == {"city": ("Bonn", "Ulm")}
    source, target = ("cus_1", "1") if side is HUBSPOT else ("1", "cus_1")
    assert settled.conflicts == [
        Conflict(side.other, source, "city", "Bonn", "not_taken"),
        Conflict(side, target, "city", "Ulm", "not_taken"),
    ]


@pytest.mark.parametrize("side", list(Side))
def test_a_buried_value_that_does_not_take_when_it_is_put_back_is_kept(side: Side) -> None:
    """HubSpot ignores a life-cycle stage that goes backwards, and a property may keep less by now."""
    pending = write_of(side, city=Change("Ulm", "Bonn", "Ulm", put_back=True))
    settled = settle_answer(pending, answer_on(side, city="Ulm"), FIELDS)
    assert settled.base == {}
    assert settled.conflicts[-1] == Conflict(side, "1" if side is HUBSPOT else "cus_1", "city", "Bonn", "overwritten")


@pytest.mark.parametrize("stands", ["", "Bonn am"])
def test_a_clear_or_a_text_that_was_cut_did_not_take_either(stands: str) -> None:
    pending = write_of(HUBSPOT, city=Change("", "Bonn am Rhein", "Bonn am Rhein"))
    assert settle_answer(pending, contact(city=stands), FIELDS).refused == {"city": ("Bonn am Rhein", stands)}
    clear = write_of(HUBSPOT, city=Change("Ulm", "", ""))
    assert settle_answer(clear, contact(city="Ulm"), FIELDS).refused == {"city": ("", "Ulm")}


def test_a_field_the_answer_does_not_hold_keeps_its_base() -> None:
    pending = write_of(HUBSPOT, city=Change("", "Bonn", "Bonn"))
    assert settle_answer(pending, replace(contact(), unknown=frozenset({"city"})), FIELDS) == Settled()


def test_a_field_that_left_the_map_is_taken_as_answered() -> None:
    pending = write_of(HUBSPOT, rank=Change("", "9", "9"))
    assert settle_answer(pending, contact(rank="8"), FIELDS) == Settled({"rank": ("8", "9")})


def test_what_a_creation_did_not_send_is_that_side_s_own_value() -> None:
    """A default that HubSpot sets flows to Stripe like any value."""
    pending = write_of(HUBSPOT, WriteKind.CREATE, city=Change("", "", ""))
    assert settle_answer(pending, contact(city="Bonn"), FIELDS) == Settled({"city": ("", "")})


@given(sent=TEXT, stands=TEXT, side=st.sampled_from(list(Side)), kind=st.sampled_from(list(WriteKind)))
@STEADY
def test_nothing_is_sent_again_before_one_side_changes(sent: str, stands: str, side: Side, kind: WriteKind) -> None:
    fields = FieldMap((FieldSpec("city", ("city",), ("address.city",)),))
    sent, stands = (fields.specs[0].form.read(text) for text in (sent, stands))
    pending = write_of(side, kind, city=Change("Ulm", sent, sent))
    settled = settle_answer(pending, answer_on(side, city=stands), fields)
    here, there = (stands, sent) if side is HUBSPOT else (sent, stands)
    pair = Pair(contact(city=here), customer(city=there), settled.base)
    merged = merge(pair, fields, "keep")
    filled = kind is WriteKind.CREATE and not sent
    assert filled or not (merged.writes[HUBSPOT] or merged.writes[STRIPE] or merged.immediate_conflicts)
    assert filled or bool(settled.refused) == (fields.specs[0].key(sent) != fields.specs[0].key(stands))


# -- a creation whose answer was lost


def test_a_found_record_that_was_edited_since_keeps_what_was_sent_as_base() -> None:
    pending = write_of(STRIPE, WriteKind.CREATE, city=Change("", "Bonn", "Bonn"))
    assert settle_found(pending, customer(city="Ulm"), FIELDS) == Settled({"city": ("Bonn", "Bonn")})


def test_a_found_record_with_a_text_that_was_cut_is_no_edit() -> None:
    pending = write_of(HUBSPOT, WriteKind.CREATE, city=Change("", "Bonn am Rhein", "Bonn am Rhein"))
    settled = settle_found(pending, contact(city="Bonn am"), FIELDS)
    assert (settled.base["city"], [c.kind for c in settled.conflicts]) == (
        ("Bonn am", "Bonn am Rhein"),
        ["not_taken", "not_taken"],
    )


def test_only_a_shorter_beginning_counts_as_cut() -> None:
    assert [is_cut_short(text, "Bonn") for text in ("Bo", "Bonn", "", "on")] == [True, False, False, False]


# -- names that Stripe fills in


@pytest.mark.case(16)
@pytest.mark.parametrize("settle", [settle_answer, settle_found])
def test_a_name_that_stripe_took_from_the_business_name_is_an_echo(settle: object) -> None:
    changes = {"company": Change("", "Nordwind", "Nordwind"), "name": Change("", "", "")}
    made = customer(company="Nordwind", name="Nordwind")
    settled = settle(write_of(STRIPE, WriteKind.CREATE, **changes), made, FIELDS)  # type: ignore[operator] # either
    assert settled == Settled({"company": ("Nordwind", "Nordwind"), "name": ("", "Nordwind")})


def test_a_name_that_stripe_fills_in_again_after_a_clear_is_an_echo() -> None:
    pending = write_of(STRIPE, name=Change("Ada Byron", "", ""))
    settled = settle_answer(pending, customer(company="Nordwind", name="Nordwind"), FIELDS)
    assert settled == Settled({"name": ("", "Nordwind")})


@pytest.mark.parametrize("base", [None, ("", ""), ("", "Nordwind alt")])
@pytest.mark.parametrize("path", ["business_name", "individual_name"])
def test_a_name_that_was_filled_in_does_not_flow(base: tuple[str, str] | None, path: str) -> None:
    specs = tuple(replace(s, stripe=(path,)) if s.name == "company" else s for s in DEFAULT_FIELDS)
    known = {"company": ("Nordwind", "Nordwind"), **({} if base is None else {"name": base})}
    pair = Pair(contact(company="Nordwind"), customer(company="Nordwind", name="Nordwind"), known)
    merged = merge(pair, FieldMap(specs), "keep")
    assert merged.base["name"] == ("", "Nordwind")
    assert not merged.writes[HUBSPOT]
    assert not merged.immediate_conflicts


def test_the_name_of_a_person_who_is_called_like_the_business_is_theirs() -> None:
    pair = Pair(
        contact(name=full_name("Ada", "Byron")),
        customer(company="Ada King", name="Ada King"),
        {"name": (full_name("Ada", "Byron"), "Ada Byron")},
    )
    assert merge(pair, FIELDS, "keep").writes[HUBSPOT]["name"].after == full_name("Ada", "King")


def test_a_name_given_later_replaces_the_one_that_was_filled_in() -> None:
    pair = Pair(
        contact(company="Nordwind", name=full_name("Ada", "Byron")),
        customer(company="Nordwind", name="Nordwind"),
        {"company": ("Nordwind", "Nordwind"), "name": ("", "Nordwind")},
    )
    assert merge(pair, FIELDS, "keep").writes[STRIPE]["name"].after == "Ada Byron"


def test_the_base_remembers_a_name_that_was_filled_in_while_its_source_still_shows_it() -> None:
    old, new, blank = ("Nordwind", "Nordwind"), ("Suedwind", "Suedwind"), ("", "Nordwind")
    for customer_company, base in (("Nordwind", old), ("Suedwind", old), ("Suedwind", new)):
        pair = Pair(
            contact(company="Suedwind"),
            customer(company=customer_company, name="Nordwind"),
            {"company": base, "name": blank},
        )
        merged = merge(pair, FIELDS, "keep")
        assert merged.base.get(filled_in_key("name")) == (None if base == new else blank)
        assert "name" not in merged.writes[HUBSPOT]
        assert not merged.immediate_conflicts


def test_a_name_that_a_user_gives_to_a_customer_flows_also_after_one_was_filled_in() -> None:
    base = {"company": ("Suedwind", "Suedwind"), "name": ("", "Nordwind"), filled_in_key("name"): ("", "Nordwind")}
    pair = Pair(contact(company="Suedwind"), customer(company="Suedwind", name="Ada Byron"), base)
    assert merge(pair, FIELDS, "keep").writes[HUBSPOT]["name"].after == full_name("Ada", "Byron")
    cleared = base | {"name": ("", "")}
    pair = Pair(contact(company="Suedwind"), customer(company="Suedwind", name="Nordwind"), cleared)
    assert "name" in merge(pair, FIELDS, "keep").writes[HUBSPOT], "a user set it again: it was cleared meanwhile"


def test_a_contact_made_for_a_customer_gets_no_name_that_stripe_filled_in() -> None:
    made = customer(email=ADA, company="Nordwind Logistik", name="Nordwind Logistik")
    action = only_action(run(context("customer:cus_1", made)))
    assert action.changes["name"] == Change("", "", "Nordwind Logistik")
    assert not action.conflicts
    settled = settle_answer(write_of(HUBSPOT, WriteKind.CREATE, **action.changes), contact(), FIELDS)
    assert settled.base["name"] == ("", "Nordwind Logistik")


# -- a plan with the answer of its creation


def test_a_link_starts_from_what_the_answer_of_its_creation_held() -> None:
    source = contact(email=ADA, other_id="cus_1", city="Bonn am Rhein")
    made = customer(email=ADA, other_id="1", city="Bonn am")
    pending = write_of(STRIPE, WriteKind.CREATE, city=Change("", "Bonn am Rhein", "Bonn am Rhein"))
    outcome = run(
        context(
            "contact:1", source, made, creates=[pending], answers={"own": settle_answer(pending, made, RULES.fields)}
        ),
        RULES,
    )
    assert outcome.links["new-0"].base["city"] == ("Bonn am Rhein", "Bonn am")
    assert [c.kind for c, _ in outcome.conflicts] == ["not_taken", "not_taken"]
    assert not outcome.actions


def test_a_business_name_that_a_company_did_not_take_keeps_the_name_not_the_blank_company() -> None:
    pending = write_of(HUBSPOT, company=Change("", "Acme GmbH", ""))
    settled = settle_answer(pending, contact(), FIELDS)
    assert settled.conflicts == [Conflict(STRIPE, "cus_1", "name", "Acme GmbH", "not_taken")]
    assert settled.base == {"company": ("", ""), not_taken_key("company"): ("", "Acme GmbH")}
    again = merge(Pair(contact(), customer(name="Acme GmbH"), settled.base), FIELDS, "keep")
    assert not again.writes[HUBSPOT]
    assert again.base["name"] == ("", "Acme GmbH")
    renamed = merge(Pair(contact(), customer(name="Acme SE"), {**settled.base, **again.base}), FIELDS, "keep")
    assert renamed.writes[HUBSPOT] == {"company": Change("", "Acme SE", "")}
