"""Traffic on a sandbox: seeded edits by users on both sides, new records and purchases, at a given rate.

Nothing here sleeps or reads a clock: ``advance`` carries out what is due at the given time, and ``next_ms`` is when the
next activity is due.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from wanesync.sandbox.seed_data import make_person
from wanesync.sandbox.stand_in import Side

_FIRST_NEW = 1_000_000
"""New people are numbered from here, so that they differ from the seeded ones."""


class Editor(Protocol):
    """The target of edits: a ``Sandbox`` in this process, or the ``ControlClient`` of a running one."""

    def edit(self, side: str, kind: str, record_id: str | None, values: Mapping[str, str]) -> str:
        """Edit a record as a user does: the record id."""
        ...

    def records(self, side: str) -> list[dict[str, str]]:
        """Every existing record of one side in short form."""
        ...


class ActivityKind(StrEnum):
    """The kinds of activity."""

    EDIT = "edit"
    EDIT_BOTH = "edit_both"
    CREATE = "create"
    PURCHASE = "purchase"
    GUEST = "guest"


@dataclass(frozen=True, slots=True)
class Activity:
    """One activity that was carried out, for checks.

    ``record_id``: the record, or the charge of a purchase. ``values``: the values that were set, or the price.
    ``customer_id``: the customer of a purchase; "" for a guest.
    """

    at_ms: int
    side: Side
    kind: ActivityKind
    record_id: str
    values: Mapping[str, str] = field(default_factory=dict)
    customer_id: str = ""


# The relative frequency of each kind on each side.
_WEIGHTS: Mapping[Side, Mapping[ActivityKind, int]] = {
    Side.HUBSPOT: {ActivityKind.EDIT: 80, ActivityKind.EDIT_BOTH: 5, ActivityKind.CREATE: 15},
    Side.STRIPE: {ActivityKind.EDIT: 55, ActivityKind.CREATE: 15, ActivityKind.PURCHASE: 22, ActivityKind.GUEST: 8},
}
# Currency and amount in minor units; yen have no decimals, dinars three.
_MONEY = (("usd", 1999), ("eur", 4500), ("gbp", 1250), ("jpy", 3200), ("kwd", 12500), ("usd", 50))
_TOWNS = ("Riverton", "Ashford", "Görlitz", "Nova Vila", "Kita")


class Traffic:
    """Edits both sides, ``rate_per_s`` times a second each, beginning at ``start_ms``.

    The same seed on the same records carries out the same activities. ``activities``: all of them so far.
    """

    def __init__(self, editor: Editor, seed: int, rate_per_s: float, start_ms: int) -> None:
        if rate_per_s <= 0:
            raise ValueError("rate_per_s must be above 0")
        self.activities: list[Activity] = []
        self._editor = editor
        self._rng = random.Random(f"traffic {seed}")  # noqa: S311 - made-up people, no secrets
        self._step_ms = 1000 / rate_per_s
        # The two sides alternate, so that they are not edited in the same instant.
        self._due_ms = {Side.HUBSPOT: float(start_ms), Side.STRIPE: start_ms + self._step_ms / 2}
        self._number = _FIRST_NEW + seed * 1_000_000
        self._serial = 0
        records = {side: editor.records(side) for side in Side}
        self._ids = {side: [row["id"] for row in rows] for side, rows in records.items()}
        self._pairs = _pair(records[Side.HUBSPOT], records[Side.STRIPE])
        self._addresses = [row["email"] for row in records[Side.HUBSPOT] if row.get("email")]
        self._actions: Mapping[ActivityKind, Callable[[Side, int], list[Activity]]] = {
            ActivityKind.EDIT: self._edit,
            ActivityKind.EDIT_BOTH: self._edit_both,
            ActivityKind.CREATE: self._create,
            ActivityKind.PURCHASE: self._purchase,
            ActivityKind.GUEST: self._guest,
        }

    @property
    def next_ms(self) -> float:
        """When the next activity is due."""
        return min(self._due_ms.values())

    def advance(self, now_ms: int) -> list[Activity]:
        """Carry out every activity due by now and return them. Raises the errors of the editor."""
        done: list[Activity] = []
        while self.next_ms <= now_ms:
            side = min(Side, key=lambda each: self._due_ms[each])
            self._due_ms[side] += self._step_ms
            weights = _WEIGHTS[side]
            kind = self._rng.choices(list(weights), list(weights.values()))[0]
            done += self.do(kind, side, now_ms)
        return done

    def do(self, kind: ActivityKind, side: str, now_ms: int) -> list[Activity]:
        """Carry out one activity on one side now; it becomes another kind when no record fits it."""
        on = Side(side)
        if kind is ActivityKind.EDIT_BOTH and not self._pairs:
            kind = ActivityKind.EDIT
        if (
            kind in (ActivityKind.EDIT, ActivityKind.PURCHASE)
            and not self._ids[Side.STRIPE if kind is ActivityKind.PURCHASE else on]
        ):
            kind = ActivityKind.CREATE
        activities = self._actions[kind](on, now_ms)
        self.activities += activities
        return activities

    def _edit(self, side: Side, now_ms: int) -> list[Activity]:
        return [self._change(side, self._rng.choice(self._ids[side]), self._rng.choice(list(_CHANGES)), now_ms)]

    def _edit_both(self, _side: Side, now_ms: int) -> list[Activity]:
        """Edit the same person on both sides at once: half the time the same field."""
        contact_id, customer_id = self._rng.choice(self._pairs)
        here, there = self._rng.sample(list(_CHANGES), 2)
        if self._rng.random() < 0.5:
            there = here
        return [
            self._change(Side.HUBSPOT, contact_id, here, now_ms, ActivityKind.EDIT_BOTH),
            self._change(Side.STRIPE, customer_id, there, now_ms, ActivityKind.EDIT_BOTH),
        ]

    def _change(
        self, side: Side, record_id: str, what: str, now_ms: int, kind: ActivityKind = ActivityKind.EDIT
    ) -> Activity:
        self._serial += 1
        value = _CHANGES[what][1].format(self._serial, self._rng.choice(_TOWNS))
        values = {_CHANGES[what][0][side]: value}
        self._editor.edit(side, "update", record_id, values)
        return Activity(now_ms, side, kind, record_id, values)

    def _create(self, side: Side, now_ms: int) -> list[Activity]:
        self._number += 1
        person = make_person(self._number, self._rng)
        values = person.contact() if side is Side.HUBSPOT else person.customer()
        record_id = self._editor.edit(side, "create", None, values)
        self._ids[side].append(record_id)
        return [Activity(now_ms, side, ActivityKind.CREATE, record_id, values)]

    def _purchase(self, _side: Side, now_ms: int) -> list[Activity]:
        customer_id = self._rng.choice(self._ids[Side.STRIPE])
        values = self._price()
        charge_id = self._editor.edit(Side.STRIPE, "purchase", customer_id, values)
        return [Activity(now_ms, Side.STRIPE, ActivityKind.PURCHASE, charge_id, values, customer_id)]

    def _guest(self, _side: Side, now_ms: int) -> list[Activity]:
        """A purchase without a customer: by the e-mail address of a contact or, one in three, by an unknown one."""
        if self._addresses and self._rng.random() < 2 / 3:
            address = self._rng.choice(self._addresses)
        else:
            self._number += 1
            address = f"guest.{self._number}@example.net"
        values = self._price() | {"email": address}
        charge_id = self._editor.edit(Side.STRIPE, "purchase", None, values)
        return [Activity(now_ms, Side.STRIPE, ActivityKind.GUEST, charge_id, values)]

    def _price(self) -> dict[str, str]:
        currency, amount = self._rng.choice(_MONEY)
        return {"currency": currency, "amount": str(amount)}


def drive(
    traffic: Traffic, end_ms: int, clock_ms: Callable[[], int], wait_s: Callable[[float], object]
) -> list[Activity]:
    """Carry out the traffic in real time until ``end_ms`` and return all activities.

    ``wait_s`` waits that many seconds, like ``threading.Event().wait``; when it returns True, the traffic ends early.
    """
    while (now_ms := clock_ms()) < end_ms:
        traffic.advance(now_ms)
        if wait_s(max(min(traffic.next_ms, end_ms) - clock_ms(), 1) / 1000) is True:
            break
    return traffic.activities


# The edited fields: the name on each side, and a template of a serial number and a town for the new value.
_CHANGES: Mapping[str, tuple[Mapping[Side, str], str]] = {
    "city": ({Side.HUBSPOT: "city", Side.STRIPE: "address.city"}, "{1} {0}"),
    "street": ({Side.HUBSPOT: "address", Side.STRIPE: "address.line1"}, "{0} {1} Street"),
    "phone": ({Side.HUBSPOT: "phone", Side.STRIPE: "phone"}, "+1202556{0:04d}"),
    "company": ({Side.HUBSPOT: "company", Side.STRIPE: "business_name"}, "{1} Trading No. {0}"),
}


def _pair(contacts: list[dict[str, str]], customers: list[dict[str, str]]) -> list[tuple[str, str]]:
    """The people whose e-mail address is on exactly one record of each side: (contact id, customer id)."""
    by_address = [_by_address(rows) for rows in (contacts, customers)]
    return [(ids[0], by_address[1][address][0]) for address, ids in by_address[0].items()
            if len(ids) == 1 and len(by_address[1].get(address, [])) == 1]  # fmt: skip


def _by_address(rows: list[dict[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.get("email"):
            found.setdefault(row["email"].strip().lower(), []).append(row["id"])
    return found
