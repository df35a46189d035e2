"""In which way two values of one field are unlike: what a person wants to sort differences by."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

from wanesync.core.fields import FieldSpec

LEGAL_FORMS = frozenset(
    "gmbh mbh ag ug kg kgaa ohg ev eg ek se inc incorporated llc ltd limited corp corporation co company plc sa sas "
    "sarl srl sl spa bv bvba nv oy oyj oü ab as asa aps pty pte pvt llp lp gbr sro doo kft kk".split()
)
"""Words a company's name may end in without being another company's: written without their dots."""
JOINERS = frozenset({"and", "und", "et"})
"""What an ampersand is read as."""
MIN_PHONE_DIGITS = 7
"""A number with its country has at least these (E.164); fewer are no proof that a text is one number."""


class ValueKind(StrEnum):
    """The kinds of unlikeness."""

    BLANK = "blank"
    CASE = "case"
    SPACING = "spacing"
    PHONE = "phone format"
    COMPANY = "company name"
    OTHER = "other"


def classify_values(spec: FieldSpec, hubspot: str, stripe: str) -> ValueKind:
    """Which kind two values of one field that do not agree are of; the sides may change places.

    ``BLANK``: one side holds nothing to be seen. ``CASE``: upper and lower case only. ``SPACING``: blanks and marks
    that cannot be seen, perhaps case too. ``PHONE``: one number, written in two ways. ``COMPANY``: one name but for
    the legal form, punctuation and case.
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
    """One blank for each run of them, of which the unit separator of names is one: what no comparison counts."""
    return " ".join(value.split())


def _fold(value: str) -> str:
    """Without case; in NFC, which case folding may leave."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).casefold())


def _without_blanks(value: str) -> str:
    """Without blanks, control characters and marks of no width."""
    return "".join(c for c in value if not c.isspace() and unicodedata.category(c) not in {"Cc", "Cf"})


# -- phone numbers


def _same_number(one: str, other: str) -> bool:
    """The same digits, or one with and one without its country's code."""
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
    """Decimal digits of whatever script, as ASCII."""
    return "".join(str(unicodedata.decimal(c)) for c in value if c.isdecimal())


def _letters(value: str) -> str:
    return "".join(c for c in value.casefold() if c.isalpha())


def _international(value: str, digits: str) -> str:
    """The digits of a number that says its country, from the country's code on; else ""."""
    if _without_blanks(value).startswith(("+", "(+")):
        return digits
    return digits[2:] if digits.startswith("00") else ""


def _is_national(international: str, national: str) -> bool:
    """Whether a number without its country is the other without its code of one to three digits."""
    rest = national.removeprefix("0")
    return len(international) - len(rest) in {1, 2, 3} and international.endswith(rest)


def _drops_trunk_zero(longer: str, shorter: str) -> bool:
    """``+49 (0)30 12`` is often written for ``+49 30 12``."""
    return any(longer[at : at + 1] == "0" and longer[:at] + longer[at + 1 :] == shorter for at in (1, 2, 3))


# -- company names


def _names_a_company(spec: FieldSpec) -> bool:
    return spec.name == "company" or "company" in spec.hubspot or "business_name" in spec.stripe


def _same_company(one: str, other: str) -> bool:
    words = _company_words(one)
    return bool(words) and words == _company_words(other)


def _company_words(value: str) -> list[str]:
    """What tells one company from another: its words without case, punctuation, joiners and legal form."""
    text = re.sub(r"[.'’`´/]", "", _fold(value))
    words = re.sub(r"[\W_]+", " ", text).split()
    while len(words) > 1 and words[-1] in LEGAL_FORMS | JOINERS:
        words.pop()
    return [word for word in words if word not in JOINERS] or words
