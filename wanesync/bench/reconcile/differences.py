"""Known differences of every class: created on both stand-ins, and matched with what a comparison found."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from wanesync.core.diff.difference import ACTIONABLE, DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.core.fields import DEFAULT_FIELDS
from wanesync.core.model import Side
from wanesync.sandbox.seed_data import DAY_MS, FakePerson, make_person
from wanesync.sandbox.server import Sandbox, clock_ms

PARKED = (
    DifferenceClass.CONFLICT,
    DifferenceClass.AMBIGUOUS,
    DifferenceClass.DUPLICATE,
    DifferenceClass.ORPHANED,
    DifferenceClass.EXCLUDED,
)
"""The classes that a reconcile does not repair."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: its class, its record ids ("" for none) and its fields (None: not compared).

    An orphaned one has only the id of the remaining record: a comparison may or may not know the other one.
    """

    kind: DifferenceClass
    hubspot_id: str
    stripe_id: str
    fields: frozenset[str] | None = None

    def matches(self, other: Difference) -> bool:
        """Whether a found difference is this one."""
        if self.kind is DifferenceClass.ORPHANED:
            ids, other_ids = (self.hubspot_id, self.stripe_id), (other.hubspot_id, other.stripe_id)
            same = all(one in ("", another) for one, another in zip(ids, other_ids, strict=True))
        else:
            same = (self.hubspot_id, self.stripe_id) == (other.hubspot_id, other.stripe_id)
        return same and self.kind is other.kind and (self.fields is None or self.fields == other.fields)


@dataclass(frozen=True, slots=True)
class Matched:
    """The result of matching. ``missed``: planted and not found; ``invented``: found and not planted."""

    planted: int
    found: int
    missed: Sequence[Difference]
    invented: Sequence[Difference]

    def figures(self) -> dict[str, object]:
        """The numbers, by class for what is missed or invented."""
        wrong = {"missed": self.missed, "invented": self.invented}
        numbers: dict[str, object] = {"planted": self.planted, "found": self.found}
        numbers |= {name: len(differences) for name, differences in wrong.items()}
        for name, differences in wrong.items():
            if differences:
                numbers[f"{name}_by_class"] = dict(Counter(str(difference.kind) for difference in differences))
        return numbers


def match_found(planted: Sequence[Difference], found: Iterable[Difference]) -> Matched:
    """Match each found difference with a planted one, each at most once."""
    left: dict[tuple[DifferenceClass, str], Difference] = {}
    for difference in planted:
        left[difference.kind, difference.hubspot_id or difference.stripe_id] = difference
    invented: list[Difference] = []
    for each in found:
        keys = [(each.kind, each.hubspot_id), (each.kind, each.stripe_id)]
        key = next((key for key in keys if key in left and left[key].matches(each)), None)
        if key is None:
            invented.append(each)
        else:
            del left[key]
    return Matched(len(planted), len(planted) - len(left), list(left.values()), invented)


def read_found(document: Mapping[str, object]) -> list[Difference]:
    """The differences of ``diff --json``."""
    rows = document.get("differences")
    return [_read(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def count_class(document: Mapping[str, object], kinds: Iterable[DifferenceClass]) -> int:
    """The number of differences of some classes in the counts of the document."""
    counts = document.get("counts")
    return sum(count for kind in kinds if isinstance(counts, dict) and isinstance(count := counts.get(str(kind)), int))


def count_actionable(document: Mapping[str, object]) -> int:
    """The number of differences that a reconcile would repair."""
    return count_class(document, ACTIONABLE)


def _read(row: Mapping[str, object]) -> Difference:
    fields = row.get("fields")
    names = frozenset(map(str, fields)) if isinstance(fields, dict) else frozenset()
    return Difference(
        DifferenceClass(str(row["class"])), str(row["hubspot_id"] or ""), str(row["stripe_id"] or ""), names
    )


CLASSES = tuple(kind for kind in DifferenceClass if kind not in (DifferenceClass.IN_SYNC, DifferenceClass.MISSING))
SPAN_MS = 90 * DAY_MS
LATE_EDIT_MS = 2 * DAY_MS
"""All pairs are older than this; the differences were made after that, without webhooks."""
_NEW = 10_000_000
"""People on one side only are numbered from here."""

_TO_CUSTOMER = ("company", "phone", "city", "name", "email", "company on both sides")
_TO_CONTACT = ("city", "phone", "company", "street", "email", "city on both sides")
_FIELDS = {spec.name: spec for spec in DEFAULT_FIELDS}
_AMONG_LINKED = (
    DifferenceClass.UPDATE_CUSTOMER,
    DifferenceClass.UPDATE_CONTACT,
    DifferenceClass.AMBIGUOUS,
    DifferenceClass.DUPLICATE,
    DifferenceClass.ORPHANED,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One person on both sides, and the data of both records."""

    hubspot_id: str
    stripe_id: str
    person: FakePerson


