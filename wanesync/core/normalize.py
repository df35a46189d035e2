"""Canonical forms: how a value of each side is read, compared and converted for the other side.

``read_*`` returns the value as it is sent: as it was written, without what does not show. ``key`` maps values that mean
the same to one text. ``to_stripe`` takes a HubSpot value (or a Stripe value, which it leaves unchanged); ``to_hubspot``
also takes what the contact holds now. Both return None where the other side cannot hold the value without a cut or a
guess. The rules are in docs/correctness.md#equal-spellings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

from wanesync.core.values import phones
from wanesync.core.values.characters import clean_email, collapse, comparable, normalise_email, trim
from wanesync.core.values.countries import NAMES, find_code
from wanesync.core.values.person_names import change_parts, is_business, split_name
from wanesync.core.values.typed import TYPE_READERS

NAME_PARTS = "\x1f"
"""Unit separator between first and last name."""
BusinessNames = Literal["company", "list"]


@dataclass(frozen=True, slots=True)
class FormOptions:
    """What a configuration says about forms.

    ``default_country``: alpha-2 code in upper case of the country whose national phone numbers are understood, "" for
    none. ``business_names``: where the name of a customer that is a business goes: to the contact's company, or nowhere
    (it is listed).
    """

    default_country: str = ""
    business_names: BusinessNames = "company"


DEFAULTS = FormOptions()


class Form:
    """Plain text: trimmed, NFC. Invisible characters, line ends and runs of blanks do not count when compared."""

    may_be_cut = True
    """Whether the first part of a value that is too long for Stripe is of use."""
    is_typed = False
    """Whether the property is no text: what stands there is never the first part of what was sent."""

    def __init__(self, options: FormOptions = DEFAULTS) -> None:
        self.options = options

    def read_hubspot(self, parts: Sequence[str]) -> str:
        """Return the canonical value of raw HubSpot property values."""
        return self.read(parts[0])

    def read_stripe(self, raw: str) -> str:
        """Return the canonical value of a raw Stripe attribute."""
        return self.read(raw)

    def read(self, raw: str) -> str:
        """Return the canonical value of a raw text."""
        return trim(raw)

    def key(self, value: str) -> str:
        """Return the comparison key of a canonical value."""
        return comparable(value)

    def to_stripe(self, value: str) -> str | None:
        """Return the value that Stripe should hold, or None when it cannot hold it."""
        return value

    def shorten(self, value: str, limit: int) -> str | None:
        """Return a value that is too long for Stripe in at most ``limit`` characters, or None if it must not be cut."""
        return value[:limit] if self.may_be_cut else None

    def to_hubspot(self, value: str, current: str) -> str | None:  # noqa: ARG002 - names need the current value
        """Return the value that HubSpot should hold, or None when that would be a guess."""
        return value

    def why_not(self, value: str) -> str:  # noqa: ARG002 - forms with several reasons need the value
        """Return the kind of the conflict that lists a value which the other side cannot hold."""
        return "too_long"

    def hubspot_parts(self, value: str) -> tuple[str, ...]:
        """Return the raw HubSpot property values of a canonical value."""
        return (value,)


class Email(Form):
    """E-mail address: sent as written, in lower case as HubSpot stores it; compared by the ASCII form of its domain."""

    may_be_cut = False

    def read(self, raw: str) -> str:
        """Return the address without blanks around it and invisible characters, in lower case."""
        return clean_email(raw)

    def key(self, value: str) -> str:
        """Return the address as it is hashed and looked up."""
        return normalise_email(value)


class Case(Form):
    """Text in upper case or in lower case."""

    def __init__(self, options: FormOptions = DEFAULTS, *, upper: bool = False) -> None:
        super().__init__(options)
        self.upper = upper

    def key(self, value: str) -> str:
        """Return the key without case."""
        return super().key(value).casefold()

    def to_stripe(self, value: str) -> str | None:
        """Return the value in this form's case."""
        return value.upper() if self.upper else value.lower()

    def to_hubspot(self, value: str, current: str) -> str | None:  # noqa: ARG002 - as above
        """Return the value in this form's case."""
        return self.to_stripe(value)


class Phone(Form):
    """Phone number: E.164 where the country is certain, else as typed (docs/correctness.md#phone-numbers)."""

    may_be_cut = False

    def read(self, raw: str) -> str:
        """Return ``+493012345`` for ``+49 (0)30 12345``; what is no certain number stays as typed."""
        return phones.read_phone(raw, self.options.default_country) if raw else ""

    def key(self, value: str) -> str:
        """Return the digits and the extension."""
        return phones.phone_key(value)

    def to_stripe(self, value: str) -> str | None:
        """Return the value, or None if it holds two numbers."""
        return None if phones.holds_several(value) else value

    def to_hubspot(self, value: str, current: str) -> str | None:  # noqa: ARG002 - as above
        """Return the value, or None if it holds two numbers."""
        return self.to_stripe(value)

    def shorten(self, value: str, limit: int) -> str | None:
        """Return the number without marks between its digits if that is short enough; a number is never cut."""
        return phones.shorten(value, limit)

    def why_not(self, value: str) -> str:
        """Return whether the value holds several numbers or is too long."""
        return "several_numbers" if phones.holds_several(value) else "too_long"


