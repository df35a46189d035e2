"""Invisible characters, and the one form of an e-mail address."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.core_builders import BRIEF, HUBSPOT, STEADY, STRIPE, raw_text
from wanesync.core.fields import FieldSpec
from wanesync.core.values.characters import comparable, normalise_email, trim

ADDRESS = st.from_regex(r"[a-zA-Zé\u00df.]{1,6}@[a-zA-Z]{1,6}\.org", fullmatch=True)
ODD = st.text(
    st.sampled_from("ab \t\u00e9e\u0301\u0308\u200b\u200d\ufeff\u202a\u00ad\ufe0f\u1160\u2800\uff41\u00df\u0130@.-"),
    max_size=12,
)


@given(text=ODD)
@STEADY
def test_trimming_and_comparing_twice_is_doing_it_once(text: str) -> None:
    assert trim(trim(text)) == trim(text)
    assert comparable(comparable(text)) == comparable(text)
    assert comparable(trim(text)) == comparable(text)


@given(local=ODD, domain=ODD)
@STEADY
def test_an_address_of_any_characters_has_one_form(local: str, domain: str) -> None:
    once = normalise_email(f"{local}@{domain}")
    assert normalise_email(once) == once


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
        "\ufffekontakt@m\u00fcller.de\uffff",
        "\U0001fffe\ufdd0kontakt@m\u00fcller.de",
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
