"""The kind of difference between two values of one field, by which people sort and filter differences."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

from wanesync.core.fields import FieldSpec

LEGAL_FORMS = frozenset(
    "gmbh mbh ag ug kg kgaa ohg ev eg ek se inc incorporated llc ltd limited corp corporation co company plc sa sas "
    "sarl srl sl spa bv bvba nv oy oyj oü ab as asa aps pty pte pvt llp lp gbr sro doo kft kk".split()
)
"""Legal forms that do not tell one company from another, written without dots."""
JOINERS = frozenset({"and", "und", "et"})
"""Words that mean the same as an ampersand."""
MIN_PHONE_DIGITS = 7
"""Digits of the shortest full number with a country code (ITU-T E.164)."""


class ValueKind(StrEnum):
    """The kinds of differences; the values are part of the JSON output."""

    BLANK = "blank"
    CASE = "case"
    SPACING = "spacing"
    PHONE = "phone format"
    COMPANY = "company name"
    OTHER = "other"


def classify_values(spec: FieldSpec, hubspot: str, stripe: str) -> ValueKind:
    """Return the kind of difference between two values that do not agree; the order of the sides does not matter.

    ``BLANK``: one side has no visible character. ``CASE``: only upper and lower case differ. ``SPACING``: blanks and
    invisible characters differ, perhaps case too. ``PHONE``: one number in two notations. ``COMPANY``: one name apart
    from legal form, punctuation and case.
    """
    tight_hubspot, tight_stripe = _without_blanks(hubspot), _without_blanks(stripe)
    if not tight_hubspot or not tight_stripe:
        return ValueKind.BLANK
    if spec.transform == "phone":
        return ValueKind.PHONE if _same_number(hubspot, stripe) else _compare_text(hubspot, stripe)
    kind = _compare_text(hubspot, stripe)
    if kind is ValueKind.OTHER and _names_a_company(spec) and _same_company(hubspot, stripe):
        return ValueKind.COMPANY
    return kind


def _compare_text(hubspot: str, stripe: str) -> ValueKind:
    even_hubspot, even_stripe = _with_even_blanks(hubspot), _with_even_blanks(stripe)
    if even_hubspot != even_stripe and _fold(even_hubspot) == _fold(even_stripe):
        return ValueKind.CASE
    same = _fold(_without_blanks(hubspot)) == _fold(_without_blanks(stripe))
    return ValueKind.SPACING if same and hubspot != stripe else ValueKind.OTHER


def _with_even_blanks(value: str) -> str:
    """Return the value with every run of blanks, including the unit separator of names, as one space."""
    return " ".join(value.split())


def _fold(value: str) -> str:
    """Return the value without case, in NFC, which case folding does not preserve."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).casefold())


def _without_blanks(value: str) -> str:
    """Return the value without blanks, control characters and characters of no width."""
    return "".join(char for char in value if not char.isspace() and unicodedata.category(char) not in {"Cc", "Cf"})


# -- phone numbers


def _same_number(one: str, other: str) -> bool:
    """Return whether two texts are one number, perhaps one of them without its country code."""
    digits, others = _digits(one), _digits(other)
    words = {_letters(one), _letters(other)}
    if not digits or not others or len(words - {""}) == 2:
        return False
    if digits == others:
        return len(words) == 1 or len(digits) >= MIN_PHONE_DIGITS
    if words != {""}:
        return False
    here, there = _international(one, digits), _international(other, others)
    if here and there:
        return here == there or _drops_trunk_zero(here, there) or _drops_trunk_zero(there, here)
    if here or there:
        return _is_national(here or there, others if here else digits)
    return False


def _digits(value: str) -> str:
    """Return the decimal digits of any script, as ASCII."""
    return "".join(str(unicodedata.decimal(char)) for char in value if char.isdecimal())


def _letters(value: str) -> str:
    return "".join(char for char in value.casefold() if char.isalpha())


def _international(value: str, digits: str) -> str:
    """Return the digits of a number from its country code on; "" if it has none."""
    if _without_blanks(value).startswith(("+", "(+")):
        return digits
    return digits[2:] if digits.startswith("00") else ""


def _is_national(international: str, national: str) -> bool:
    """Return whether a national number is the international one without its country code of 1 to 3 digits."""
    rest = national.removeprefix("0")
    return len(international) - len(rest) in {1, 2, 3} and international.endswith(rest)


def _drops_trunk_zero(longer: str, shorter: str) -> bool:
    """Return whether two numbers differ by a trunk zero: ``+49 (0)30 12`` for ``+49 30 12``."""
    return any(longer[at : at + 1] == "0" and longer[:at] + longer[at + 1 :] == shorter for at in (1, 2, 3))


# -- company names


def _names_a_company(spec: FieldSpec) -> bool:
    return spec.name == "company" or "company" in spec.hubspot or "business_name" in spec.stripe


def _same_company(one: str, other: str) -> bool:
    words = _company_words(one)
    return bool(words) and words == _company_words(other)


def _company_words(value: str) -> list[str]:
    """Return the words of a company name without case, punctuation, joining words and legal form."""
    text = re.sub(r"[.'’`´/]", "", _fold(value))
    words = re.sub(r"[\W_]+", " ", text).split()
    while len(words) > 1 and words[-1] in LEGAL_FORMS | JOINERS:
        words.pop()
    return [word for word in words if word not in JOINERS] or words
