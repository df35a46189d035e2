"""Canonical forms: how a value of each side is read, compared and converted for the other side.

``key`` maps values that mean the same to one text. ``to_stripe`` takes a HubSpot value (or a Stripe value, which it
leaves unchanged); ``to_hubspot`` also takes what the contact holds now, because a full name can be split into two
fields only with its help.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from wanesync.core.countries import CODES, NAMES
from wanesync.core.model import normalise_email

SPACES = re.compile(r"\s+")
NAME_PARTS = "\x1f"
"""Unit separator between first and last name."""
PHONE_MARKS = re.compile(r"[\s().\-/\u2010-\u2015]+")
E164 = re.compile(r"\+[1-9]\d{6,14}")
"""ITU-T E.164: at most 15 digits; fewer than 7 are no full number."""
MAX_STRIPE_PHONE_CHARS = 20
"""docs.stripe.com/api/customers/create"""
BUSINESS_WORDS = frozenset(
    "gmbh ag ug kg ohg e.v. ev inc inc. llc ltd ltd. limited corp corp. corporation co. company plc sa s.a. sas sarl "
    "srl s.r.l. bv b.v. nv n.v. oy ab as aps a/s pty llp lp gbr se spa s.p.a. foundation university bank hotel".split()
)


def collapse(text: str) -> str:
    """Return a text with every run of blanks as one space."""
    # The only blank in a printable text is the space: most texts need no regular expression.
    return text if "  " not in text and text.isprintable() else SPACES.sub(" ", text)


class Form:
    """Plain text: trimmed, Unicode NFC; runs of blanks are compared as one."""

    def read_hubspot(self, parts: Sequence[str]) -> str:
        """Return the canonical value of raw HubSpot property values."""
        return self.read(parts[0])

    def read_stripe(self, raw: str) -> str:
        """Return the canonical value of a raw Stripe attribute."""
        return self.read(raw)

    def read(self, raw: str) -> str:
        """Return the canonical value of a raw text."""
        return unicodedata.normalize("NFC", raw).strip()

    def key(self, value: str) -> str:
        """Return the comparison key of a canonical value."""
        return collapse(value)

    def to_stripe(self, value: str) -> str:
        """Return the value that Stripe should hold."""
        return value

    def to_hubspot(self, value: str, current: str) -> str | None:  # noqa: ARG002 - names need the current value
        """Return the value that HubSpot should hold, or None when that would be a guess."""
        return value

    def hubspot_parts(self, value: str) -> tuple[str, ...]:
        """Return the raw HubSpot property values of a canonical value."""
        return (value,)


class Email(Form):
    """E-mail address: HubSpot stores it in lower case, Stripe as typed; both are compared in lower case."""

    def read(self, raw: str) -> str:
        """Return the address trimmed, in NFC and lower case."""
        return normalise_email(raw)


class Case(Form):
    """Text in upper case or in lower case."""

    def __init__(self, upper: bool) -> None:
        self.upper = upper

    def key(self, value: str) -> str:
        """Return the key without case."""
        return super().key(value).casefold()

    def to_stripe(self, value: str) -> str:
        """Return the value in this form's case."""
        return value.upper() if self.upper else value.lower()

    def to_hubspot(self, value: str, current: str) -> str | None:  # noqa: ARG002 - as above
        """Return the value in this form's case."""
        return self.to_stripe(value)


class Phone(Form):
    """Phone number: E.164 where the number has a country code, else as typed."""

    def read(self, raw: str) -> str:
        """Return ``+493012`` for ``+49 (30) 12`` and ``0049 30 12``; a national number stays as typed."""
        text = collapse(super().read(raw))
        compact = PHONE_MARKS.sub("", text)
        if compact.startswith("00"):
            compact = "+" + compact[2:]
        return compact if E164.fullmatch(compact) else text

    def key(self, value: str) -> str:
        """Return the key without marks between digits."""
        return PHONE_MARKS.sub("", value).casefold()

    def to_stripe(self, value: str) -> str:
        """Return the number as typed if Stripe takes it, else without marks between the digits."""
        return value if len(value) <= MAX_STRIPE_PHONE_CHARS else PHONE_MARKS.sub("", value)[:MAX_STRIPE_PHONE_CHARS]


