"""Phone numbers: E.164 where the country is certain, as typed otherwise."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import BRIEF, HUBSPOT, STEADY, STRIPE
from wanesync.core.fields import FieldSpec
from wanesync.core.normalize import FormOptions
from wanesync.core.values.phones import holds_several, phone_key, read_phone, shorten

PHONE = st.text("0123456789+ ().-/x", max_size=40)
PHONE_FIELD = FieldSpec("phone", ("phone",), ("phone",), transform="phone")
COUNTRIES = ["", "DE", "US", "IT", "MX", "GB"]


def phone_field(country: str) -> FieldSpec:
    return replace(PHONE_FIELD, options=FormOptions(default_country=country))


@given(raw=st.one_of(PHONE, PHONE.map("+49".__add__), PHONE.map("+44 (0)".__add__)), country=st.sampled_from(COUNTRIES))
@STEADY
def test_reading_a_number_twice_is_reading_it_once(raw: str, country: str) -> None:
    form = phone_field(country).form
    assert form.read(form.read(raw)) == form.read(raw)


@pytest.mark.parametrize("country", COUNTRIES)
@pytest.mark.parametrize("raw", ["+ (0)", "+(0)", "00 (0)", "(0)00", "0(0)+1", "tel: + (0) ", "+(0) x 5"])
def test_a_trunk_zero_without_a_number_is_read(raw: str, country: str) -> None:
    assert phone_field(country).form.read(raw) == phone_field(country).form.read(phone_field(country).form.read(raw))


PIECES = ["+49", "0049", "(0)", "[0]", " ", "-", "/", "030", "1234567", "ext", "x", ",", "tel:", "00", "+", "0", "8"]


@given(raw=st.lists(st.sampled_from(PIECES), max_size=6).map("".join), country=st.sampled_from(COUNTRIES))
@STEADY
def test_what_forms_leave_of_a_number_is_read(raw: str, country: str) -> None:
    value = phone_field(country).form.read(raw)
    assert phone_field(country).form.read(value) == value


@given(raw=st.one_of(PHONE, PHONE.map("+49".__add__)), country=st.sampled_from(COUNTRIES))
@STEADY
def test_a_phone_for_stripe_is_whole_or_not_written(raw: str, country: str) -> None:
    spec = phone_field(country)
    value = spec.form.read(raw)
    sent = spec.convert(STRIPE, value, "")
    if sent is None:
        assert spec.why_not(value) in {"several_numbers", "too_long"}
    else:
        assert len(sent) <= 20
        assert spec.agree(value, sent)


@given(digits=st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True), data=st.data())
@BRIEF
def test_an_international_number_is_one_value_however_it_is_written(digits: str, data: st.DataObject) -> None:
    marks = data.draw(
        st.lists(st.sampled_from(["", " ", "-", ".", "\u200e"]), min_size=len(digits), max_size=len(digits))
    )
    prefix = data.draw(st.sampled_from(["+", "00", "+ ", "(+", "(00)"]))
    raw = prefix + "".join(mark + digit for mark, digit in zip(marks, digits, strict=True))
    assert PHONE_FIELD.form.read(raw) == PHONE_FIELD.form.read(f"+{digits}")


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        pytest.param("+44 (0) 20 7946 0958", "+442079460958", marks=pytest.mark.case(18)),
        pytest.param("\u202d+1 (202) 555-0143\u202c", "+12025550143", marks=pytest.mark.case(19)),
        ("+4402079460958", "+442079460958"),
        ("+44 (020) 7946 0958", "+442079460958"),
        ("+41 (0)44 668 18 00", "+41446681800"),
        ("0049 (0)30 901820", "+4930901820"),
        ("+34 (0) 912345678", "+34912345678"),
        ("+49 [0] 30 901820", "+4930901820"),
        ("+39 (0)6 69812345", "+390669812345"),
        ("+36 (06) 1 234 5678", "+3612345678"),
        ("+7 (8) 495 123-45-67", "+74951234567"),
        ("\uff0b\uff14\uff19\u3000\uff13\uff10\u3000901820", "+4930901820"),
        ("+\u0664\u0669\u0663\u0660\u0669\u0660\u0661\u0668\u0662\u0660", "+4930901820"),
        ("Tel.: +49 30 901820", "+4930901820"),
        ("'+49 30 901820", "+4930901820"),
        ("+1-800-FLOWERS", "+18003569377"),
        ("+49 30 901820 ext. 12", "+4930901820x12"),
        ("+49 30 901820;ext=12", "+4930901820x12"),
        ("+49-30-901820-21", "+493090182021"),
        ("+49 30 901820 office", "+49 30 901820 office"),
        ("+49 30 901820/21", "+49 30 901820/21"),
    ],
)
def test_a_number_with_a_country_code_becomes_e164(raw: str, read: str) -> None:
    assert PHONE_FIELD.form.read(raw) == read


@pytest.mark.parametrize("raw", ["030 1234567", "(415) 555-0100", "1-800-FLOWERS", "110", "n/a"])
def test_a_national_number_stays_as_typed_without_a_default_country(raw: str) -> None:
    assert PHONE_FIELD.form.read(raw) == raw


@pytest.mark.parametrize(
    ("country", "raw", "read"),
    [
        ("GB", "020 7946 0958", "+442079460958"),
        ("DE", "030/901820", "+4930901820"),
        ("DE", "030 901820 Durchwahl 4", "+4930901820x4"),
        ("US", "1-800-FLOWERS", "+18003569377"),
        ("US", "011 49 30 901820", "+4930901820"),
        ("US", "011 44 20 7946 0958", "+442079460958"),
        ("US", "0049 30 901820", "+4930901820"),
        ("IT", "06 6981 2345", "+390669812345"),
        ("DE", "110", "110"),
        ("US", "555-0100", "555-0100"),
        ("DE", "+44 20 7946 0958", "+442079460958"),
    ],
)
def test_a_default_country_completes_national_numbers(country: str, raw: str, read: str) -> None:
    assert phone_field(country).form.read(raw) == read


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("+49 30 901820 / +49 171 2345678", marks=pytest.mark.case(20)),
        "030 901820 / 0171 2345678",
        "+49 30 901820, 0171 2345678",
        "0301234567 or 01712345678",
        "+18005551234 +18005551235",
        "+49 30 901820\n+49 171 2345678",
        "030 901820/21",
        "5550100/5550101",
        "555-0143 555-0144",
    ],
)
def test_two_numbers_are_no_number_and_are_listed(raw: str) -> None:
    value = PHONE_FIELD.form.read(raw)
    assert PHONE_FIELD.convert(STRIPE, value, "") is None
    assert PHONE_FIELD.convert(HUBSPOT, value, "") is None
    assert PHONE_FIELD.why_not(value) == "several_numbers"


def test_a_number_that_would_be_cut_is_listed() -> None:
    value = PHONE_FIELD.form.read("+49 30 12345678 x123456789")
    assert PHONE_FIELD.convert(STRIPE, value, "") is None
    assert PHONE_FIELD.why_not(value) == "too_long"


def test_an_extension_makes_another_number() -> None:
    assert PHONE_FIELD.agree("+4930901820x12", PHONE_FIELD.form.read("+49 30 901820 # 12"))
    assert not PHONE_FIELD.agree("+4930901820x12", "+493090182012")
    assert PHONE_FIELD.agree(PHONE_FIELD.form.read("030 901820 ext 4"), "030901820x4")
    assert PHONE_FIELD.convert(STRIPE, PHONE_FIELD.form.read("(0 30) 9 0 1 8 2 0 - ext. 4"), "") == "030901820x4"


@pytest.mark.parametrize("unit", ["\ufdfa", ";", "(0)", "+49 30 1234567;", "x", " ", "\u200b+49 30 1234567"])
@pytest.mark.parametrize("country", ["", "DE"])
def test_a_text_too_long_for_a_number_costs_no_time_and_stays_as_typed(unit: str, country: str) -> None:
    """65,536 times a sign that NFKC makes 18 of took 5 s: a public form may bring hundreds of them."""
    text = unit * (65_536 // len(unit))
    began_s = time.thread_time()
    read = read_phone(text, country)
    key = phone_key(read)
    holds_several(read)
    shorten(read, 20)
    assert time.thread_time() - began_s < 0.5
    assert read == read_phone(read, country)
    assert key == phone_key(key)
    assert len(read) <= len(text)


def test_a_number_between_many_blanks_is_found() -> None:
    assert read_phone(" " * 300 + "+49 (0)30 1234567" + "\u200b" * 300, "") == "+49301234567"