def create_pairs(sandbox: Sandbox, count: int) -> list[Pair]:
    """Create people that are equal on both sides, over ninety days; every second customer carries our ids."""
    rng = random.Random("reconcile")  # noqa: S311 - made-up people
    first_ms = clock_ms() - LATE_EDIT_MS - SPAN_MS
    pairs = []
    for number in range(count):
        person = make_equal_person(number, rng)
        at_ms = first_ms + SPAN_MS * number // max(count, 1)
        contact_id = sandbox.hubspot.edit("create", None, person.contact(), at_ms)
        values = person.customer() | (_our_ids(sandbox, contact_id) if number % 2 else {})
        pairs.append(Pair(contact_id, sandbox.stripe.edit("create", None, values, at_ms + 1000), person))
    return pairs


def make_equal_person(number: int, rng: random.Random) -> FakePerson:
    """Make a person that both sides can store equally: no company as the name, and the same language."""
    person = make_person(number, rng)
    locale = _FIELDS["language"].convert(Side.STRIPE, person.language, "") or ""
    return replace(person, business=False, locale=locale)


def count_by_class(differences: int) -> dict[DifferenceClass, int]:
    """The number of differences of each class, as even as possible."""
    each, rest = divmod(differences, len(CLASSES))
    return {kind: each + (position < rest) for position, kind in enumerate(CLASSES)}


def create_differences(sandbox: Sandbox, pairs: Sequence[Pair], differences: int) -> list[Difference]:
    """Make edits of users on both stand-ins without webhooks: the difference a comparison must find for each.

    Each pair is part of one difference at most. Raises ConfigError when there are too few pairs.
    """
    if (needed := pairs_needed(differences)) > len(pairs):
        raise ConfigError([f"--differences: so many need {needed} people, there are only {len(pairs)}"])
    return _Creator(sandbox, pairs, needed).create(count_by_class(differences))


def pairs_needed(differences: int) -> int:
    """The number of pairs that the differences need."""
    shares = count_by_class(differences)
    # Every second conflict needs one, an ambiguous difference two.
    return (
        sum(shares[kind] for kind in _AMONG_LINKED)
        + shares[DifferenceClass.AMBIGUOUS]
        + shares[DifferenceClass.CONFLICT] // 2
    )


def count_in_sync(pairs: int, differences: int) -> int:
    """The number of pairs in sync afterwards, including those that only an ambiguous customer refers to."""
    return pairs - pairs_needed(differences) + 2 * count_by_class(differences)[DifferenceClass.AMBIGUOUS]


