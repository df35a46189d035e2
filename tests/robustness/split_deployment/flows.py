"""The five flows of live sync, one after the other, and all at once while parts are killed; what must come of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.robustness.split_deployment.deployment import BROKER, DATABASE, Deployment
from wanesync.core.model import Side
from wanesync.sandbox.journal import Entry
from wanesync.sandbox.server import Sandbox

FLOW_S = 60.0
DOWN_S = 1.0
REST_S = 300.0
QUIET_S = 3.0


@dataclass
class Traffic:
    """People who come from both sides, are edited on both, and buy; each side's edits go to a field of their own."""

    sandbox: Sandbox
    contacts: dict[str, str] = field(default_factory=dict)
    customers: dict[str, str] = field(default_factory=dict)
    cities: dict[str, str] = field(default_factory=dict)
    streets: dict[str, str] = field(default_factory=dict)
    charges: list[str] = field(default_factory=list)
    _number: int = 0

    def create_contact(self) -> str:
        """A new contact: its address."""
        email = self._next()
        values = {"email": email, "firstname": "Ana", "lastname": f"Born {self._number}", "city": "Lyon"}
        self.contacts[email] = self.sandbox.edit(Side.HUBSPOT, "create", None, values)
        self.cities[email] = "Lyon"
        return email

    def create_customer(self) -> str:
        """A new customer: its address."""
        email = self._next()
        values = {"email": email, "name": f"Tom Born {self._number}", "address.line1": "1 Main Street"}
        self.customers[email] = self.sandbox.edit(Side.STRIPE, "create", None, values)
        self.streets[email] = "1 Main Street"
        return email

    def _next(self) -> str:
        self._number += 1
        return f"person{self._number}@example.com"

    def edit_contact(self, email: str) -> None:
        """Change a contact's city."""
        self._number += 1
        self.cities[email] = f"Town {self._number}"
        contact = self._find(Side.HUBSPOT, email)
        self.sandbox.edit(Side.HUBSPOT, "update", contact, {"city": self.cities[email]})

    def edit_customer(self, email: str) -> None:
        """Change a customer's street."""
        self._number += 1
        self.streets[email] = f"{self._number} Main Street"
        customer = self._find(Side.STRIPE, email)
        self.sandbox.edit(Side.STRIPE, "update", customer, {"address.line1": self.streets[email]})

    def buy(self, email: str) -> None:
        """Let a customer buy."""
        values = {"amount": "1999", "currency": "eur"}
        self.charges.append(self.sandbox.edit(Side.STRIPE, "purchase", self._find(Side.STRIPE, email), values))

    def _find(self, side: Side, email: str) -> str:
        known = self.contacts if side is Side.HUBSPOT else self.customers
        if email not in known:
            known[email] = self.row(side, email)["id"]
        return known[email]

    def row(self, side: Side, email: str) -> dict[str, str]:
        """The record with an address; empty if there is none."""
        return next((row for row in self.sandbox.records(side) if row.get("email") == email), {})

    def journal(self, side: Side) -> list[Entry]:
        """Everything that was committed on a side."""
        with self.sandbox.lock:
            return list(self.sandbox.machines[side].journal.after(0))

    def events(self) -> Counter[str]:
        """Charge -> how many events it has."""
        sent = (entry for entry in self.journal(Side.HUBSPOT) if entry.kind == "event.sent")
        return Counter(entry.changes.get("charge_id", "") for entry in sent)

    def judge(self) -> dict[str, int]:
        """What is lost, differs or is there twice."""
        rows = {side: self.sandbox.records(side) for side in Side}
        by_email = {side: {row.get("email", ""): row for row in found} for side, found in rows.items()}
        people = {*self.contacts, *self.customers}
        events = self.events()
        differing = sum(
            contact.get("city", "") != customer.get("address.city", "")
            or contact.get("address", "") != customer.get("address.line1", "")
            or contact.get("city", "") != self.cities.get(email, contact.get("city", ""))
            or customer.get("address.line1", "") != self.streets.get(email, customer.get("address.line1", ""))
            for email in people
            if (contact := by_email[Side.HUBSPOT].get(email)) and (customer := by_email[Side.STRIPE].get(email))
        )
        return {
            "people": len(people),
            "purchases": len(self.charges),
            "missing": sum(email not in by_email[side] for email in people for side in Side),
            "differing": differing,
            "doubled": sum(len(found) - len(by_email[side]) for side, found in rows.items()),
            "events missing": sum(not events[charge] for charge in self.charges),
            "events doubled": sum(count - 1 for count in events.values()),
        }


