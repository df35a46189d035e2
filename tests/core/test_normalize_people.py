"""Canonical forms of what makes a person: e-mail, phone and name."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.core_builders import BRIEF, HUBSPOT, STEADY, STRIPE, full_name, raw_text
from wanesync.core.fields import FieldSpec
from wanesync.core.model import normalise_email
from wanesync.core.normalize import NAME_PARTS, FormOptions
from wanesync.core.person_names import is_business

WORD = st.text("abcdeéßñ'-", min_size=1, max_size=8)
PHONE = st.text("0123456789+ ().-/x", max_size=40)
ADDRESS = st.from_regex(r"[a-zA-Zéß.]{1,6}@[a-zA-Z]{1,6}\.org", fullmatch=True)
NAME = FieldSpec("name", ("firstname", "lastname"), ("name",), transform="name")
PHONE_FIELD = FieldSpec("phone", ("phone",), ("phone",), transform="phone")
COUNTRIES = ["", "DE", "US", "IT", "MX", "GB"]


def phone_field(country: str) -> FieldSpec:
    return replace(PHONE_FIELD, options=FormOptions(default_country=country))


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


@pytest.mark.case(21)
@pytest.mark.parametrize(
    "spelling",
    [
        "kontakt@m\u00fcller.de",
        "kontakt@xn--mller-kva.de",
        "Kontakt@XN--MLLER-KVA.DE",
        "KONTAKT@M\u00dcLLER.DE",
        "kontakt@mu\u0308ller.de",
        "\ufeffkontakt@m\u00fcller.de\u200b ",
        "kon\u00adtakt@m\u00fc\u200dller.de",
        "\u202akontakt@m\u00fcller.de\u202c",
        "\uff4b\uff4fntakt@m\u00fcller\uff0ede",
        "kontakt@m\u00fcller\u3002de.",
    ],
)
def test_spellings_of_one_address_are_one_person(spelling: str) -> None:
    email = FieldSpec("email", ("email",), ("email",), transform="email")
    assert normalise_email(spelling) == "kontakt@xn--mller-kva.de"
    assert email.agree(email.form.read(spelling), "kontakt@m\u00fcller.de")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a@i\u2764.ws", "a@xn--i-7iq.ws"),
        ("a@i\u2764\ufe0f.ws", "a@xn--i-7iq.ws"),
        ("a@x_y.m\u00fcller.de", "a@x_y.xn--mller-kva.de"),
    ],
)
def test_domains_that_idna_refuses_have_one_form_too(one: str, other: str) -> None:
    assert normalise_email(one) == normalise_email(other)


def test_two_domains_are_two_people() -> None:
    assert normalise_email("a@stra\u00dfe.de") != normalise_email("a@strasse.de")


def test_an_address_is_sent_as_it_was_written() -> None:
    email = FieldSpec("email", ("email",), ("email",), transform="email")
    assert email.convert(STRIPE, email.form.read(" Kontakt@M\u00fcller.de\u200b"), "") == "kontakt@m\u00fcller.de"
    assert email.convert(HUBSPOT, email.form.read("kontakt@xn--mller-kva.de"), "") == "kontakt@xn--mller-kva.de"


def test_no_text_breaks_an_address() -> None:
    for text in ("@", "a@", "a@.", "a@xn--", "a@xn--a.de", "a@\ud800.de", "a@" + "\u00fc" * 5000, "\ud800", "a@[::1]"):
        assert normalise_email(normalise_email(text)) == normalise_email(text)


# -- phone


@given(raw=st.one_of(PHONE, PHONE.map("+49".__add__), PHONE.map("+44 (0)".__add__)), country=st.sampled_from(COUNTRIES))
@STEADY
def test_reading_a_number_twice_is_reading_it_once(raw: str, country: str) -> None:
    form = phone_field(country).form
    assert form.read(form.read(raw)) == form.read(raw)


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
        ("+39 (0)6 69812345", "+390669812345"),
        ("+36 (06) 1 234 5678", "+3612345678"),
        ("+7 (8) 495 123-45-67", "+74951234567"),
        ("\uff0b\uff14\uff19\u3000\uff13\uff10\u3000901820", "+4930901820"),
        ("+\u0664\u0669\u0663\u0660\u0669\u0660\u0661\u0668\u0662\u0660", "+4930901820"),
        ("Tel.: +49 30 901820", "+4930901820"),
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


@pytest.mark.parametrize(
    "name",
    [
        "Acme 2000 GmbH",
        "Nordwind AG",
        "Acme, Inc.",
        "S\u00e3o Paulo S.A.",
        "M\u00fcller & S\u00f6hne",
        "Grand Plaza Hotel",
        "\u682a\u5f0f\u4f1a\u793e\u65e5\u7acb",
    ],
)
def test_a_business_is_known_by_its_name(name: str) -> None:
    assert is_business(name)


@pytest.mark.parametrize("name", ["Ada Byron", "Ana Sa", "Tom Bank", "Kim Se", "JOHN AS", "Cher", "John Smith III"])
def test_a_person_is_no_business(name: str) -> None:
    assert not is_business(name)


def test_a_business_name_is_listed_where_the_configuration_says_so() -> None:
    spec = replace(NAME, options=FormOptions(business_names="list"))
    assert spec.convert(HUBSPOT, "Acme GmbH", "") is None
    assert spec.why_not("Acme GmbH") == "unsplit"


def test_a_separator_inside_a_name_cannot_forge_two_parts() -> None:
    assert NAME.form.read_hubspot([f"Ada{NAME_PARTS}X", "Byron"]) == full_name("Ada X", "Byron")
