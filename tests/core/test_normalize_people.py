"""Canonical forms of what makes a person: e-mail, phone and name."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.core_builders import BRIEF, HUBSPOT, STEADY, STRIPE, full_name, raw_text
from wanesync.core.fields import FieldSpec
from wanesync.core.model import normalise_email
from wanesync.core.normalize import NAME_PARTS

WORD = st.text("abcdeéßñ'-", min_size=1, max_size=8)
PHONE = st.text("0123456789+ ().-/x", max_size=40)
ADDRESS = st.from_regex(r"[a-zA-Zéß.]{1,6}@[a-zA-Z]{1,6}\.org", fullmatch=True)
NAME = FieldSpec("name", ("firstname", "lastname"), ("name",), transform="name")
PHONE_FIELD = FieldSpec("phone", ("phone",), ("phone",), transform="phone")


# -- e-mail


@given(raw=st.one_of(ADDRESS, raw_text()))
@STEADY
def test_normalising_an_address_twice_is_normalising_it_once(raw: str) -> None:
    assert normalise_email(normalise_email(raw)) == normalise_email(raw)


@given(address=ADDRESS)
@BRIEF
def test_case_and_blanks_around_an_address_do_not_count(address: str) -> None:
    assume(address.upper().lower() == address.lower())
    assert normalise_email(f"  {address.upper()}\n") == normalise_email(address)


def test_an_address_that_composes_only_in_lower_case_has_one_form() -> None:
    assert normalise_email("J\u030c@example.com") == normalise_email("j\u030c@example.com") == "\u01f0@example.com"


# -- phone


@given(raw=PHONE)
@STEADY
def test_a_phone_for_stripe_has_at_most_20_characters(raw: str) -> None:
    sent = PHONE_FIELD.convert(STRIPE, PHONE_FIELD.form.read(raw), "")
    assert sent is not None
    assert len(sent) <= 20


@given(digits=st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True), data=st.data())
@BRIEF
def test_an_international_number_is_one_value_however_it_is_written(digits: str, data: st.DataObject) -> None:
    marks = data.draw(
        st.lists(st.sampled_from(["", " ", "-", ".", "(", ")", "/"]), min_size=len(digits), max_size=len(digits))
    )
    prefix = data.draw(st.sampled_from(["+", "00", "+ ", "(+", "(00)"]))
    raw = prefix + "".join(mark + digit for mark, digit in zip(marks, digits, strict=True))
    assert PHONE_FIELD.form.read(raw) == f"+{digits}"


@pytest.mark.parametrize("raw", ["030 1234567", "(415) 555-0100", "1-800-FLOWERS", "110"])
def test_a_national_number_stays_as_typed(raw: str) -> None:
    assert PHONE_FIELD.form.read(raw) == raw


def test_a_number_with_an_extension_loses_marks_before_digits() -> None:
    assert PHONE_FIELD.convert(STRIPE, "+49 (30) 12 34 56 78 ext. 9", "") == "+493012345678ext9"


# -- name


@given(first=raw_text(20), last=raw_text(20))
@STEADY
def test_a_name_reads_back_from_its_two_properties(first: str, last: str) -> None:
    value = NAME.form.read_hubspot([first, last])
    assert NAME.form.read_hubspot(NAME.form.hubspot_parts(value)) == value


@given(first=raw_text(20), last=raw_text(20))
@STEADY
def test_a_contact_agrees_with_the_full_name_made_of_it(first: str, last: str) -> None:
    value = NAME.form.read_hubspot([first, last])
    sent = NAME.convert(STRIPE, value, "")
    assert sent is not None
    assert NAME.form.read_stripe(sent) == sent
    assert NAME.agree(value, sent)


@given(name=raw_text(30), first=WORD, last=st.one_of(st.just(""), WORD))
@STEADY
def test_a_name_told_apart_says_the_same_as_the_whole(name: str, first: str, last: str) -> None:
    whole = NAME.form.read_stripe(name)
    for current in ("", full_name(first, last)):
        converted = NAME.convert(HUBSPOT, whole, current)
        assert converted is None or NAME.agree(converted, whole)


@given(
    first=st.one_of(st.just(""), WORD),
    last=st.one_of(st.just(""), WORD),
    name=st.lists(WORD, min_size=1, max_size=4).map(" ".join),
)
@STEADY
def test_a_contact_that_has_a_name_keeps_a_known_part_of_it(first: str, last: str, name: str) -> None:
    assume(first or last)
    converted = NAME.convert(HUBSPOT, name, full_name(first, last))
    if converted is not None:
        new_first, _, new_last = converted.partition(NAME_PARTS)
        assert (first and new_first == first) or (last and new_last == last)


@pytest.mark.parametrize(
    ("current", "name", "converted"),
    [
        ("", "Ada Byron", full_name("Ada", "Byron")),
        ("", "Ada", full_name("Ada", "")),
        ("", "Ada de la Cruz", full_name("Ada", "de la Cruz")),
        (full_name("Ada", "Byron"), "Ada Lovelace", full_name("Ada", "Lovelace")),
        (full_name("Ada", "Byron"), "Augusta Byron", full_name("Augusta", "Byron")),
        (full_name("Ada Maria", "Byron"), "Ada Maria Byron", full_name("Ada Maria", "Byron")),
        (full_name("", "Byron"), "Byron", full_name("", "Byron")),
        (full_name("Ada", "Byron"), "", ""),
        (full_name("Ada", "Byron"), "Grace Hopper", None),
        (full_name("Ada", "Byron"), "Adam Hopper", None),
        ("", "Acme GmbH", None),
        ("", "Smith & Sons", None),
        ("", "Studio 54", None),
    ],
)
def test_a_full_name_is_told_apart_only_where_it_is_no_guess(current: str, name: str, converted: str | None) -> None:
    assert NAME.convert(HUBSPOT, name, current) == converted


def test_a_separator_inside_a_name_cannot_forge_two_parts() -> None:
    assert NAME.form.read_hubspot([f"Ada{NAME_PARTS}X", "Byron"]) == full_name("Ada X", "Byron")
