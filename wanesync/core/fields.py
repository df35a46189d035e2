"""The field map: which HubSpot properties and Stripe attributes hold the same information, and in which form.

A field's value is a string in the canonical form of its side; "" is blank. A name is two properties on HubSpot, kept
as one value with a unit separator between them. Two values agree when their comparison keys are equal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from wanesync.core.model import BasePair, Record, Side, StoredRecord, filled_in_key
from wanesync.core.normalize import DEFAULTS, FORMS, NAME_PARTS, Form, FormOptions, make_form

FORM_VERSIONS: Mapping[str, int] = dict.fromkeys(FORMS, 2)
"""Canonical form -> version. To be raised with every change of what a form makes of a text: a copy made under another
version does not hold the field (docs/correctness.md#changes-of-the-field-map)."""


MAX_STRIPE_CHARS = {"email": 512, "name": 256, "phone": 20, "business_name": 150, "individual_name": 150}
"""Stripe attribute -> how many characters it takes (docs.stripe.com/api/customers/create)."""
_FULL_NAME = "name"
NAME_SOURCES = ("business_name", "individual_name")
"""What Stripe takes for a name where there is none; known for a customer even if the map has no field for it."""
MAX_METADATA_CHARS = 500
"""How many characters a metadata value takes (docs.stripe.com/api/metadata)."""
MAX_TEXT_CHARS = 5000
"""How many characters any other text parameter of Stripe takes (docs.stripe.com/api/customers)."""


class Direction(StrEnum):
    """To which sides a field is written."""

    BOTH = "both"
    TO_STRIPE = "to_stripe"
    TO_HUBSPOT = "to_hubspot"

    def reaches(self, side: Side) -> bool:
        """Return whether a change may be written to ``side``."""
        return self is Direction.BOTH or (self is Direction.TO_STRIPE) == (side is Side.STRIPE)


class Clears(StrEnum):
    """Whose blank clears the value of the other side (docs/correctness.md#clearing)."""

    NEVER = "never"
    OWNER = "owner"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One entry of the field map.

    ``hubspot``: property names (two for a name). ``stripe``: one path: ``email``, ``address.city``,
    ``preferred_locales``, ``metadata.KEY``. ``owner`` wins when both sides edited the field.
    ``fill_empty``: a blank is filled from the other side on first contact. ``transform``: name of the canonical form.
    ``options``: what the configuration says about forms. ``clears``: whose blank clears the other side. ``limit``:
    characters Stripe takes.
    """

    name: str
    hubspot: tuple[str, ...]
    stripe: tuple[str, ...]
    owner: Side = Side.HUBSPOT
    direction: Direction = Direction.BOTH
    fill_empty: bool = True
    transform: str = "text"
    options: FormOptions = DEFAULTS
    clears: Clears = Clears.OWNER
    form: Form = field(init=False, repr=False, compare=False)
    limit: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Look up the canonical form that ``transform`` names and how many characters Stripe takes."""
        path = self.stripe[0]
        metadata = path.startswith("metadata.")
        limit = MAX_METADATA_CHARS if metadata else MAX_STRIPE_CHARS.get(path, MAX_TEXT_CHARS)
        object.__setattr__(self, "form", make_form(self.transform, self.options))
        object.__setattr__(self, "limit", limit)

    @property
    def definition(self) -> str:
        """Return what the values of the field depend on; not who owns it, nor where it is written."""
        version = FORM_VERSIONS[self.transform]
        country = self.options.default_country if self.transform == "phone" else ""
        return json.dumps([self.hubspot, self.stripe, self.transform, version, self.limit, country])

    def key(self, value: str) -> str:
        """Return the comparison key of a value of either side; what Stripe would cut off does not count."""
        if not value:
            return value  # the usual case: a blank is a blank in every form
        form = self.form
        return form.key((self._for_stripe(value) or value) if form.may_be_cut else value)

    def may_clear(self, side: Side) -> bool:
        """Return whether a value that was removed on a side is removed on the other; a one-way field has one source."""
        owns = side is self.owner or self.direction is not Direction.BOTH
        return self.clears is Clears.BOTH or (self.clears is Clears.OWNER and owns)

    def agree(self, hubspot: str, stripe: str) -> bool:
        """Return whether a value of each side mean the same."""
        return hubspot == stripe or self.key(hubspot) == self.key(stripe)

    def convert(self, to: Side, value: str, current: str) -> str | None:
        """Return the value that side ``to`` should hold, or None when it would have to be cut or guessed.

        ``current``: what that side holds now.
        """
        return self._for_stripe(value) if to is Side.STRIPE else self.form.to_hubspot(value, current)

    def why_not(self, value: str) -> str:
        """Return the kind of the conflict that lists a value which ``convert`` did not convert."""
        return self.form.why_not(value)

    def _for_stripe(self, value: str) -> str | None:
        """Return the value as Stripe will return it: cut to its limit, without a blank the cut may end in."""
        if not value:
            return value
        form = self.form
        converted = form.to_stripe(value)
        if converted is not None and len(converted) > self.limit:
            converted = form.shorten(converted, self.limit)
        # A value that was not changed is in canonical form already.
        return converted if converted is None or converted is value else form.read_stripe(converted)


def has_value(stored: StoredRecord, name: str, value: str) -> bool:
    """Return whether a record holds ``value``; ``name/firstname`` means one property of a field of two."""
    return part_equals(name, stored.record.values.get(name.partition("/")[0], ""), value)


def part_equals(name: str, held: str, value: str) -> bool:
    """Return whether the value ``held`` of a field, or one of its parts if ``name`` names a part, is ``value``."""
    return value in held.split(NAME_PARTS) if "/" in name else held == value


def exact(values: Iterable[tuple[str, str]]) -> str:
    """Return one text of (field, value) pairs without blanks: two are equal exactly when no value differs."""
    return _join([text for pair in sorted([pair for pair in values if pair[1]]) for text in pair])


def _join(texts: Sequence[str]) -> str:
    """Return one text that marks where each text ends, as netstrings do: two are equal exactly when all texts are."""
    return "".join([f"{len(text)}:{text}" for text in texts])


StripeReader = tuple[str, str, Callable[[str], str]]
"""A field, its path on a customer, and what makes its canonical value of the text there."""


@dataclass(frozen=True, slots=True)
class FieldMap:
    """All fields of the map, with a version that changes whenever the map does."""

    specs: tuple[FieldSpec, ...]
    by_name: Mapping[str, FieldSpec] = field(init=False)
    version: str = field(init=False)
    stripe_paths: Mapping[str, str] = field(init=False)
    """Field -> its path on a customer."""
    stripe_readers: Sequence[StripeReader] = field(init=False, repr=False, compare=False)
    stripe_attributes: frozenset[str] = field(init=False)
    """The attributes of a customer, not inside another one, that the map or the origin of a name needs."""

    def __post_init__(self) -> None:
        """Index the fields by name and hash the whole map as its version."""
        object.__setattr__(self, "by_name", {spec.name: spec for spec in self.specs})
        paths = {spec.name: spec.stripe[0] for spec in self.specs}
        object.__setattr__(self, "stripe_paths", paths)
        readers = tuple((spec.name, spec.stripe[0], spec.form.read_stripe) for spec in self.specs)
        object.__setattr__(self, "stripe_readers", readers)
        plain = frozenset(path for path in paths.values() if "." not in path)
        object.__setattr__(self, "stripe_attributes", plain | set(NAME_SOURCES))
        text = json.dumps(
            [
                [
                    *(spec.name, spec.definition, spec.owner, spec.direction, spec.fill_empty, spec.clears),
                    spec.options.business_names,
                ]
                for spec in self.specs
            ]
        )
        object.__setattr__(self, "version", hashlib.blake2b(text.encode(), digest_size=6).hexdigest())

    def comparison(self, record: Record) -> str:
        """Return one text of all comparison keys: equal on both sides exactly when every field agrees."""
        value_of = record.values.get
        return _join([spec.key(value_of(spec.name, "")) for spec in self.specs])

    def is_filled_in(self, record: Record, name: str) -> bool:
        """Return whether a customer's name is Stripe's own: without one, Stripe takes the business or individual name.

        See docs/correctness.md#names-stripe-fills-in (Stripe changelog, 2025-09-30.clover).
        """
        value = record.values.get(name, "")
        if not value or record.side is not Side.STRIPE or self.by_name[name].stripe != (_FULL_NAME,):
            return False
        mapped = [record.values.get(spec.name, "") for spec in self.specs if spec.stripe[0] in NAME_SOURCES]
        sources = [*mapped, *(record.carry.get(source, "") for source in NAME_SOURCES)]
        key = self.by_name[name].key
        return any(key(source) == key(value) for source in sources if source)

    def was_filled_in(self, base: Mapping[str, BasePair], name: str, value: str) -> bool:
        """Return whether a customer's name is what Stripe had filled in, also where its source has changed since.

        ``base``: of the link, in which the contact has no name. See docs/correctness.md#names-stripe-fills-in.
        """
        if not value or self.by_name[name].stripe != (_FULL_NAME,) or base.get(name) != ("", value):
            return False
        if base.get(filled_in_key(name)) == ("", value):
            return True
        key = self.by_name[name].key
        sources = [base[spec.name][1] for spec in self.specs if spec.stripe[0] in NAME_SOURCES and spec.name in base]
        return any(key(source) == key(value) for source in sources)

    def properties(self) -> Sequence[str]:
        """Return every mapped HubSpot property."""
        return [name for spec in self.specs for name in spec.hubspot]


def _text(name: str, hubspot: str, stripe: str, transform: str = "text", owner: Side = Side.HUBSPOT) -> FieldSpec:
    return FieldSpec(name, (hubspot,), (stripe,), owner, transform=transform)


DEFAULT_FIELDS: tuple[FieldSpec, ...] = (
    _text("email", "email", "email", "email"),
    FieldSpec("name", ("firstname", "lastname"), ("name",), Side.HUBSPOT, transform="name"),
    _text("phone", "phone", "phone", "phone"),
    _text("company", "company", "business_name"),
    _text("street", "address", "address.line1", owner=Side.STRIPE),
    _text("city", "city", "address.city", owner=Side.STRIPE),
    _text("state", "state", "address.state", owner=Side.STRIPE),
    _text("postal_code", "zip", "address.postal_code", owner=Side.STRIPE),
    _text("country", "country", "address.country", "country", owner=Side.STRIPE),
    _text("language", "hs_language", "preferred_locales", "language"),
)
"""The fields that are synced when the configuration has no ``[[field]]``."""