class Name(Form):
    """Name: full name on Stripe; first and last name on HubSpot, stored with a unit separator between them.

    See docs/correctness.md#names.
    """

    def read_hubspot(self, parts: Sequence[str]) -> str:
        """Return first and last name, each trimmed, as one value; "" when both are blank."""
        first, last = (collapse(self.read(part)) for part in parts)
        return f"{first}{NAME_PARTS}{last}" if first or last else ""

    def read_stripe(self, raw: str) -> str:
        """Return the full name with its blanks collapsed."""
        return collapse(self.read(raw))

    def key(self, value: str) -> str:
        """Return the full name."""
        return comparable(value.replace(NAME_PARTS, " "))

    def to_stripe(self, value: str) -> str | None:
        """Return first and last name as one text."""
        return collapse(value.replace(NAME_PARTS, " ")).strip()

    def to_hubspot(self, value: str, current: str) -> str | None:
        """Return first and last name, or None where the split would be a guess.

        A contact without a name takes any: what cannot be split is its last name. Of a contact with both names the
        part that did not change shows where the other one begins.
        """
        if not value or self.key(current) == self.key(value):
            return current if value else ""
        if not current and self.options.business_names == "list" and is_business(value):
            return None
        first, _, last = current.partition(NAME_PARTS)
        parts = change_parts(value, first, last) if current else split_name(value)
        return NAME_PARTS.join(parts) if parts else None

    def why_not(self, value: str) -> str:  # noqa: ARG002 - as above
        """Return the kind of conflict of a name that cannot be split."""
        return "unsplit"

    def hubspot_parts(self, value: str) -> tuple[str, ...]:
        """Return first and last name."""
        first, _, last = value.partition(NAME_PARTS)
        return (first, last)


class Country(Form):
    """Country: English name on HubSpot, ISO 3166-1 alpha-2 code on Stripe (docs/correctness.md#countries)."""

    may_be_cut = False

    def key(self, value: str) -> str:
        """Return the country code if known, else the text without case."""
        return find_code(value) or comparable(value).casefold()

    def to_stripe(self, value: str) -> str | None:
        """Return the country code in upper case, None for an unknown country."""
        return find_code(value).upper() or None

    def to_hubspot(self, value: str, current: str) -> str | None:
        """Return the English short name if known; a current value that means the same stays."""
        if current and self.key(current) == self.key(value):
            return current
        return NAMES.get(find_code(value), value)

    def why_not(self, value: str) -> str:  # noqa: ARG002 - as above
        """Return the kind of conflict of a country that is not known."""
        return "unknown_country"


class Language(Form):
    """IETF language tag (RFC 5646): ``de-at`` on HubSpot, ``de-AT`` on Stripe."""

    def key(self, value: str) -> str:
        """Return the key without case, with ``-`` for ``_``."""
        return comparable(value).replace("_", "-").casefold()

    def to_stripe(self, value: str) -> str | None:
        """Return the language in lower case, a script as a word (Hans), a region in upper case."""
        language, *others = comparable(value).replace("_", "-").split("-")
        return "-".join([language.lower(), *map(_case_subtag, others)])

    def to_hubspot(self, value: str, current: str) -> str | None:  # noqa: ARG002 - as above
        """Return the tag in lower case, as in HubSpot's options."""
        return self.key(value)


class Typed(Form):
    """Value of a property that is no text, in one form whichever side wrote it (docs/correctness.md#typed-values)."""

    may_be_cut = False
    is_typed = True

    def __init__(self, options: FormOptions = DEFAULTS, *, reader: Callable[[str], str]) -> None:
        super().__init__(options)
        self.reader = reader

    def read(self, raw: str) -> str:
        """Return the value in the form that HubSpot answers with; what is no value of the type stays as written."""
        text = trim(raw)
        return self.reader(text) if text else ""


def _case_subtag(subtag: str) -> str:
    if len(subtag) == 2 or not subtag.isalpha():
        return subtag.upper()
    return subtag.title() if len(subtag) == 4 else subtag.lower()


def _upper(options: FormOptions) -> Form:
    return Case(options, upper=True)


FORMS: Mapping[str, Callable[[FormOptions], Form]] = {
    "text": Form,
    "email": Email,
    "phone": Phone,
    "name": Name,
    "country": Country,
    "language": Language,
    "lower": Case,
    "upper": _upper,
    **{name: partial(Typed, reader=reader) for name, reader in TYPE_READERS.items()},
}
"""Name of a form, as ``transform`` in the configuration gives it -> how it is made."""
FREE_FORMS = frozenset({"text", "lower", "upper"})
"""Forms of a field whose HubSpot property may be of any type."""


@lru_cache(maxsize=64)
def make_form(name: str, options: FormOptions = DEFAULTS) -> Form:
    """Return the form of a name; fields that share it share one."""
    return FORMS[name](options)
