"""What users do on both sides: every kind of action, as often as the seed draws it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from tests.simulation.facts import Facts
from wanesync.core.model import Side, normalise_email
from wanesync.sandbox.hubspot.machine import HubSpotMachine
from wanesync.sandbox.stripe.machine import StripeMachine

FEATURES = (
    "email second delete merge pay guest aba clear case swap lossy note lost dup order crash pause late tmo s500 s503 "
    "door storm away listing lanes quiet firm down skew off roll capture limit guard long live mixed"
).split()
"""What a scenario may hold; drawn per seed.

``quiet``: each user waits until nothing is due. ``down``: the database goes away, also in a commit.
``skew``: clocks of processes are wrong. ``off``: writes are off for a while. ``roll``: purchases become
properties. ``mixed``: processes were told different sinks. ``capture``: payments are held first. ``limit``:
writes are refused for their rate. ``guard``: listings that fail or show nothing. ``long``: a side is away
for two hours. ``live``: a second reconcile in the middle of it all.
"""


BILLING = "billing"
"""Charges of customers name the address of a guest, or of any other person."""
FIRST_BILLING_SEED = 284_000_000
"""Seeds below it stay what they were: tests name some of them for what they once found."""


def draw_billing(seed: int) -> frozenset[str]:
    """Draw ``BILLING``, from a random source of its own: it changes no other scenario."""
    drawn = seed >= FIRST_BILLING_SEED and random.Random(f"billing {seed}").random() < 0.3
    return frozenset({BILLING} if drawn else ())


def draw_features(rng: random.Random) -> frozenset[str]:
    """Few, some or many features: small scenarios find the simple defects with the shortest traces."""
    chance = rng.choice((0.05, 0.12, 0.12, 0.3, 0.3, 0.5))
    return frozenset(name for name in FEATURES if rng.random() < chance)


@dataclass(frozen=True, slots=True)
class Payment:
    """A purchase a user made at ``at_ms``: with a customer, or as a guest.

    A held one counts when it is captured, a failed one never.
    """

    payment_id: str
    customer_id: str
    email: str
    person: int
    charge_id: str = ""
    held: bool = False
    at_ms: int = 0
    failed: bool = False


@dataclass(slots=True)
class Crowd:
    """The users of one scenario."""

    rng: random.Random
    features: frozenset[str]
    facts: Facts
    hubspot: HubSpotMachine
    stripe: StripeMachine
    people: int
    payments: list[Payment] = field(default_factory=list)
    old: dict[tuple[Side, str, str], list[str]] = field(default_factory=dict)
    _values: int = 0

    def act(self, now_ms: int) -> str:
        """Make one action of one user; returns what it was, "" if it changed nothing."""
        side = self.rng.choice(list(Side))
        living = self.facts.living(side)
        dice = self.rng.random()
        try:
            if not living or dice < 0.12:
                return self.enter(side, self.rng.randrange(self.people), now_ms)
            return self._work(side, self.rng.choice(living), dice, now_ms)
        except ValueError as error:
            return f"refused: {type(error).__name__}"

    def _work(self, side: Side, record_id: str, dice: float, now_ms: int) -> str:
        if dice < 0.18 and "delete" in self.features:
            return self.edit(side, "delete", record_id, {}, now_ms)
        if dice < 0.26 and "merge" in self.features and len(self.facts.living(Side.HUBSPOT)) > 1:
            into, other = self.rng.sample(self.facts.living(Side.HUBSPOT), 2)
            return self.edit(Side.HUBSPOT, "merge", None, {"into": into, "from": other}, now_ms)
        if dice < 0.42 and "email" in self.features:
            return self._move(side, record_id, now_ms)
        if dice < 0.54 and "pay" in self.features:
            held = [place for place, payment in enumerate(self.payments) if payment.held]
            return self.capture(self.rng.choice(held), now_ms) if held and dice < 0.48 else self.pay(now_ms)
        return self._change(side, record_id, now_ms)

    def edit(self, side: Side, kind: str, record_id: str | None, values: dict[str, str], now_ms: int) -> str:
        """An edit by hand; raises ValueError for what the side refuses."""
        machine = self.hubspot if side is Side.HUBSPOT else self.stripe
        made = machine.edit(kind, record_id, values, now_ms)
        self.facts.drain()
        return f"{side} {kind} {record_id or made} {values}"

    def enter(self, side: Side, person: int, now_ms: int, *, blank: bool = False) -> str:
        """A person entered by hand: once per side, unless second customers are about."""
        facts = self.facts
        root = facts.root(person)
        if any(facts.person_of(ref) == root for ref in facts.gone):
            return ""
        here = [r for r in facts.raw if r[0] is side and facts.person_of(r) == root]
        if here and (side is Side.HUBSPOT or "second" not in self.features):
            return ""
        there = [r for r in facts.raw if r[0] is side.other and facts.person_of(r) == root]
        known = [min(facts.addresses(r)) for r in [*there, *here] if facts.addresses(r)]
        email = known[0] if known else address(person)
        if self._is_taken(email, root):
            return ""
        values = {"email": self._typed(email, side)}
        for name in ("name", "company", "city", "phone"):
            if not blank and self.rng.random() < 0.5:
                values |= self.words(side, name, self.value(side, name))
        machine = self.hubspot if side is Side.HUBSPOT else self.stripe
        made = machine.edit("create", None, values, now_ms)
        facts.drain(person)
        return f"{side} create {made} person {person} {values}"

    def pay(self, now_ms: int) -> str:
        """A purchase of a customer, or of a guest."""
        customers = self.facts.living(Side.STRIPE)
        values = {"amount": str(self.rng.randrange(100, 9999)), "currency": "usd"}
        if "guest" in self.features and self.rng.random() < 0.5:
            person = self.rng.randrange(self.people)
            values["email"], customer_id = address(person), ""
        elif customers:
            customer_id = self.rng.choice(customers)
            person = self.facts.person_of((Side.STRIPE, customer_id))
            if BILLING in self.features and self.rng.random() < 0.5:
                # A charge may name any billing address: that of a shared mailbox, of a colleague, of a parent.
                guests = [payment.email for payment in self.payments if not payment.customer_id]
                values["email"] = guests[-1] if guests else address(self.rng.randrange(self.people))
        else:
            return ""
        held = "capture" in self.features and self.rng.random() < 0.5
        if held:
            values["capture"] = "manual"
        charge_id = self.stripe.edit("purchase", customer_id or None, values, now_ms)
        charge = self.stripe.account.charges.get(charge_id)
        payment_id = charge["payment_intent"] if charge else charge_id
        self.facts.drain()
        email = values.get("email", "")
        self.payments.append(Payment(payment_id, customer_id, email, person, charge_id, held, now_ms))
        return f"pay {payment_id} {customer_id} {values}"

    def pay_as_guest(self, email: str, person: int, now_ms: int) -> str:
        """A purchase without a customer, with an address."""
        values = {"amount": str(self.rng.randrange(100, 9999)), "currency": "usd", "email": email}
        charge_id = self.stripe.edit("purchase", None, values, now_ms)
        charge = self.stripe.account.charges.get(charge_id)
        payment_id = charge["payment_intent"] if charge else charge_id
        self.facts.drain()
        self.payments.append(Payment(payment_id, "", email, person, charge_id, at_ms=now_ms))
        return f"pay {payment_id} as a guest {email}"

    def capture(self, place: int, now_ms: int) -> str:
        """A held payment is taken after all."""
        payment = self.payments[place]
        self.stripe.edit("capture", payment.charge_id, {}, now_ms)
        self.payments[place] = replace(payment, held=False)
        return f"capture {payment.payment_id}"

    def _move(self, side: Side, record_id: str, now_ms: int) -> str:
        person = self.facts.person_of((side, record_id))
        choices = [address(p, letter) for p in range(self.people) for letter in ("", "b")]
        if "swap" not in self.features:
            choices = [email for email in choices if not self._is_taken(email, person)]
        if not choices:
            return ""
        email = self._typed(self.rng.choice(choices), side)
        return self.edit(side, "update", record_id, {"email": email}, now_ms)

    def _change(self, side: Side, record_id: str, now_ms: int) -> str:
        name = self.rng.choice(("name", "company", "city", "phone"))
        if "clear" in self.features and self.rng.random() < 0.3:
            return self.edit(side, "update", record_id, self.words(side, name, ""), now_ms)
        earlier = self.old.setdefault((side, record_id, name), [])
        if "aba" in self.features and earlier and self.rng.random() < 0.5:
            value = self.rng.choice(earlier)
        else:
            value = self.value(side, name)
            if name == "name" and side is Side.STRIPE and self.rng.random() < 0.6:
                # A new last name can be told apart from the first; a wholly new name cannot.
                held = self.facts.value((side, record_id), name).partition(" ")[0]
                value = f"{held} {value.partition(' ')[2]}" if held else value
        earlier.append(value)
        return self.edit(side, "update", record_id, self.words(side, name, value), now_ms)

    def value(self, side: Side, name: str) -> str:
        """A value that was not written before."""
        self._values += 1
        n = self._values
        if name == "phone" and "lossy" in self.features and side is Side.HUBSPOT:
            return f"{n} (202) 555-0100 ext. 4321 (mornings)"
        # A digit makes a name a firm's, which no contact's two name fields can take without a guess.
        person = f"Firm {n}" if "firm" in self.features and self.rng.random() < 0.5 else f"F{letters(n)} L{letters(n)}"
        return {"name": person, "phone": f"+49301{n:06d}", "company": f"Co{n}", "city": f"City{n}"}[name]

    def words(self, side: Side, name: str, value: str) -> dict[str, str]:
        """A value as the raw properties of a side."""
        if side is Side.STRIPE:
            path = {"name": "name", "phone": "phone", "company": "business_name", "city": "address.city"}[name]
            return {path: value}
        if name == "name":
            first, _, last = value.partition(" ")
            return {"firstname": first, "lastname": last}
        return {name: value}

    def _typed(self, email: str, side: Side) -> str:
        return email.upper() if side is Side.STRIPE and "case" in self.features and self.rng.random() < 0.4 else email

    def _is_taken(self, email: str, person: int) -> bool:
        facts = self.facts
        return any(
            normalise_email(email) in facts.addresses(ref) and facts.person_of(ref) != person for ref in facts.raw
        )


def address(person: int, letter: str = "") -> str:
    """An address of a person."""
    return f"p{person}{letter}@example.com"


def letters(number: int) -> str:
    """1 -> b, 26 -> ba: numbers a name may hold."""
    text = ""
    while number:
        number, rest = divmod(number, 26)
        text = chr(97 + rest) + text
    return text
