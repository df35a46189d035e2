"""Canonical forms: how a value of each side is read, compared, and said on the other side.

``key`` maps values that say the same thing to one text. ``to_stripe`` takes a HubSpot value (or a
Stripe one, unchanged); ``to_hubspot`` also takes what the contact holds now, because a full name can
be told apart into two fields only with its help.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from wanesync.core.countries import CODES, NAMES
from wanesync.core.model import normalise_email

SPACES = re.compile(r"\s+")
NAME_PARTS = "\x1f"
PHONE_MARKS = re.compile(r"[\s().\-/\u2010-\u2015]+")
E164 = re.compile(r"\+[1-9]\d{6,14}")
BUSINESS = frozenset(
    "gmbh ag ug kg ohg e.v. ev inc inc. llc ltd ltd. limited corp corp. corporation co. company plc sa s.a. sas sarl "
    "srl s.r.l. bv b.v. nv n.v. oy ab as aps a/s pty llp lp gbr se spa s.p.a. foundation university bank hotel".split()
)


def collapse(text: str) -> str:
    """Every run of blanks as one space."""
    # The only blank a printable text has is the space: most texts are done with here.
    return text if "  " not in text and text.isprintable() else SPACES.sub(" ", text)


class Form:
    """Plain text: trimmed, Unicode NFC; runs of blanks count as one when compared."""

    def read_hubspot(self, parts: Sequence[str]) -> str:
        """The canonical value of the raw property values."""
        return self.read(parts[0])

    def read_stripe(self, raw: str) -> str:
        """The canonical value of the raw attribute."""
        return self.read(raw)

    def read(self, raw: str) -> str:
        """The canonical value of a raw text."""
        return unicodedata.normalize("NFC", raw).strip()

    def key(self, value: str) -> str:
        """What is compared."""
        return collapse(value)

    def to_stripe(self, value: str) -> str:
        """The value as Stripe should hold it."""
        return value

    def to_hubspot(self, value: str, current: str) -> str | None:  # noqa: ARG002 - names need the current value
        """The value as HubSpot should hold it, or None when that would be a guess."""
        return value

    def hubspot_parts(self, value: str) -> tuple[str, ...]:
        """The raw property values of a canonical value."""
        return (value,)


class Email(Form):
    """HubSpot keeps addresses in lower case, Stripe as typed: both are compared in lower case."""

    def read(self, raw: str) -> str:
        """Trim, NFC, lower case."""
        return normalise_email(raw)


class Case(Form):
    """Text in one case."""

    def __init__(self, upper: bool) -> None:
        self.upper = upper

    def key(self, value: str) -> str:
        """Case does not count."""
        return super().key(value).casefold()

    def to_stripe(self, value: str) -> str:
        """In the case asked for."""
        return value.upper() if self.upper else value.lower()

    def to_hubspot(self, value: str, current: str) -> str | None:  # noqa: ARG002 - as above
        """In the case asked for."""
        return self.to_stripe(value)


class Phone(Form):
    """E.164 (ITU-T E.164: ``+`` and at most 15 digits) where the number says its country, else as typed."""

    def read(self, raw: str) -> str:
        """``+49 (30) 12`` and ``0049 30 12`` become ``+493012``; a national number stays as typed."""
        text = collapse(super().read(raw))
        compact = PHONE_MARKS.sub("", text)
        if compact.startswith("00"):
            compact = "+" + compact[2:]
        return compact if E164.fullmatch(compact) else text

    def key(self, value: str) -> str:
        """Marks between digits do not count."""
        return PHONE_MARKS.sub("", value).casefold()

    def to_stripe(self, value: str) -> str:
        """As typed if 20 characters hold it, else without marks between the digits."""
        return value if len(value) <= STRIPE_PHONE else PHONE_MARKS.sub("", value)[:STRIPE_PHONE]


STRIPE_PHONE = 20


class Name(Form):
    """A full name on Stripe; first and last name on HubSpot, kept with a unit separator between them."""

    def read_hubspot(self, parts: Sequence[str]) -> str:
        """First and last name, each trimmed; "" when both are blank."""
        first, last = (collapse(self.read(part)) for part in parts)
        return f"{first}{NAME_PARTS}{last}" if first or last else ""

    def read_stripe(self, raw: str) -> str:
        """One text, blanks collapsed."""
        return collapse(self.read(raw))

    def key(self, value: str) -> str:
        """The full name."""
        return collapse(value.replace(NAME_PARTS, " ")).strip()

    def to_stripe(self, value: str) -> str:
        """First and last name in one."""
        return self.key(value)

    def to_hubspot(self, value: str, current: str) -> str | None:
        """Split only what is no guess: a person's name into a nameless contact, or the part that changed."""
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
        """Whether a name reads like a company's: a legal form, an ampersand, a digit."""
        words = value.casefold().replace(",", " ").split()
        return "&" in value or any(c.isdigit() for c in value) or any(word in BUSINESS for word in words[1:])

    def hubspot_parts(self, value: str) -> tuple[str, ...]:
        """First and last name."""
        first, _, last = value.partition(NAME_PARTS)
        return (first, last)


class Country(Form):
    """A name on HubSpot, an ISO 3166-1 alpha-2 code on Stripe; what the table does not know stays as typed."""

    def key(self, value: str) -> str:
        """The code if known."""
        folded = collapse(value).casefold()
        return CODES.get(folded, folded)

    def to_stripe(self, value: str) -> str:
        """The code if known, upper case."""
        code = CODES.get(collapse(value).casefold())
        return code.upper() if code else value

    def to_hubspot(self, value: str, current: str) -> str | None:
        """The English short name if known; what already says the same stays."""
        if current and self.key(current) == self.key(value):
            return current
        return NAMES.get(self.key(value), value)


class Language(Form):
    """IETF language tags: ``de-at`` on HubSpot, ``de-AT`` on Stripe."""

    def key(self, value: str) -> str:
        """Case and the kind of dash do not count."""
        return value.replace("_", "-").casefold()

    def to_stripe(self, value: str) -> str:
        """Language in lower case, region in upper case."""
        language, dash, region = value.replace("_", "-").partition("-")
        return language.lower() + dash + region.upper()

    def to_hubspot(self, value: str, current: str) -> str | None:  # noqa: ARG002 - as above
        """Lower case, the form of HubSpot's options."""
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