def run_flows(run: Deployment) -> dict[str, float]:
    """Each of the five flows: seconds from the edit on one side to its effect on the other."""
    traffic = Traffic(run.sandbox)
    ana, tom = "", ""

    def timed(edit: Callable[[], object], holds: Callable[[], object], what: str) -> float:
        began_s = time.monotonic()
        edit()
        while not holds():
            assert time.monotonic() < began_s + FLOW_S, f"not within {FLOW_S:g} s: {what}"
            time.sleep(0.02)
        return round(time.monotonic() - began_s, 2)

    def create_contact() -> None:
        nonlocal ana
        ana = traffic.create_contact()

    def create_customer() -> None:
        nonlocal tom
        tom = traffic.create_customer()

    took = {
        "new contact -> customer": timed(create_contact, lambda: traffic.row(Side.STRIPE, ana), "a customer"),
        "new customer -> contact": timed(create_customer, lambda: traffic.row(Side.HUBSPOT, tom), "a contact"),
        "contact edit -> customer": timed(
            lambda: traffic.edit_contact(ana),
            lambda: traffic.row(Side.STRIPE, ana).get("address.city") == traffic.cities[ana],
            "the city",
        ),
        "customer edit -> contact": timed(
            lambda: traffic.edit_customer(tom),
            lambda: traffic.row(Side.HUBSPOT, tom).get("address") == traffic.streets[tom],
            "the street",
        ),
        "purchase -> event": timed(lambda: traffic.buy(tom), lambda: traffic.events()[traffic.charges[0]], "an event"),
    }
    assert not any(value for name, value in traffic.judge().items() if name not in ("people", "purchases"))
    return took


def run_kills(run: Deployment, kills: int, pause_s: float) -> dict[str, int]:
    """All five flows all the time while each part is killed in turn; what came of it when everything is at rest."""
    traffic, names = Traffic(run.sandbox), [*run.parts, BROKER, DATABASE]
    traffic._number = 1_000
    for number in range(kills):
        name = names[number % len(names)]
        _play(traffic, time.monotonic() + pause_s - DOWN_S)
        run.kill(name)
        _play(traffic, time.monotonic() + DOWN_S)
        run.start(name)
        run.restart_ended()
    _play(traffic, time.monotonic() + pause_s)
    _await_rest(run, traffic)
    return traffic.judge()


def _play(traffic: Traffic, until_s: float) -> None:
    """A round of the flows every 0.2 s."""
    while time.monotonic() < until_s:
        traffic.create_contact()
        traffic.create_customer()
        for email in list(traffic.contacts)[-20::7]:
            traffic.edit_contact(email)
        for email in list(traffic.customers)[-20::7]:
            traffic.edit_customer(email)
        traffic.buy(list(traffic.customers)[-1])
        time.sleep(0.2)


def _await_rest(run: Deployment, traffic: Traffic) -> None:
    """Wait until everything agrees, or nothing has moved for a while and no webhook waits."""
    deadline_s, mark, since_s = time.monotonic() + REST_S, (-1, -1), time.monotonic()
    while time.monotonic() < deadline_s:
        run.restart_ended()
        now = (len(traffic.journal(Side.HUBSPOT)), len(traffic.journal(Side.STRIPE)))
        waiting = any(counts["webhooks_waiting"] for counts in run.sandbox.stats().values())
        if now != mark or waiting:
            mark, since_s = now, time.monotonic()
        found = traffic.judge()
        right = not any(value for name, value in found.items() if name not in ("people", "purchases"))
        if time.monotonic() > since_s + (QUIET_S if right else 30):
            return
        time.sleep(0.5)
