"""People who are the same on both stand-ins, and differences of every class in known numbers among them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from wanesync.bench.truth import Truth
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.core.fields import DEFAULT_FIELDS
from wanesync.core.model import Side
from wanesync.sandbox.seed_data import DAY_MS, FakePerson, make_person
from wanesync.sandbox.server import Sandbox, clock_ms

CLASSES = tuple(kind for kind in DifferenceClass if kind is not DifferenceClass.IN_SYNC)
SPAN_MS = 90 * DAY_MS
LATE_MS = 2 * DAY_MS
"""Everybody was there so long ago, and the differences came after that, unnoticed."""
_NEW = 10_000_000
"""People who are on one side only are numbered from here."""

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
    """One person on both sides."""

    hubspot_id: str
    stripe_id: str
    human: FakePerson


def plant_pairs(sandbox: Sandbox, count: int) -> list[Pair]:
    """People who are the same on both sides, spread over ninety days; every second customer carries our ids."""
    rng = random.Random("reconcile")  # noqa: S311 - made-up people
    first_ms = clock_ms() - LATE_MS - SPAN_MS
    pairs = []
    for number in range(count):
        human = agreeable(number, rng)
        at_ms = first_ms + SPAN_MS * number // max(count, 1)
        contact_id = sandbox.hubspot.edit("create", None, human.contact(), at_ms)
        values = human.customer() | (_our_ids(sandbox, contact_id) if number % 2 else {})
        pairs.append(Pair(contact_id, sandbox.stripe.edit("create", None, values, at_ms + 1000), human))
    return pairs


def agreeable(number: int, rng: random.Random) -> FakePerson:
    """Somebody both sides can say the same about: no company as a name, and the same language."""
    human = make_person(number, rng)
    locale = _FIELDS["language"].convert(Side.STRIPE, human.language, "") or ""
    return replace(human, business=False, locale=locale)


def share_out(differences: int) -> dict[DifferenceClass, int]:
    """How many of each class: as evenly as they can be."""
    each, rest = divmod(differences, len(CLASSES))
    return {kind: each + (place < rest) for place, kind in enumerate(CLASSES)}


def plant_differences(sandbox: Sandbox, pairs: Sequence[Pair], differences: int) -> list[Truth]:
    """Edits by people on both stand-ins, of which no webhook told; what a comparison must make of each.

    Every pair has a part in one of them at most. Raises ConfigError when there are too few pairs.
    """
    if (needed := pairs_needed(differences)) > len(pairs):
        raise ConfigError([f"--differences: so many touch {needed} people, there are only {len(pairs)}"])
    return _Planter(sandbox, pairs, needed).plant(share_out(differences))


def pairs_needed(differences: int) -> int:
    """How many pairs the differences take part of."""
    shares = share_out(differences)
    # Of the conflicts every second one; an ambiguous one takes two.
    return (
        sum(shares[kind] for kind in _AMONG_LINKED)
        + shares[DifferenceClass.AMBIGUOUS]
        + shares[DifferenceClass.CONFLICT] // 2
    )


def count_alike(pairs: int, differences: int) -> int:
    """How many pairs are in sync afterwards: whose id or e-mail only an ambiguous customer names are, too."""
    return pairs - pairs_needed(differences) + 2 * share_out(differences)[DifferenceClass.AMBIGUOUS]


class _Planter:
    """Plants one difference after the other, at ever later times."""

    def __init__(self, sandbox: Sandbox, pairs: Sequence[Pair], needed: int) -> None:
        self._sandbox = sandbox
        self._rng = random.Random("differences")  # noqa: S311 - made-up people
        self._free: Iterator[Pair] = iter(self._rng.sample(pairs, needed))
        self._at_ms = clock_ms() - LATE_MS // 2
        self._number = _NEW
        self._plants: dict[DifferenceClass, Callable[[int], Truth]] = {
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

    def plant(self, shares: dict[DifferenceClass, int]) -> list[Truth]:
        """All of them."""
        return [self._plants[kind](turn) for kind, count in shares.items() for turn in range(count)]

    # -- one of each class; ``turn`` counts within the class

    def _create_customer(self, _turn: int) -> Truth:
        human = self._somebody()
        contact_id = self._edit(Side.HUBSPOT, "create", None, human.contact())
        return Truth(DifferenceClass.CREATE_CUSTOMER, contact_id, "", _held(human.contact(), Side.HUBSPOT))

    def _create_contact(self, _turn: int) -> Truth:
        human = self._somebody()
        customer_id = self._edit(Side.STRIPE, "create", None, human.customer())
        return Truth(DifferenceClass.CREATE_CONTACT, "", customer_id, _held(human.customer(), Side.STRIPE))

    def _update_customer(self, turn: int) -> Truth:
        pair, what = next(self._free), _TO_CUSTOMER[turn % len(_TO_CUSTOMER)]
        value = self._value(what)
        if what == "name":
            self._edit(Side.HUBSPOT, "update", pair.hubspot_id, {"firstname": value})
        elif what == "company on both sides":
            self._edit(Side.STRIPE, "update", pair.stripe_id, {"business_name": f"{value} too"})
            self._edit(Side.HUBSPOT, "update", pair.hubspot_id, {"company": value})
        else:
            cleared = what == "city"
            self._edit(Side.HUBSPOT, "update", pair.hubspot_id, {what: "" if cleared else value})
        return Truth(
            DifferenceClass.UPDATE_CUSTOMER, pair.hubspot_id, pair.stripe_id, frozenset([what.partition(" ")[0]])
        )

    def _update_contact(self, turn: int) -> Truth:
        pair, what = next(self._free), _TO_CONTACT[turn % len(_TO_CONTACT)]
        name = what.partition(" ")[0]
        value = self._value(name)
        if name != what:
            self._edit(Side.HUBSPOT, "update", pair.hubspot_id, {name: f"{value} too"})
        self._edit(Side.STRIPE, "update", pair.stripe_id, {_FIELDS[name].stripe[0]: value})
        return Truth(DifferenceClass.UPDATE_CONTACT, pair.hubspot_id, pair.stripe_id, frozenset([name]))

    def _conflict(self, turn: int) -> Truth:
        if turn % 2:
            # A name that HubSpot's two name fields cannot take without a guess.
            pair = next(self._free)
            self._edit(Side.STRIPE, "update", pair.stripe_id, {"name": f"Holding Number {turn}"})
            return Truth(DifferenceClass.CONFLICT, pair.hubspot_id, pair.stripe_id, frozenset(["name"]))
        # Two who were never linked and do not say the same: both keep it.
        human = self._somebody()
        contact_id = self._edit(Side.HUBSPOT, "create", None, human.contact())
        other = replace(human, city=f"Elsewhere {turn}")
        customer_id = self._edit(Side.STRIPE, "create", None, other.customer())
        return Truth(DifferenceClass.CONFLICT, contact_id, customer_id, frozenset(["city"]))

    def _ambiguous(self, _turn: int) -> Truth:
        # Its id says one person, its e-mail another.
        claimed, other = next(self._free), next(self._free)
        values = {"email": other.human.email, "name": "Somebody", **_our_ids(self._sandbox, claimed.hubspot_id)}
        return Truth(DifferenceClass.AMBIGUOUS, "", self._edit(Side.STRIPE, "create", None, values))

    def _duplicate(self, _turn: int) -> Truth:
        pair = next(self._free)
        values = {"email": pair.human.email, "name": "A Second Account"}
        return Truth(DifferenceClass.DUPLICATE, pair.hubspot_id, self._edit(Side.STRIPE, "create", None, values))

    def _orphaned(self, turn: int) -> Truth:
        pair = next(self._free)
        if turn % 2:
            self._edit(Side.STRIPE, "delete", pair.stripe_id, {})
            return Truth(DifferenceClass.ORPHANED, pair.hubspot_id, "")
        self._edit(Side.HUBSPOT, "delete", pair.hubspot_id, {})
        return Truth(DifferenceClass.ORPHANED, "", pair.stripe_id)

    def _excluded(self, turn: int) -> Truth:
        human = replace(self._somebody(), email="")
        if turn % 2:
            return Truth(DifferenceClass.EXCLUDED, "", self._edit(Side.STRIPE, "create", None, human.customer()))
        return Truth(DifferenceClass.EXCLUDED, self._edit(Side.HUBSPOT, "create", None, human.contact()), "")

    # -- parts

    def _somebody(self) -> FakePerson:
        self._number += 1
        return agreeable(self._number, self._rng)

    def _value(self, what: str) -> str:
        """A value of a field that nobody has."""
        self._number += 1
        if what == "phone":
            return f"+1303{self._number % 10_000_000:07d}"
        return f"moved.{self._number}@example.org" if what == "email" else f"New {self._number}"

    def _edit(self, side: Side, kind: str, record_id: str | None, values: dict[str, str]) -> str:
        self._at_ms += 7
        machine = self._sandbox.hubspot if side is Side.HUBSPOT else self._sandbox.stripe
        return machine.edit(kind, record_id, values, self._at_ms)


def _held(values: dict[str, str], side: Side) -> frozenset[str]:
    """The fields of which a record holds something."""
    names = {spec.name: spec.hubspot if side is Side.HUBSPOT else spec.stripe for spec in DEFAULT_FIELDS}
    return frozenset(name for name, parts in names.items() if any(values.get(part) for part in parts))


def _our_ids(sandbox: Sandbox, contact_id: str) -> dict[str, str]:
    portal_id = sandbox.hubspot.settings.portal_id
    return {"metadata.hubspot_portal_id": str(portal_id), "metadata.hubspot_contact_id": contact_id}