class Name(Form):
    """Name: full name on Stripe; first and last name on HubSpot, stored with a unit separator between them."""

    def read_hubspot(self, parts: Sequence[str]) -> str:
        """Return first and last name, each trimmed, as one value; "" when both are blank."""
        first, last = (collapse(self.read(part)) for part in parts)
        return f"{first}{NAME_PARTS}{last}" if first or last else ""

    def read_stripe(self, raw: str) -> str:
        """Return the full name with its blanks collapsed."""
        return collapse(self.read(raw))

    def key(self, value: str) -> str:
        """Return the full name."""
        return collapse(value.replace(NAME_PARTS, " ")).strip()

    def to_stripe(self, value: str) -> str:
        """Return first and last name as one text."""
        return self.key(value)

    def to_hubspot(self, value: str, current: str) -> str | None:
        """Return first and last name where the split is certain, else None.

        It is certain for a person's name if the contact has none, and where only one of the two parts changed.
        """
        if not value or self.key(current) == value:
            return current if value else ""
        first, _, last = current.partition(NAME_PARTS)
        if not current:
            if self.is_business(value):
                return None
            head, _, tail = value.partition(" ")
            return f"{head}{NAME_PARTS}{tail}"
        if first and value.startswith(first + " "):
            return f"{first}{NAME_PARTS}{value[len(first) + 1 :]}"
        if last and value.endswith(" " + last):
            return f"{value[: -len(last) - 1]}{NAME_PARTS}{last}"
        return None

    def is_business(self, value: str) -> bool:
        """Return whether a name looks like a company's: a legal form, an ampersand, a digit."""
        words = value.casefold().replace(",", " ").split()
        return (
            "&" in value or any(char.isdigit() for char in value) or any(word in BUSINESS_WORDS for word in words[1:])
        )

    def hubspot_parts(self, value: str) -> tuple[str, ...]:
        """Return first and last name."""
        first, _, last = value.partition(NAME_PARTS)
        return (first, last)


class Country(Form):
    """Country: English name on HubSpot, ISO 3166-1 alpha-2 code on Stripe; unknown names stay as typed."""

    def key(self, value: str) -> str:
        """Return the country code if known, else the text without case."""
        folded = collapse(value).casefold()
        return CODES.get(folded, folded)

    def to_stripe(self, value: str) -> str:
        """Return the country code in upper case if known."""
        code = CODES.get(collapse(value).casefold())
        return code.upper() if code else value

    def to_hubspot(self, value: str, current: str) -> str | None:
        """Return the English short name if known; a current value that means the same stays."""
        if current and self.key(current) == self.key(value):
            return current
        return NAMES.get(self.key(value), value)


class Language(Form):
    """IETF language tag (RFC 5646): ``de-at`` on HubSpot, ``de-AT`` on Stripe."""

    def key(self, value: str) -> str:
        """Return the key without case, with ``-`` for ``_``."""
        return value.replace("_", "-").casefold()

    def to_stripe(self, value: str) -> str:
        """Return the language in lower case and the region in upper case."""
        language, dash, region = value.replace("_", "-").partition("-")
        return language.lower() + dash + region.upper()

    def to_hubspot(self, value: str, current: str) -> str | None:  # noqa: ARG002 - as above
        """Return the tag in lower case, as in HubSpot's options."""
        return self.key(value)


FORMS: Mapping[str, Form] = {
    "text": Form(),
    "email": Email(),
    "phone": Phone(),
    "name": Name(),
    "country": Country(),
    "language": Language(),
    "lower": Case(upper=False),
    "upper": Case(upper=True),
}
