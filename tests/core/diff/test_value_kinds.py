"""In which way two values are unlike: the kinds a person sorts differences by."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.core_builders import FIELDS, STEADY, full_name, raw_text
from wanesync.core.diff.value_kinds import ValueKind, classify_values
from wanesync.core.fields import FieldSpec

SPECS = st.sampled_from(FIELDS.specs)
DIGITS = st.text("0123456789", min_size=7, max_size=12)
WORD = st.text("abcdefgh", min_size=2, max_size=8).filter(lambda word: word not in {"ag", "ab"})


def describe(name: str, hubspot: str, stripe: str) -> ValueKind:
    return classify_values(FIELDS.by_name[name], hubspot, stripe)


@pytest.mark.parametrize(
    ("name", "hubspot", "stripe", "kind"),
    [
        ("city", "", "Wien", ValueKind.BLANK),
        ("phone", "+431", "", ValueKind.BLANK),
        ("name", full_name("", ""), "Ada", ValueKind.BLANK),
        ("city", "\u200b", "Wien", ValueKind.BLANK),
        ("city", "Wien", "WIEN", ValueKind.CASE),
        ("street", "Lange Straße 1", "LANGE STRASSE 1", ValueKind.CASE),
        ("name", full_name("Ada", "LOVELACE"), "ada lovelace", ValueKind.CASE),
        ("name", full_name("Jean", "Luc"), "Jeanluc", ValueKind.SPACING),
        ("name", full_name("Ada", "Lovelace"), "Ada Byron", ValueKind.OTHER),
        ("postal_code", "SW1A 1AA", "SW1A1AA", ValueKind.SPACING),
        ("postal_code", "SW1A 1AA", "sw1a1aa", ValueKind.SPACING),
        ("postal_code", "1010-A", "1010A", ValueKind.OTHER),
        ("street", "Ring\u00a01", "Ring1", ValueKind.SPACING),
        ("phone", "+49 30 1234567", "030 1234567", ValueKind.PHONE),
        ("phone", "030/1234567", "+49301234567", ValueKind.PHONE),
        ("phone", "+1 212 555 0100", "(212) 555-0100", ValueKind.PHONE),
        ("phone", "1 212 555 0100", "+12125550100", ValueKind.PHONE),
        ("phone", "+49 (0)30 1234567", "+49301234567", ValueKind.PHONE),
        ("phone", "+49301234567", "+49 (0)30 1234567", ValueKind.PHONE),
        ("phone", "030 1234567 Ada", "030 1234567 Bob", ValueKind.OTHER),
        ("phone", "0049 30 123", "+4930123", ValueKind.PHONE),
        ("phone", "tel. 030 1234567", "030 1234567", ValueKind.PHONE),
        ("phone", "٠٣٠ ١٢٣٤٥٦٧", "030 1234567", ValueKind.PHONE),
        ("phone", "+49 30 1234567", "030 1234568", ValueKind.OTHER),
        ("phone", "+49 30 1234567", "+43 30 1234567", ValueKind.OTHER),
        ("phone", "+49 30 1234567", "4567", ValueKind.OTHER),
        ("phone", "1-800-FLOWERS", "1-800-CONTACTS", ValueKind.OTHER),
        ("phone", "1800FLOWERS", "1800", ValueKind.OTHER),
        ("phone", "unknown", "none", ValueKind.OTHER),
        ("phone", "Unknown", "unknown", ValueKind.CASE),
        ("company", "Acme GmbH", "ACME", ValueKind.COMPANY),
        ("company", "Acme GmbH & Co. KG", "Acme", ValueKind.COMPANY),
        ("company", "Acme, Inc.", "Acme Incorporated", ValueKind.COMPANY),
        ("company", "Smith & Sons", "Smith and Sons Ltd", ValueKind.COMPANY),
        ("company", "Volvo S.A.", "Volvo", ValueKind.COMPANY),
        ("company", "O'Neill", "ONeill", ValueKind.COMPANY),
        ("company", "Acme", "ACME", ValueKind.CASE),
        ("company", "Acme Labs", "AcmeLabs", ValueKind.SPACING),
        ("company", "Acme Berlin GmbH", "Acme Wien GmbH", ValueKind.OTHER),
        ("company", "AG", "GmbH", ValueKind.OTHER),
        ("company", "Limited", "Limited Inc.", ValueKind.COMPANY),
        ("company", "!!!", "???", ValueKind.OTHER),
        ("city", "Acme GmbH", "Acme", ValueKind.OTHER),
        ("country", "Germany", "AT", ValueKind.OTHER),
        ("email", "ada@example.com", "ada@example.org", ValueKind.OTHER),
    ],
)
def test_each_kind_is_told(name: str, hubspot: str, stripe: str, kind: ValueKind) -> None:
    assert describe(name, hubspot, stripe) is kind


@pytest.mark.parametrize("spec", [FieldSpec("firm", ("company",), ("metadata.firm",)),
                                  FieldSpec("firm", ("firm",), ("business_name",))])  # fmt: skip
def test_a_company_is_known_by_its_property_too(spec: FieldSpec) -> None:
    assert classify_values(spec, "Acme GmbH", "Acme") is ValueKind.COMPANY


@STEADY
@given(SPECS, raw_text(), raw_text())
def test_the_sides_may_change_places(spec: FieldSpec, one: str, other: str) -> None:
    assert classify_values(spec, one, other) is classify_values(spec, other, one)


@STEADY
@given(SPECS, raw_text())
def test_nothing_against_something_is_blank(spec: FieldSpec, value: str) -> None:
    assert classify_values(spec, value, "") is ValueKind.BLANK


@STEADY
@given(SPECS, raw_text(), raw_text())
def test_what_can_be_seen_on_both_sides_is_not_blank(spec: FieldSpec, one: str, other: str) -> None:
    assert classify_values(spec, f"a{one}", f"b{other}") is not ValueKind.BLANK


@STEADY
@given(raw_text(), raw_text())
def test_case_means_equal_but_for_case(one: str, other: str) -> None:
    kind = describe("city", one, other)
    folded = [unicodedata.normalize("NFC", text.casefold()).split() for text in (one, other)]
    assume(all(unicodedata.is_normalized("NFC", text) for text in (one, other)))
    assert kind is not ValueKind.CASE or folded[0] == folded[1]


@STEADY
@given(raw_text().filter(lambda text: any(c.isalnum() for c in text)))
def test_a_change_of_case_is_called_so(text: str) -> None:
    other = text.swapcase()
    assume(other != text and other.casefold() == text.casefold())
    assert describe("city", text, other) is ValueKind.CASE


@STEADY
@given(st.lists(WORD, min_size=2, max_size=4), st.sampled_from(["", "  ", "\x1f", "\u00a0", "\t"]))
def test_other_blanks_between_words_are_spacing(words: list[str], blank: str) -> None:
    assert describe("street", " ".join(words), blank.join(words)) is ValueKind.SPACING


@STEADY
@given(SPECS.filter(lambda spec: spec.transform != "phone"), raw_text(), raw_text())
def test_letters_that_are_not_the_same_are_never_spacing(spec: FieldSpec, one: str, other: str) -> None:
    assert classify_values(spec, f"x{one}", f"y{other}") in {ValueKind.OTHER, ValueKind.COMPANY}


@STEADY
@given(st.sampled_from(["1", "43", "49", "353"]), st.from_regex(r"[1-9][0-9]{6,10}", fullmatch=True), st.booleans())
def test_the_national_form_of_a_number_is_the_same_number(country: str, rest: str, trunk: bool) -> None:
    assert describe("phone", f"+{country} {rest}", f"0{rest}" if trunk else rest) is ValueKind.PHONE


@STEADY
@given(DIGITS, DIGITS)
def test_two_national_numbers_are_the_same_only_with_the_same_digits(one: str, other: str) -> None:
    assume(not one.startswith("00") and not other.startswith("00"))
    assert (describe("phone", f"{one} ", other) is ValueKind.PHONE) == (one == other)


@STEADY
@given(st.lists(WORD, min_size=1, max_size=3), st.sampled_from(["GmbH", "Ltd.", "Inc", "S.A.", "& Co. KG", "e.V."]))
def test_a_legal_form_tells_no_two_companies_apart(words: list[str], form: str) -> None:
    name = " ".join(words)
    assert describe("company", f"{name.upper()}, {form}", name) is ValueKind.COMPANY


def test_a_number_with_words_on_one_side_is_the_same_number_only_when_its_digits_are() -> None:
    assert describe("phone", "0301234567", "0301234567 ext") is ValueKind.PHONE
    assert describe("phone", "0301234567", "0309999999 ext") is ValueKind.OTHER