class _Creator:
    """Creates one difference after the other, at ascending times."""

    def __init__(self, sandbox: Sandbox, pairs: Sequence[Pair], needed: int) -> None:
        self._sandbox = sandbox
        self._rng = random.Random("differences")  # noqa: S311 - made-up people
        self._free: Iterator[Pair] = iter(self._rng.sample(pairs, needed))
        self._at_ms = clock_ms() - LATE_EDIT_MS // 2
        self._number = _NEW
        self._creators: dict[DifferenceClass, Callable[[int], Difference]] = {
            DifferenceClass.CREATE_CUSTOMER: self._create_customer,
            DifferenceClass.CREATE_CONTACT: self._create_contact,
            DifferenceClass.UPDATE_CUSTOMER: self._update_customer,
            DifferenceClass.UPDATE_CONTACT: self._update_contact,
            DifferenceClass.CONFLICT: self._conflict,
            DifferenceClass.AMBIGUOUS: self._ambiguous,
            DifferenceClass.DUPLICATE: self._duplicate,
            DifferenceClass.ORPHANED: self._orphaned,
            DifferenceClass.EXCLUDED: self._excluded,
        }

    def create(self, shares: dict[DifferenceClass, int]) -> list[Difference]:
        """Create all differences."""
        return [self._creators[kind](turn) for kind, count in shares.items() for turn in range(count)]

    # -- one difference of each class; ``turn`` counts within the class

    def _create_customer(self, _turn: int) -> Difference:
        person = self._new_person()
        contact_id = self._edit(Side.HUBSPOT, "create", None, person.contact())
        return Difference(
            DifferenceClass.CREATE_CUSTOMER, contact_id, "", _fields_with_value(person.contact(), Side.HUBSPOT)
        )

    def _create_contact(self, _turn: int) -> Difference:
        person = self._new_person()
        customer_id = self._edit(Side.STRIPE, "create", None, person.customer())
        return Difference(
            DifferenceClass.CREATE_CONTACT, "", customer_id, _fields_with_value(person.customer(), Side.STRIPE)
        )

    def _update_customer(self, turn: int) -> Difference:
        pair, what = next(self._free), _TO_CUSTOMER[turn % len(_TO_CUSTOMER)]
        value = self._value(what)
        if what == "name":
            self._edit(Side.HUBSPOT, "update", pair.hubspot_id, {"firstname": value})
        elif what == "company on both sides":
            self._edit(Side.STRIPE, "update", pair.stripe_id, {"business_name": f"{value} too"})
            self._edit(Side.HUBSPOT, "update", pair.hubspot_id, {"company": value})
        else:
            cleared = (
                what == "phone" and pair.person.phone
            )  # its owner is HubSpot: a clear of the other side counts only there
            self._edit(Side.HUBSPOT, "update", pair.hubspot_id, {what: "" if cleared else value})
        return Difference(
            DifferenceClass.UPDATE_CUSTOMER, pair.hubspot_id, pair.stripe_id, frozenset([what.partition(" ")[0]])
        )

    def _update_contact(self, turn: int) -> Difference:
        pair, what = next(self._free), _TO_CONTACT[turn % len(_TO_CONTACT)]
        name = what.partition(" ")[0]
        value = self._value(name)
        if name != what:
            self._edit(Side.HUBSPOT, "update", pair.hubspot_id, {name: f"{value} too"})
        self._edit(Side.STRIPE, "update", pair.stripe_id, {_FIELDS[name].stripe[0]: value})
        return Difference(DifferenceClass.UPDATE_CONTACT, pair.hubspot_id, pair.stripe_id, frozenset([name]))

    def _conflict(self, turn: int) -> Difference:
        if turn % 2:
            # A name that cannot be split into HubSpot's two name fields without a guess.
            pair = next(self._free)
            self._edit(Side.STRIPE, "update", pair.stripe_id, {"name": "Robin Elsewhere"})
            return Difference(DifferenceClass.CONFLICT, pair.hubspot_id, pair.stripe_id, frozenset(["name"]))
        # Two records that were never linked and differ: both keep their values.
        person = self._new_person()
        contact_id = self._edit(Side.HUBSPOT, "create", None, person.contact())
        other = replace(person, city=f"Elsewhere {turn}")
        customer_id = self._edit(Side.STRIPE, "create", None, other.customer())
        return Difference(DifferenceClass.CONFLICT, contact_id, customer_id, frozenset(["city"]))

    def _ambiguous(self, _turn: int) -> Difference:
        # Its contact id refers to one person, its e-mail address to another.
        claimed, other = next(self._free), next(self._free)
        values = {
            "email": other.person.email,
            "name": "Ambiguous Account",
            **_our_ids(self._sandbox, claimed.hubspot_id),
        }
        return Difference(DifferenceClass.AMBIGUOUS, "", self._edit(Side.STRIPE, "create", None, values))

    def _duplicate(self, _turn: int) -> Difference:
        pair = next(self._free)
        values = {"email": pair.person.email, "name": "A Second Account"}
        return Difference(DifferenceClass.DUPLICATE, pair.hubspot_id, self._edit(Side.STRIPE, "create", None, values))

    def _orphaned(self, turn: int) -> Difference:
        pair = next(self._free)
        if turn % 2:
            self._edit(Side.STRIPE, "delete", pair.stripe_id, {})
            return Difference(DifferenceClass.ORPHANED, pair.hubspot_id, "")
        self._edit(Side.HUBSPOT, "delete", pair.hubspot_id, {})
        return Difference(DifferenceClass.ORPHANED, "", pair.stripe_id)

    def _excluded(self, turn: int) -> Difference:
        person = replace(self._new_person(), email="")
        if turn % 2:
            return Difference(DifferenceClass.EXCLUDED, "", self._edit(Side.STRIPE, "create", None, person.customer()))
        return Difference(DifferenceClass.EXCLUDED, self._edit(Side.HUBSPOT, "create", None, person.contact()), "")

    # -- parts

    def _new_person(self) -> FakePerson:
        self._number += 1
        return make_equal_person(self._number, self._rng)

    def _value(self, what: str) -> str:
        """A new value of a field."""
        self._number += 1
        if what == "phone":
            return f"+1303{self._number % 10_000_000:07d}"
        return f"moved.{self._number}@example.org" if what == "email" else f"New {self._number}"

    def _edit(self, side: Side, kind: str, record_id: str | None, values: dict[str, str]) -> str:
        self._at_ms += 7
        stand_in = self._sandbox.hubspot if side is Side.HUBSPOT else self._sandbox.stripe
        return stand_in.edit(kind, record_id, values, self._at_ms)


def _fields_with_value(values: dict[str, str], side: Side) -> frozenset[str]:
    """The fields with a value."""
    names = {spec.name: spec.hubspot if side is Side.HUBSPOT else spec.stripe for spec in DEFAULT_FIELDS}
    return frozenset(name for name, parts in names.items() if any(values.get(part) for part in parts))


def _our_ids(sandbox: Sandbox, contact_id: str) -> dict[str, str]:
    portal_id = sandbox.hubspot.settings.portal_id
    return {"metadata.hubspot_portal_id": str(portal_id), "metadata.hubspot_contact_id": contact_id}
