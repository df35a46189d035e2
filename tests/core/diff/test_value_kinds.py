"""In which way two values are unlike: the kinds a person sorts differences by."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.core_builders import FIELDS, STEADY, full_name, raw_text
from wanesync.core.diff.value_kinds import Unlike, describe_unlikeness
from wanesync.core.fields import FieldSpec

SPECS = st.sampled_from(FIELDS.specs)
DIGITS = st.text("0123456789", min_size=7, max_size=12)
WORD = st.text("abcdefgh", min_size=2, max_size=8).filter(lambda word: word not in {"ag", "ab"})


def describe(name: str, hubspot: str, stripe: str) -> Unlike:
    return describe_unlikeness(FIELDS.by_name[name], hubspot, stripe)


@pytest.mark.parametrize(
    ("name", "hubspot", "stripe", "kind"),
    [
        ("city", "", "Wien", Unlike.BLANK),
        ("phone", "+431", "", Unlike.BLANK),
        ("name", full_name("", ""), "Ada", Unlike.BLANK),
        ("city", "\u200b", "Wien", Unlike.BLANK),
        ("city", "Wien", "WIEN", Unlike.CASE),
        ("street", "Lange Straße 1", "LANGE STRASSE 1", Unlike.CASE),
        ("name", full_name("Ada", "LOVELACE"), "ada lovelace", Unlike.CASE),
        ("name", full_name("Jean", "Luc"), "Jeanluc", Unlike.SPACING),
        ("name", full_name("Ada", "Lovelace"), "Ada Byron", Unlike.OTHER),
        ("postal_code", "SW1A 1AA", "SW1A1AA", Unlike.SPACING),
        ("postal_code", "SW1A 1AA", "sw1a1aa", Unlike.SPACING),
        ("postal_code", "1010-A", "1010A", Unlike.OTHER),
        ("street", "Ring\u00a01", "Ring1", Unlike.SPACING),
        ("phone", "+49 30 1234567", "030 1234567", Unlike.PHONE),
        ("phone", "030/1234567", "+49301234567", Unlike.PHONE),
        ("phone", "+1 212 555 0100", "(212) 555-0100", Unlike.PHONE),
        ("phone", "1 212 555 0100", "+12125550100", Unlike.PHONE),
        ("phone", "+49 (0)30 1234567", "+49301234567", Unlike.PHONE),
        ("phone", "+49301234567", "+49 (0)30 1234567", Unlike.PHONE),
        ("phone", "030 1234567 Ada", "030 1234567 Bob", Unlike.OTHER),
        ("phone", "0049 30 123", "+4930123", Unlike.PHONE),
        ("phone", "tel. 030 1234567", "030 1234567", Unlike.PHONE),
        ("phone", "٠٣٠ ١٢٣٤٥٦٧", "030 1234567", Unlike.PHONE),
        ("phone", "+49 30 1234567", "030 1234568", Unlike.OTHER),
        ("phone", "+49 30 1234567", "+43 30 1234567", Unlike.OTHER),
        ("phone", "+49 30 1234567", "4567", Unlike.OTHER),
        ("phone", "1-800-FLOWERS", "1-800-CONTACTS", Unlike.OTHER),
        ("phone", "1800FLOWERS", "1800", Unlike.OTHER),
        ("phone", "unknown", "none", Unlike.OTHER),
        ("phone", "Unknown", "unknown", Unlike.CASE),
        ("company", "Acme GmbH", "ACME", Unlike.COMPANY),
        ("company", "Acme GmbH & Co. KG", "Acme", Unlike.COMPANY),
        ("company", "Acme, Inc.", "Acme Incorporated", Unlike.COMPANY),
        ("company", "Smith & Sons", "Smith and Sons Ltd", Unlike.COMPANY),
        ("company", "Volvo S.A.", "Volvo", Unlike.COMPANY),
        ("company", "O'Neill", "ONeill", Unlike.COMPANY),
        ("company", "Acme", "ACME", Unlike.CASE),
        ("company", "Acme Labs", "AcmeLabs", Unlike.SPACING),
        ("company", "Acme Berlin GmbH", "Acme Wien GmbH", Unlike.OTHER),
        ("company", "AG", "GmbH", Unlike.OTHER),
        ("company", "Limited", "Limited Inc.", Unlike.COMPANY),
        ("company", "!!!", "???", Unlike.OTHER),
        ("city", "Acme GmbH", "Acme", Unlike.OTHER),
        ("country", "Germany", "AT", Unlike.OTHER),
        ("email", "ada@example.com", "ada@example.org", Unlike.OTHER),
    ],
)
def test_each_kind_is_told(name: str, hubspot: str, stripe: str, kind: Unlike) -> None:
    assert describe(name, hubspot, stripe) is kind


@pytest.mark.parametrize("spec", [FieldSpec("firm", ("company",), ("metadata.firm",)),
                                  FieldSpec("firm", ("firm",), ("business_name",))])  # fmt: skip
def test_a_company_is_known_by_its_property_too(spec: FieldSpec) -> None:
    assert describe_unlikeness(spec, "Acme GmbH", "Acme") is Unlike.COMPANY


@STEADY
@given(SPECS, raw_text(), raw_text())
def test_the_sides_may_change_places(spec: FieldSpec, one: str, other: str) -> None:
    assert describe_unlikeness(spec, one, other) is describe_unlikeness(spec, other, one)


@STEADY
@given(SPECS, raw_text())
def test_nothing_against_something_is_blank(spec: FieldSpec, value: str) -> None:
    assert describe_unlikeness(spec, value, "") is Unlike.BLANK


@STEADY
@given(SPECS, raw_text(), raw_text())
def test_what_can_be_seen_on_both_sides_is_not_blank(spec: FieldSpec, one: str, other: str) -> None:
    assert describe_unlikeness(spec, f"a{one}", f"b{other}") is not Unlike.BLANK


@STEADY
@given(raw_text(), raw_text())
def test_case_means_equal_but_for_case(one: str, other: str) -> None:
    kind = describe("city", one, other)
    folded = [unicodedata.normalize("NFC", text.casefold()).split() for text in (one, other)]
    assume(all(unicodedata.is_normalized("NFC", text) for text in (one, other)))
    assert kind is not Unlike.CASE or folded[0] == folded[1]


@STEADY
@given(raw_text().filter(lambda text: any(c.isalnum() for c in text)))
def test_a_change_of_case_is_called_so(text: str) -> None:
    other = text.swapcase()
    assume(other != text and other.casefold() == text.casefold())
    assert describe("city", text, other) is Unlike.CASE


@STEADY
@given(st.lists(WORD, min_size=2, max_size=4), st.sampled_from(["", "  ", "\x1f", "\u00a0", "\t"]))
def test_other_blanks_between_words_are_spacing(words: list[str], blank: str) -> None:
    assert describe("street", " ".join(words), blank.join(words)) is Unlike.SPACING


@STEADY
@given(SPECS.filter(lambda spec: spec.transform != "phone"), raw_text(), raw_text())
def test_letters_that_are_not_the_same_are_never_spacing(spec: FieldSpec, one: str, other: str) -> None:
    assert describe_unlikeness(spec, f"x{one}", f"y{other}") in {Unlike.OTHER, Unlike.COMPANY}


@STEADY
@given(st.sampled_from(["1", "43", "49", "353"]), st.from_regex(r"[1-9][0-9]{6,10}", fullmatch=True), st.booleans())
def test_the_national_form_of_a_number_is_the_same_number(country: str, rest: str, trunk: bool) -> None:
    assert describe("phone", f"+{country} {rest}", f"0{rest}" if trunk else rest) is Unlike.PHONE


@STEADY
@given(DIGITS, DIGITS)
def test_two_national_numbers_are_the_same_only_with_the_same_digits(one: str, other: str) -> None:
    assume(not one.startswith("00") and not other.startswith("00"))
    assert (describe("phone", f"{one} ", other) is Unlike.PHONE) == (one == other)


@STEADY
@given(st.lists(WORD, min_size=1, max_size=3), st.sampled_from(["GmbH", "Ltd.", "Inc", "S.A.", "& Co. KG", "e.V."]))
def test_a_legal_form_tells_no_two_companies_apart(words: list[str], form: str) -> None:
    name = " ".join(words)
    assert describe("company", f"{name.upper()}, {form}", name) is Unlike.COMPANY
