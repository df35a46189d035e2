"""Canonical forms of what makes a person: e-mail, phone and name."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.core_builders import HUBSPOT, STEADY, STRIPE, full_name, raw_text
from wanesync.core.fields import FieldSpec
from wanesync.core.normalize import NAME_PARTS, FormOptions

WORD = st.text("abcdeéßñ'-", min_size=1, max_size=8)
PHONE = st.text("0123456789+ ().-/x", max_size=40)
ADDRESS = st.from_regex(r"[a-zA-Zéß.]{1,6}@[a-zA-Z]{1,6}\.org", fullmatch=True)
NAME = FieldSpec("name", ("firstname", "lastname"), ("name",), transform="name")
PHONE_FIELD = FieldSpec("phone", ("phone",), ("phone",), transform="phone")
COUNTRIES = ["", "DE", "US", "IT", "MX", "GB"]


def phone_field(country: str) -> FieldSpec:
    return replace(PHONE_FIELD, options=FormOptions(default_country=country))


# -- name


def plain(part: str) -> str:
    """A part of a name without case and accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", part) if not unicodedata.combining(c)).casefold()


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
    assume(first and last)
    converted = NAME.convert(HUBSPOT, name, full_name(first, last))
    if converted is not None:
        new_first, _, new_last = converted.partition(NAME_PARTS)
        assert {plain(new_first), plain(new_last)} & {plain(first), plain(last)}


@pytest.mark.parametrize(
    ("current", "name", "converted"),
    [
        ("", "Ada Byron", full_name("Ada", "Byron")),
        ("", "Ada", full_name("Ada", "")),
        ("", "Ada de la Cruz", full_name("Ada", "de la Cruz")),
        ("", "Dr. Ada Byron", full_name("Dr. Ada", "Byron")),
        ("", "John Smith 3rd", full_name("John", "Smith 3rd")),
        ("", "Tom Bank", full_name("Tom", "Bank")),
        (full_name("Ada", "Byron"), "Ada Lovelace", full_name("Ada", "Lovelace")),
        (full_name("Ada", "Byron"), "Augusta Byron", full_name("Augusta", "Byron")),
        (full_name("Ada Maria", "Byron"), "Ada Maria Byron", full_name("Ada Maria", "Byron")),
        (full_name("", "Byron"), "Byron", full_name("", "Byron")),
        (full_name("Ada", "Byron"), "", ""),
        (full_name("Ada", "Byron"), "Ada", full_name("Ada", "")),
        (full_name("Ada", "Byron"), "Grace Hopper", None),
        (full_name("Ada", "Byron"), "Adam Hopper", None),
        pytest.param(full_name("JOHN", "SMITH"), "John Smith", full_name("John", "Smith"), marks=pytest.mark.case(23)),
        pytest.param(full_name("Cher", ""), "Madonna", full_name("Madonna", ""), marks=pytest.mark.case(23)),
        (full_name("", "Cher"), "Madonna", full_name("", "Madonna")),
        (full_name("Cher", ""), "Cher Bono", full_name("Cher", "Bono")),
        (full_name("Cher", ""), "Ada Byron", full_name("Ada", "Byron")),
        (
            full_name("jose maria", "garcia"),
            "Jos\u00e9 Mar\u00eda Garc\u00eda",
            full_name("Jos\u00e9 Mar\u00eda", "Garc\u00eda"),
        ),
        (full_name("ADA", "Byron"), "Ada Lovelace", full_name("Ada", "Lovelace")),
        (full_name("J.", "Smith"), "J Smith", full_name("J", "Smith")),
    ],
)
def test_a_full_name_is_told_apart_only_where_it_is_no_guess(current: str, name: str, converted: str | None) -> None:
    assert NAME.convert(HUBSPOT, name, current) == converted


@pytest.mark.parametrize(
    "name",
    ["Acme GmbH", "Smith & Sons", "Studio 54", "Smith, John", "van Gogh", "\u5c71\u7530 \u592a\u90ce", "Hotel Adler"],
)
def test_what_cannot_be_split_is_kept_whole_on_a_contact_without_a_name(name: str) -> None:
    assert NAME.convert(HUBSPOT, name, "") == full_name("", name)


def test_a_business_name_is_listed_where_the_configuration_says_so() -> None:
    spec = replace(NAME, options=FormOptions(business_names="list"))
    assert spec.convert(HUBSPOT, "Acme GmbH", "") is None
    assert spec.why_not("Acme GmbH") == "unsplit"


def test_a_separator_inside_a_name_cannot_forge_two_parts() -> None:
    assert NAME.form.read_hubspot([f"Ada{NAME_PARTS}X", "Byron"]) == full_name("Ada X", "Byron")
