"""Canonical forms: reading, comparing and converting values of both sides."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import BRIEF, FIELDS, HUBSPOT, STEADY, STRIPE, full_name, raw_text
from wanesync.core.fields import FieldSpec
from wanesync.core.model import Record, Side
from wanesync.core.normalize import FORMS, make_form
from wanesync.core.values.characters import collapse
from wanesync.core.values.countries import NAMES
from wanesync.core.values.typed import TYPE_READERS

WHOLE = {"email", "phone", "country", *TYPE_READERS}
"""Forms whose values are never cut: what does not fit is not written."""
ONE_PROPERTY = sorted(set(FORMS) - {"name"})
WORD = st.text("abcdeéßñ'-", min_size=1, max_size=8)
PHONE = st.text("0123456789+ ().-/x", max_size=40)
ADDRESS = st.from_regex(r"[a-zA-Zéß.]{1,6}@[a-zA-Z]{1,6}\.org", fullmatch=True)
TIME = st.one_of(st.datetimes().map(lambda at: at.isoformat()), st.integers(-(10**16), 10**16).map(str))
COUNTRY = FieldSpec("country", ("country",), ("address.country",), transform="country")
SHORT = FieldSpec("company", ("company",), ("business_name",))


def spec_of(transform: str) -> FieldSpec:
    return FieldSpec("field", ("field",), ("metadata.field",), transform=transform)


def read(transform: str, side: Side, raw: str) -> str:
    form = make_form(transform)
    return form.read_hubspot([raw]) if side is HUBSPOT else form.read_stripe(raw)


def typed(transform: str) -> st.SearchStrategy[str]:
    likely = {
        "phone": PHONE,
        "country": st.sampled_from([*NAMES, *NAMES.values()]),
        "language": st.from_regex(r"[a-zA-Z]{2}([-_][a-zA-Z]{2})?", fullmatch=True),
        "email": ADDRESS,
        "date": TIME,
        "datetime": TIME,
        "number": st.text("0123456789.-+eE", max_size=12),
        "bool": st.sampled_from(["TRUE", "False", "true"]),
        "choices": st.text("ab; \u200b", max_size=12),
    }
    return st.one_of(likely.get(transform, WORD), raw_text())


# -- every form


@pytest.mark.parametrize("transform", ONE_PROPERTY)
@pytest.mark.parametrize("side", Side)
@given(data=st.data())
@BRIEF
def test_reading_a_value_twice_is_reading_it_once(transform: str, side: Side, data: st.DataObject) -> None:
    once = read(transform, side, data.draw(typed(transform)))
    assert read(transform, side, once) == once


@pytest.mark.parametrize("transform", ONE_PROPERTY)
@given(data=st.data())
@BRIEF
def test_a_hubspot_value_agrees_with_what_stripe_is_given_for_it(transform: str, data: st.DataObject) -> None:
    spec = spec_of(transform)
    value = read(transform, HUBSPOT, data.draw(typed(transform)))
    there = spec.convert(STRIPE, value, "")
    if there is None:
        assert transform in WHOLE
        return
    assert spec.agree(value, read(transform, STRIPE, there))


@pytest.mark.parametrize("transform", ONE_PROPERTY)
@given(data=st.data())
@BRIEF
def test_a_stripe_value_agrees_with_what_hubspot_is_given_for_it(transform: str, data: st.DataObject) -> None:
    spec = spec_of(transform)
    value = read(transform, STRIPE, data.draw(typed(transform)))
    here = spec.convert(HUBSPOT, value, "")
    if here is None:
        assert transform == "phone"
        return
    assert spec.agree(read(transform, HUBSPOT, here), value)


@pytest.mark.parametrize("transform", ONE_PROPERTY)
@given(data=st.data())
@BRIEF
def test_what_stripe_is_given_reads_back_as_it_was_sent(transform: str, data: st.DataObject) -> None:
    value = read(transform, HUBSPOT, data.draw(typed(transform)))
    sent = spec_of(transform).convert(STRIPE, value, "")
    assert sent is None or read(transform, STRIPE, sent) == sent


@pytest.mark.parametrize("transform", ONE_PROPERTY)
@given(data=st.data())
@BRIEF
def test_what_hubspot_is_given_reads_back_as_it_was_sent(transform: str, data: st.DataObject) -> None:
    value = read(transform, STRIPE, data.draw(typed(transform)))
    sent = spec_of(transform).convert(HUBSPOT, value, "")
    assert sent is None or read(transform, HUBSPOT, sent) == sent


@pytest.mark.parametrize("spec", FIELDS.specs, ids=lambda spec: spec.name)
def test_a_blank_is_a_blank_on_the_other_side(spec: FieldSpec) -> None:
    assert spec.convert(STRIPE, "", "anything") == ""
    assert spec.convert(HUBSPOT, "", full_name("Ada", "Byron")) == ""


@pytest.mark.parametrize("spec", FIELDS.specs, ids=lambda spec: spec.name)
def test_only_blanks_read_as_blank(spec: FieldSpec) -> None:
    assert spec.form.read_hubspot(["  \t"] * len(spec.hubspot)) == ""
    assert spec.form.read_stripe(" \n ") == ""


# -- what Stripe can hold


@pytest.mark.parametrize("transform", ONE_PROPERTY)
@given(data=st.data(), limited=st.sampled_from(["phone", "name", "business_name", "metadata.note", "email"]))
@BRIEF
def test_stripe_is_never_given_more_than_it_takes(transform: str, limited: str, data: st.DataObject) -> None:
    spec = FieldSpec("field", ("field",), (limited,), transform=transform)
    sent = spec.convert(STRIPE, read(transform, HUBSPOT, data.draw(typed(transform)) * 30), "")
    assert transform in WHOLE if sent is None else len(sent) <= spec.limit


@given(company=raw_text(170), tail=raw_text(30))
@STEADY
def test_a_text_cut_by_stripe_still_agrees_with_the_whole(company: str, tail: str) -> None:
    whole = SHORT.form.read(company + " and sons " * 15 + tail)
    cut = SHORT.convert(STRIPE, whole, "")
    assert cut is not None
    assert SHORT.agree(whole, SHORT.form.read_stripe(cut))


def test_a_cut_that_ends_in_a_blank_is_sent_as_stripe_will_show_it() -> None:
    whole = "x" * 149 + " and sons"
    cut = SHORT.convert(STRIPE, whole, "")
    assert cut == "x" * 149
    assert SHORT.agree(whole, "x" * 149)


# -- country and language


def test_a_country_name_and_its_code_are_one_value() -> None:
    for code, name in NAMES.items():
        assert COUNTRY.convert(STRIPE, name, "") == code.upper()
        assert COUNTRY.convert(HUBSPOT, code.upper(), "") == name
        assert unicodedata.is_normalized("NFC", name)


def test_a_country_that_already_says_the_same_keeps_its_spelling() -> None:
    assert COUNTRY.convert(HUBSPOT, "DE", "Deutschland") == "Deutschland"


def test_an_unknown_country_is_not_written_to_stripe() -> None:
    assert COUNTRY.convert(STRIPE, "Freedonia", "") is None
    assert COUNTRY.why_not("Freedonia") == "unknown_country"
    assert COUNTRY.convert(HUBSPOT, "Freedonia", "") == "Freedonia"
    assert COUNTRY.agree("FREEDONIA", "Freedonia\u200b")


def test_a_language_tag_has_the_case_of_its_side() -> None:
    language = FieldSpec("language", ("hs_language",), ("preferred_locales",), transform="language")
    assert language.convert(STRIPE, "de-at", "") == "de-AT"
    assert language.convert(HUBSPOT, "de-AT", "") == "de-at"
    assert language.agree("de-at", "de_AT")
    assert language.agree("de-at\u200e", "de_AT")
    assert language.convert(STRIPE, "zh-hans-cn", "") == "zh-Hans-CN"


@given(text=st.text(st.sampled_from(" \t\n\x1f\x85\xa0\u2003\u200b\u2028abé"), max_size=12))
@BRIEF
def test_every_run_of_blanks_becomes_one_space(text: str) -> None:
    assert collapse(text) == re.sub(r"\s+", " ", text)


# -- texts

TEXT = spec_of("text")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("M\u00fcnchen", "Mu\u0308nchen"),
        ("Line 1\r\nLine 2", "Line 1\nLine 2"),
        ("Berlin", "\ufeffBerlin \u200b"),
        ("Ber\u00adlin", "Berlin"),
        ("\u2067\u05d7\u05d9\u05e4\u05d4\u2069", "\u05d7\u05d9\u05e4\u05d4"),
        ("a\u00a0b", "a b"),
    ],
)
def test_spellings_that_look_the_same_are_one_text(one: str, other: str) -> None:
    here, there = TEXT.form.read(one), TEXT.form.read(other)
    assert TEXT.agree(here, there)


def test_what_joins_characters_is_sent_as_it_was_written() -> None:
    for text in ("\U0001f468\u200d\U0001f469", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u2764\ufe0f"):
        assert TEXT.convert(STRIPE, TEXT.form.read(text), "") == text


def test_only_invisible_characters_are_a_blank() -> None:
    for transform in FORMS:
        form = make_form(transform)
        assert form.read_stripe("\u200b \ufeff\u202a") == ""
        assert form.read_hubspot(["\u2060"] * (2 if transform == "name" else 1)) == ""


# -- the field map


@given(values=st.fixed_dictionaries({"city": raw_text(10), "state": raw_text(10)}))
@BRIEF
def test_records_compare_equal_exactly_when_every_field_agrees(values: dict[str, str]) -> None:
    here = {name: FIELDS.by_name[name].form.read(value) for name, value in values.items()}
    same = {name: value.replace(" ", "  ") for name, value in here.items()}
    assert FIELDS.comparison(Record(HUBSPOT, "1", here)) == FIELDS.comparison(Record(STRIPE, "2", same))
    other = {**here, "city": here["city"] + "x"}
    assert FIELDS.comparison(Record(HUBSPOT, "1", here)) != FIELDS.comparison(Record(STRIPE, "2", other))
