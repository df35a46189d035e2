"""Life on a sandbox: seeded edits by people on both sides, new people and purchases, at a given rate.

Nothing here sleeps or reads a clock: ``advance`` carries out what is due by the time it is given, and
``next_ms`` says when to come back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from wanesync.sandbox.seed_data import invent
from wanesync.sandbox.wire import Side

_FIRST_NEW = 1_000_000
"""New people are numbered from here, so that they meet nobody who was planted."""


class Editor(Protocol):
    """Where edits go: a ``Sandbox`` in this process, or the ``Doors`` of a running one."""

    def edit(self, side: str, kind: str, record_id: str | None, values: Mapping[str, str]) -> str:
        """An edit by a person: the record's id."""
        ...

    def records(self, side: str) -> list[dict[str, str]]:
        """Every living record of one side in short form."""
        ...


class Deed(StrEnum):
    """What can happen."""

    EDIT = "edit"
    EDIT_BOTH = "edit_both"
    CREATE = "create"
    PURCHASE = "purchase"
    GUEST = "guest"


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that was done, for a checker to compare.

    ``record_id``: the record, or the charge of a purchase. ``values``: what was set, or bought.
    ``customer_id``: who bought; "" for a guest.
    """

    at_ms: int
    side: Side
    deed: Deed
    record_id: str
    values: Mapping[str, str] = field(default_factory=dict)
    customer_id: str = ""


# How often each deed comes up on each side, in parts.
_WEIGHTS: Mapping[Side, Mapping[Deed, int]] = {
    Side.HUBSPOT: {Deed.EDIT: 80, Deed.EDIT_BOTH: 5, Deed.CREATE: 15},
    Side.STRIPE: {Deed.EDIT: 55, Deed.CREATE: 15, Deed.PURCHASE: 22, Deed.GUEST: 8},
}
_MONEY = (("usd", 1999), ("eur", 4500), ("gbp", 1250), ("jpy", 3200), ("kwd", 12500), ("usd", 50))
_TOWNS = ("Riverton", "Ashford", "Görlitz", "Nova Vila", "Kita")


class Traffic:
    """Edits both sides, ``rate_per_s`` times a second each, beginning at ``start_ms``.

    The same seed on the same records does the same things. ``acts`` holds all that was done so far.
    """

    def __init__(self, editor: Editor, seed: int, rate_per_s: float, start_ms: int) -> None:
        if rate_per_s <= 0:
            raise ValueError("rate_per_s must be above 0")
        self.acts: list[Act] = []
        self._editor = editor
        self._rng = random.Random(f"traffic {seed}")  # noqa: S311 - made-up people, no secrets
        self._step_ms = 1000 / rate_per_s
        # The two sides take turns rather than act in the same instant.
        self._due_ms = {Side.HUBSPOT: float(start_ms), Side.STRIPE: start_ms + self._step_ms / 2}
        self._number = _FIRST_NEW + seed * 1_000_000
        self._mark = 0
        records = {side: editor.records(side) for side in Side}
        self._ids = {side: [row["id"] for row in rows] for side, rows in records.items()}
        self._pairs = _pair(records[Side.HUBSPOT], records[Side.STRIPE])
        self._addresses = [row["email"] for row in records[Side.HUBSPOT] if row.get("email")]
        self._deeds: Mapping[Deed, Callable[[Side, int], list[Act]]] = {
            Deed.EDIT: self._edit,
            Deed.EDIT_BOTH: self._edit_both,
            Deed.CREATE: self._create,
            Deed.PURCHASE: self._purchase,
            Deed.GUEST: self._guest,
        }

    @property
    def next_ms(self) -> float:
        """When the next act is due."""
        return min(self._due_ms.values())

    def advance(self, now_ms: int) -> list[Act]:
        """Carry out every act due by now: what was done. Raises what the editor raises."""
        done: list[Act] = []
        while self.next_ms <= now_ms:
            side = min(Side, key=lambda each: self._due_ms[each])
            self._due_ms[side] += self._step_ms
            weights = _WEIGHTS[side]
            deed = self._rng.choices(list(weights), list(weights.values()))[0]
            done += self.do(deed, side, now_ms)
        return done

    def do(self, deed: Deed, side: str, now_ms: int) -> list[Act]:
        """Do one thing on one side now; it becomes another deed when there is nobody to do it to."""
        on = Side(side)
        if deed is Deed.EDIT_BOTH and not self._pairs:
            deed = Deed.EDIT
        if deed in (Deed.EDIT, Deed.PURCHASE) and not self._ids[Side.STRIPE if deed is Deed.PURCHASE else on]:
            deed = Deed.CREATE
        acts = self._deeds[deed](on, now_ms)
        self.acts += acts
        return acts

    def _edit(self, side: Side, now_ms: int) -> list[Act]:
        return [self._change(side, self._rng.choice(self._ids[side]), self._rng.choice(list(_CHANGES)), now_ms)]

    def _edit_both(self, _side: Side, now_ms: int) -> list[Act]:
        """The same person on both sides at once: half the time the same field."""
        contact_id, customer_id = self._rng.choice(self._pairs)
        here, there = self._rng.sample(list(_CHANGES), 2)
        if self._rng.random() < 0.5:
            there = here
        return [
            self._change(Side.HUBSPOT, contact_id, here, now_ms, Deed.EDIT_BOTH),
            self._change(Side.STRIPE, customer_id, there, now_ms, Deed.EDIT_BOTH),
        ]

    # What, where, when and as part of what.
    def _change(self, side: Side, record_id: str, what: str, now_ms: int, deed: Deed = Deed.EDIT) -> Act:
        self._mark += 1
        value = _CHANGES[what][1].format(self._mark, self._rng.choice(_TOWNS))
        values = {_CHANGES[what][0][side]: value}
        self._editor.edit(side, "update", record_id, values)
        return Act(now_ms, side, deed, record_id, values)

    def _create(self, side: Side, now_ms: int) -> list[Act]:
        self._number += 1
        human = invent(self._number, self._rng)
        values = human.contact() if side is Side.HUBSPOT else human.customer()
        record_id = self._editor.edit(side, "create", None, values)
        self._ids[side].append(record_id)
        return [Act(now_ms, side, Deed.CREATE, record_id, values)]

    def _purchase(self, _side: Side, now_ms: int) -> list[Act]:
        customer_id = self._rng.choice(self._ids[Side.STRIPE])
        values = self._price()
        charge_id = self._editor.edit(Side.STRIPE, "purchase", customer_id, values)
        return [Act(now_ms, Side.STRIPE, Deed.PURCHASE, charge_id, values, customer_id)]

    def _guest(self, _side: Side, now_ms: int) -> list[Act]:
        """A guest: somebody known by address, or (one in three) a stranger."""
        if self._addresses and self._rng.random() < 2 / 3:
            address = self._rng.choice(self._addresses)
        else:
            self._number += 1
            address = f"guest.{self._number}@example.net"
        values = self._price() | {"email": address}
        charge_id = self._editor.edit(Side.STRIPE, "purchase", None, values)
        return [Act(now_ms, Side.STRIPE, Deed.GUEST, charge_id, values)]

    def _price(self) -> dict[str, str]:
        currency, amount = self._rng.choice(_MONEY)
        return {"currency": currency, "amount": str(amount)}


def drive(traffic: Traffic, end_ms: int, clock_ms: Callable[[], int], wait_s: Callable[[float], object]) -> list[Act]:
    """Carry out the traffic as its time comes, until ``end_ms``: everything that was done.

    ``wait_s`` waits so many seconds, such as ``threading.Event().wait`` or ``time.sleep``; when it
    answers something true (an event that was set), the traffic ends early.
    """
    while (now_ms := clock_ms()) < end_ms:
        traffic.advance(now_ms)
        if wait_s(max(min(traffic.next_ms, end_ms) - clock_ms(), 1) / 1000) is True:
            break
    return traffic.acts


# What is edited: its name on each side, and the new value from a running number and a town.
_CHANGES: Mapping[str, tuple[Mapping[Side, str], str]] = {
    "city": ({Side.HUBSPOT: "city", Side.STRIPE: "address.city"}, "{1} {0}"),
    "street": ({Side.HUBSPOT: "address", Side.STRIPE: "address.line1"}, "{0} {1} Street"),
    "phone": ({Side.HUBSPOT: "phone", Side.STRIPE: "phone"}, "+1202556{0:04d}"),
    "company": ({Side.HUBSPOT: "company", Side.STRIPE: "business_name"}, "{1} Trading No. {0}"),
}


def _pair(contacts: list[dict[str, str]], customers: list[dict[str, str]]) -> list[tuple[str, str]]:
    """The people whose address stands on exactly one record of each side: (contact id, customer id)."""
    known = [_by_address(rows) for rows in (contacts, customers)]
    return [(ids[0], known[1][address][0]) for address, ids in known[0].items()
            if len(ids) == 1 and len(known[1].get(address, [])) == 1]  # fmt: skip


def _by_address(rows: list[dict[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.get("email"):
            found.setdefault(row["email"].strip().lower(), []).append(row["id"])
    return found
