"""The load of a burst: contacts, customers and purchases, each at an even rate."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from wanesync.core.model import Side
from wanesync.sandbox.seed_data import make_person
from wanesync.sandbox.server import Sandbox

BUYERS = 50
_FIRST_CUSTOMER = 2_000_000
"""New customers are numbered from here, so that they have no contact yet."""
_FIRST_BUYER = 3_000_000
CHANGES = {"city": "address.city", "address": "address.line1", "company": "business_name"}
"""The three property changes after a creation: property to customer field."""


@dataclass(frozen=True, slots=True)
class Load:
    """How many records of each kind arrive within ``seconds``."""

    contacts: int = 10_000
    purchases: int = 150
    customers: int = 100
    seconds: float = 60


@dataclass(slots=True)
class Arrivals:
    """Carries out the load.

    ``contacts``: id to the values its customer must have; ``charges``: ids; ``addresses``: e-mail addresses of the new
    customers.
    """

    sandbox: Sandbox
    load: Load
    contacts: dict[str, dict[str, str]] = field(default_factory=dict)
    charges: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    _buyers: list[str] = field(default_factory=list)
    # The same people in every run.
    _rng: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - made-up people

    def create_buyers(self) -> None:
        """Create the people who buy, on both sides before the start."""
        for number in range(min(self.load.purchases, BUYERS)):
            person = make_person(_FIRST_BUYER + number, self._rng)
            self.sandbox.edit(Side.HUBSPOT, "create", None, person.contact())
            self._buyers.append(self.sandbox.edit(Side.STRIPE, "create", None, person.customer()))

    def due(self) -> Iterator[tuple[float, Callable[[int], None], int]]:
        """Every arrival in order of time: milliseconds after the start, function, and its number."""
        kinds = (
            (self.load.contacts, self._contact),
            (self.load.customers, self._customer),
            (self.load.purchases, self._purchase),
        )
        span_ms = self.load.seconds * 1000
        streams = [[(number * span_ms / count, arrive, number) for number in range(count)] for count, arrive in kinds]
        return heapq.merge(*streams, key=lambda entry: entry[0])

    def _contact(self, number: int) -> None:
        """One creation and three property changes at once, as by an import or a form with a workflow."""
        person = make_person(number, self._rng)
        values = {"email": person.email, "firstname": person.first, "lastname": person.last}
        changes = {"city": f"Town {number}", "address": f"{number} Main Street", "company": f"Company {number}"}
        with self.sandbox.lock:
            contact_id = self.sandbox.edit(Side.HUBSPOT, "create", None, values)
            for name, value in changes.items():
                self.sandbox.edit(Side.HUBSPOT, "update", contact_id, {name: value})
        self.contacts[contact_id] = {CHANGES[name]: value for name, value in changes.items()}

    def _customer(self, number: int) -> None:
        person = make_person(_FIRST_CUSTOMER + number, self._rng)
        self.sandbox.edit(Side.STRIPE, "create", None, person.customer())
        self.addresses.append(person.email)

    def _purchase(self, number: int) -> None:
        buyer = self._buyers[number % len(self._buyers)]
        self.charges.append(self.sandbox.edit(Side.STRIPE, "purchase", buyer, {"amount": "1999", "currency": "eur"}))
