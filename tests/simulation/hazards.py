"""What is rare but real: restores, portal rules, odd texts, answers that lack a part, merges of couples, clock jumps.

The features here are drawn from a random source of their own, so that the scenarios of a seed without them stay what
they were. Only those in ``READY`` are drawn; the others run with ``--features`` until the engine passes them.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.listings import catch_up
from tests.simulation.people import Payment, address, letters
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec
from wanesync.core.model import Link, LinkState, Side
from wanesync.sandbox.faults import Faults
from wanesync.sync.restored import suspect
from wanesync.worker.portal_check import PortalCheck

if TYPE_CHECKING:
    from tests.simulation.facts import Cell
    from tests.simulation.world import World

FEATURES = (
    "wide filled lag empty partial shapes odd restore couples keepid same parts shared exchange hot refuse vanish "
    "shorten jump remap repeat full stage repath renamed oldapi debit undone erase overdue catchup rewind"
).split()
"""What a scenario may hold besides ``people.FEATURES``.

``wide``: every default field, and a metadata field with options. ``filled``: Stripe fills in names. ``lag``: reads do
not find a new contact yet. ``empty``, ``partial``: answers that lack what was asked. ``shapes``: events in both
shapes, with odd sources. ``odd``: values that databases and encoders refuse, mended in the end. ``restore``: from the
recycle bin. ``couples``: merges of two contacts that both have a customer; ``keepid``: merges keep the primary's id.
``same``: both sides of a pair edited in the same instant. ``parts``: two parts of an address, one on each side.
``shared``: a guest pays with an address that two contacts carry in our copies. ``exchange``: two contacts exchange
their addresses. ``hot``: many edits of one field. ``refuse``: the portal gets a rule. ``vanish``: a property is
archived. ``shorten``: HubSpot keeps a part of a text. ``jump``: the computer's clock goes ahead, and back. ``remap``:
the configuration loses a field and gets it back; a process may keep the old map. ``repeat``: a custom event that
HubSpot has already is refused. ``debit``: a purchase that the bank decides on later. ``undone``: a purchase is
refunded or disputed. ``oldapi``: Stripe sends events in a version with another customer.
``full``: another program fills a customer's metadata to its last keys, or takes some out. ``stage``: the life-cycle
stage is mapped, which HubSpot moves forward only. ``repath``: the configuration keeps a field elsewhere on Stripe for
a while. ``renamed``: the company of a customer whose name Stripe filled in changes. ``erase``: a contact's data are
deleted for privacy. ``overdue``: webhooks come up to 50 minutes late, in no order.
``catchup``: a catch-up of one side by itself. ``rewind``: the database is replaced by a backup.
"""
READY = frozenset(FEATURES)
"""Those that seeds may draw: seeds with them pass."""
TYPED = "typed"
"""A property that is no text is mapped, and its values are written in several forms; added to what seeds draw by tests
and ``--also``, so that the scenarios of the seeds stay what they were."""
DEEDS = tuple(
    (
        "wide filled odd restore couples same parts shared exchange hot remap full stage repath renamed debit undone "
        "erase catchup rewind typed"
    ).split()
)
ADMIN = ("refuse", "vanish", "shorten")
VIP = FieldSpec("vip", ("vip",), ("metadata.vip",))
STAGE = FieldSpec("stage", ("lifecyclestage",), ("metadata.stage",))
SCORE = FieldSpec("score", ("score",), ("metadata.score",))
SCORES: Mapping[str, tuple[Mapping[str, str], tuple[tuple[str, ...], ...]]] = {
    "date": (
        {"type": "date"},
        tuple((day, f"{day}T00:00:00Z", str(ms)) for day, ms in (
            ("2026-01-01", 1_767_225_600_000), ("2024-02-29", 1_709_164_800_000), ("1970-01-02", 86_400_000),
        )),
    ),
    "datetime": (
        {"type": "datetime"},
        (
            ("2026-01-01T08:00:00Z", "2026-01-01T08:00:00.000Z", "2026-01-01T09:00:00+01:00", "1767254400000"),
            ("2026-01-01T08:00:00.250Z", "1767254400250"),
            ("2024-02-29", "2024-02-29T00:00:00Z", "1709164800000"),
        ),
    ),
    "number": (
        {"type": "number"},
        (("10.5", "10.50", "010.5", "1.05e1"), ("1000", "1e3", "1000.00"), ("0", "-0", "0.0"), ("7", "007")),
    ),
    "bool": ({"type": "bool"}, (("true", "TRUE"), ("false", "False"))),
    "choices": (
        {"type": "enumeration", "field_type": "checkbox", "options": "c;a;b"},
        (("a;b", "b;a"), ("c;a", "a;c"), ("b",), ("c;b;a", "a;b;c")),
    ),
}  # fmt: skip
"""Canonical form -> the definition of a property, and some values, each in all the forms that are sent."""
STAGES = ("lead", "opportunity", "customer", "subscriber")
KEYS = 50
VIP_OPTIONS = ("gold", "silver", "iron")
WIDE = (*(spec.name for spec in DEFAULT_FIELDS), VIP.name)
RULES = ({"pattern": ".*[02468]"}, {"max_length": "3"}, {"options": "Co1;Co2;Co3;City1;City2"}, {"read_only": "true"})
KEPT_CHARS = 4
WRONG_FOR_MS = (300, 3_000, 8_000, 40_000)
"""A wrong clock is noticed by the next heartbeat, 2 s apart, unless it is right again by then."""
OVERDUE_MS = 3_000_000
"""Senders repeat for a day and longer; 50 minutes are beyond every window of the engine, and within one of ``Play``."""
JUMPS_MS = (3_600_000, 86_400_000, -3_600_000)
ODD = ("\ud83d", "a\0b", "x" * 70_000, "é" * 3_000 + "\u202e")
ODD_TEXTS = frozenset(ODD)


def draw(seed: int) -> frozenset[str]:
    """The features of a seed, from a random source of its own."""
    rng = random.Random(f"world {seed}")
    chance = rng.choice((0.0, 0.0, 0.08, 0.15, 0.3))
    return frozenset(name for name in FEATURES if rng.random() < chance) & READY


@dataclass(frozen=True, slots=True)
class Twin:
    """Two edits of one field in the same instant, from the same base; the value of each side."""

    link: Link
    name: str
    values: dict[Side, str]
    seqs: frozenset[int]
    at_ms: int


@dataclass(frozen=True, slots=True)
class Couple:
    """A merge of two contacts that both had a customer: whose stays primary, and the other one."""

    survivor: str
    kept: str
    second: str
    contacts: tuple[str, str]
    seq: int


@dataclass(slots=True)
class Hazards:
    """The rare events of one scenario. ``left``: how many are still to come."""

    world: World
    rng: random.Random
    left: int = 0
    twins: list[Twin] = field(default_factory=list)
    couples: list[Couple] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    backup: sqlite3.Connection | None = None
    rewound: bool = False
    door_is_old: bool = False
    odd_cells: dict[tuple[str, str], str] = field(default_factory=dict)
    was_opened: bool = False
    rules: dict[str, str] = field(default_factory=dict)
    right_at_ms: int = 0
    wrong_clock: list[tuple[int, int]] = field(default_factory=list)
    was_behind: bool = False
    mistimed: set[tuple[Cell, str]] = field(default_factory=set)
    _jumped_ms: int = 0
    dropped: str = ""
    moved: bool = False
    dropped_ever: set[str] = field(default_factory=set)
    drops: list[tuple[str, int]] = field(default_factory=list)
    returns: list[tuple[str, int]] = field(default_factory=list)
    _numbers: int = 0

    @property
    def map(self) -> FieldMap:
        """The field map of the configuration as it is now."""
        fields = self.world.fields
        if not self.dropped:
            return fields
        if self.moved:
            elsewhere = (f"metadata.{self.dropped}",)
            return FieldMap(tuple(replace(s, stripe=elsewhere) if s.name == self.dropped else s for s in fields.specs))
        return FieldMap(tuple(spec for spec in fields.specs if spec.name != self.dropped))

    @property
    def changes_map(self) -> bool:
        """Whether the configuration may change."""
        return self.has("remap") or self.has("repath")

    @classmethod
    def begin(cls, world: World) -> Hazards:
        """Those of a world; draws nothing from the world's own source."""
        made = cls(world, random.Random(f"hazards {world.seed}"))
        if world.features & {*DEEDS, *ADMIN, "jump"}:
            made.left = made.rng.randint(1, 5)
        return made

    def has(self, name: str) -> bool:
        """Whether a feature is on."""
        return name in self.world.features

    def add_faults(self, faults: Faults) -> Faults:
        """The faults of the stand-ins with what these features do."""
        return replace(
            faults,
            reorder_ms=OVERDUE_MS if self.has("overdue") else faults.reorder_ms,
            read_lag_ms=4_000 if self.has("lag") else 0,
            empty_answer=0.06 if self.has("empty") else 0.0,
            partial_answer=0.12 if self.has("partial") else 0.0,
            odd_source=0.2 if self.has("shapes") else 0.0,
            object_events=0.3 if self.has("shapes") else 0.0,
            refused_repeat=0.7 if self.has("repeat") else 0.0,
        )

    def options(self) -> list[Callable[[], object]]:
        """What may happen now."""
        world = self.world
        if not world.failing:
            return []
        options: list[Callable[[], object]] = []
        if world.clock.jump_ms and self.right_at_ms <= world.now:
            options.append(self.return_clock)
        if self.door_is_old:
            options.append(self._renew_door)
        if self.left <= 0:
            return [*options, self._mend_texts] if self.odd_cells else options
        options += [partial(self._do, name) for name in (*DEEDS, *ADMIN) if self.has(name)]
        if self.has("jump") and not world.clock.jump_ms:
            options.append(self._jump)
        return options

    def mend(self) -> None:
        """What an operator and users put right in the end: the clock, and texts that cannot be synced."""
        self.left = 0
        self.return_clock()
        self._mend_texts()
        if self.dropped or self.door_is_old:
            self._note_return(self.dropped)
            self.dropped, self.door_is_old = "", False
            self._restart(keep=False)

    def _mend_texts(self) -> None:
        """Users put right what cannot be synced, also in the survivor of a merge: nothing they waited for."""
        facts = self.world.facts
        known = len(facts.writes)
        for (written_id, name), value in sorted(self.odd_cells.items()):
            end = written_id
            while end in facts.survivor:
                end = facts.survivor[end]
            if facts.raw.get((Side.HUBSPOT, end), {}).get(name, "") not in ODD_TEXTS:
                continue
            if name in self.rules:
                # First an admin lets users write the property again.
                del self.rules[name]
                opened = {"archived": "false", "read_only": "false", "options": "", "keeps": ""}
                self._edit(Side.HUBSPOT, "property", name, opened)
                self.was_opened = True
            self.world.say("mended", self._edit(Side.HUBSPOT, "update", end, {name: value}))
        facts.hasty |= {write.seq for write in facts.writes[known:]}
        self.odd_cells.clear()

    def check_account(self) -> None:
        """Make the regular check of the account, if an admin changed a property back since the last one."""
        if self.was_opened:
            self.was_opened = False
            runtime = self.world.processes[0].worker.runtime
            PortalCheck(runtime, None, "stripe_purchase", threading.Event()).check()

    def has_vanished(self, spec: FieldSpec) -> bool:
        """Whether a property of a field is archived."""
        return any(self.rules.get(name) == "vanish" for name in spec.hubspot)

    def refuses(self, spec: FieldSpec, value: str) -> bool:
        """Whether the portal refuses a value of a field now."""
        values = dict(zip(spec.hubspot, spec.form.hubspot_parts(value), strict=True))
        definitions = self.world.hubspot.portal.properties
        return bool(definitions.unknown(values) or definitions.problems(values, by_user=False))

    def may_shorten(self, name: str) -> bool:
        """Whether HubSpot keeps only a part of a field's texts."""
        return self.rules.get(name) == "shorten"

    # -- the deeds

    def _do(self, name: str) -> None:
        world = self.world
        self.left -= 1
        known = len(world.facts.writes)
        try:
            told = self._refuse(name) if name in ADMIN else getattr(self, f"_{name}")()
        except ValueError as error:
            told = f"refused: {type(error).__name__}"
        world.say("hazard", name, told)
        world.facts.hasty |= {write.seq for write in world.facts.writes[known:]}

    def _edit(self, side: Side, kind: str, record_id: str | None, values: dict[str, str]) -> str:
        return self.world.crowd.edit(side, kind, record_id, values, self.world.now)

    def _links(self) -> list[Link]:
        living = {side: set(self.world.facts.living(side)) for side in Side}
        return [
            link
            for link in self.world.links.values()
            if link.primary
            and link.state is LinkState.ACTIVE
            and all(link.id_on(side) in living[side] for side in Side)
        ]

    def _pick(self) -> Link | None:
        links = self._links()
        return self.rng.choice(links) if links else None

    def _wide(self) -> str:
        side = self.rng.choice(list(Side))
        living = self.world.facts.living(side)
        name = self.rng.choice([name for name in WIDE if name not in ("email", "name", "phone", "company", "city")])
        if not living:
            return ""
        return self._edit(side, "update", self.rng.choice(living), self.words(side, name, self.value(name)))

    def _filled(self) -> str:
        """A person with a company and no name, whose customer Stripe names after the company."""
        email = address(self.world.people + self._number())
        side = self.rng.choice(list(Side))
        company = f"Nord {'abcdefghij'[self._numbers % 10] * 3}"  # a person's name, as far as can be told
        values = {"email": email, **self.words(side, "company", company)}
        made = (self.world.hubspot if side is Side.HUBSPOT else self.world.stripe).edit(
            "create", None, values, self.world.now
        )
        self.world.facts.drain(self.world.people + self._numbers)
        return f"{side} create {made} {values}"

    def _debit(self) -> str:
        """A purchase by bank debit: pending at first, then paid or failed."""
        world, rng = self.world, self.rng
        account = world.stripe.account
        account.settings = replace(account.settings, settle_ms=rng.choice((200, 3_000, 40_000)))
        customers = world.facts.living(Side.STRIPE)
        values = {"amount": str(rng.randrange(100, 9999)), "currency": "eur"}
        customer_id, person = "", rng.randrange(world.people)
        if customers and rng.random() < 0.6:
            customer_id = rng.choice(customers)
            person = world.facts.person_of((Side.STRIPE, customer_id))
        else:
            values["email"] = address(person)
        failed = rng.random() < 0.4
        values["method"] = "failing_debit" if failed else "debit"
        charge_id = world.stripe.edit("purchase", customer_id or None, values, world.now)
        world.facts.drain()
        charge = account.charges.get(charge_id)
        payment_id = charge["payment_intent"] if charge else charge_id
        at_ms = world.now + account.settings.settle_ms
        world.crowd.payments.append(
            Payment(payment_id, customer_id, values.get("email", ""), person, charge_id, at_ms=at_ms, failed=failed)
        )
        return f"debit {payment_id} {customer_id} {values}"

    def _undone(self) -> str:
        """A purchase that was made stays one, whatever becomes of the money."""
        payments = [payment for payment in self.world.crowd.payments if payment.charge_id and not payment.held]
        if not payments:
            return ""
        payment = self.rng.choice(payments)
        kind, values = self.rng.choice((("refund", {}), ("refund", {"amount": "50"}), ("dispute", {})))
        self.world.stripe.edit(kind, payment.charge_id, values, self.world.now)
        self.world.facts.drain()
        return f"{kind} {payment.payment_id} {values}"

    def _odd(self) -> str:
        living = self.world.facts.living(Side.HUBSPOT)
        name = self.rng.choice(("firstname", "city", "company"))
        if not living:
            return ""
        contact_id = self.rng.choice(living)
        self._edit(Side.HUBSPOT, "update", contact_id, {name: self.rng.choice(ODD)})
        self.odd_cells[contact_id, name] = self.value(name)
        return f"{contact_id} {name}"

    def _restore(self) -> str:
        gone = sorted(i for i in (str(number) for number in self.world.hubspot.portal.contacts.archived))
        if not gone:
            living = self.world.facts.living(Side.HUBSPOT)
            return self._edit(Side.HUBSPOT, "delete", self.rng.choice(living), {}) if living else ""
        contact_id = self.rng.choice(gone)
        told = self._edit(Side.HUBSPOT, "restore", contact_id, {})
        self.restored.append(contact_id)
        return told

    def _erase(self) -> str:
        link = self._pick()
        living = self.world.facts.living(Side.HUBSPOT)
        contact_id = link.hubspot_id if link is not None else self.rng.choice(living) if living else ""
        if not contact_id:
            return ""
        self.erased.append(contact_id)
        return self._edit(Side.HUBSPOT, "erase", contact_id, {})

    def _catchup(self) -> str:
        if self.world.depth:
            return ""
        self.world.depth += 1
        try:
            return catch_up(self.world, self.rng.choice(list(Side)))
        finally:
            self.world.depth -= 1

    def _rewind(self) -> str:
        """A backup at first; then the database is that one again, and the marker beside it shows that."""
        world = self.world
        if self.backup is None:
            self.backup = world.copy_database()
            self.left += self.backup is not None
            return "backup"
        if world.depth or self.rewound:
            return ""
        self.rewound = True
        old = list(world.processes)
        for process in old:
            world.end(process)
        world.restore_database(self.backup, lambda tx: suspect(tx, "a backup"))
        for process in old:
            world.start(tuple(process.worker.sides))
        world.open_door()
        return "restored"

    def _couples(self) -> str:
        links = self._links()
        if len(links) < 2:
            return ""
        into, other = self.rng.sample(links, 2)
        keeps = self.has("keepid") and self.rng.random() < 0.7
        values = {"into": into.hubspot_id, "from": other.hubspot_id, "keeps_id": str(keeps).lower()}
        told = self._edit(Side.HUBSPOT, "merge", None, values)
        survivor = self.world.facts.survivor.get(other.hubspot_id, "")
        seq = self.world.facts.writes[-1].seq if self.world.facts.writes else 0
        contacts = (into.hubspot_id, other.hubspot_id)
        self.couples.append(Couple(survivor, into.stripe_id, other.stripe_id, contacts, seq))
        return told

    def _same(self) -> str:
        link = self._pick()
        if link is None:
            return ""
        name = self.rng.choice(("company", "city", "phone"))
        values = {side: self.value(name) for side in Side}
        known = len(self.world.facts.writes)
        held = tuple(self.world.facts.value((side, link.id_on(side)), name) for side in Side)
        for side in Side:
            self._edit(side, "update", link.id_on(side), self.words(side, name, values[side]))
        if link.base.get(name) == held:
            seqs = frozenset(write.seq for write in self.world.facts.writes[known:])
            self.twins.append(Twin(link, name, values, seqs, self.world.now))
        return f"{link.hubspot_id} {name} {values}"

    def _parts(self) -> str:
        link = self._pick()
        if link is None or not self.has("wide"):
            return ""
        city, street = self.value("city"), self.value("street")
        self._edit(Side.HUBSPOT, "update", link.hubspot_id, {"city": city})
        self.world.clock.now += self.rng.choice((50, 400, 900))
        self._edit(Side.STRIPE, "update", link.stripe_id, {"address.line1": street})
        return f"{link.hubspot_id} {city} {street}"

    def _shared(self) -> str:
        links = self._links()
        if len(links) < 2:
            return ""
        one, two = self.rng.sample(links, 2)
        email = self.world.facts.raw[Side.HUBSPOT, one.hubspot_id].get("email", "")
        faults = self.world.hubspot.current_faults()
        self.world.hubspot.set_faults(replace(faults, drop=1.0))
        try:
            self._edit(Side.HUBSPOT, "update", one.hubspot_id, {"email": self._spare_address(one)})
        finally:
            self.world.hubspot.set_faults(faults)
        self._edit(Side.HUBSPOT, "update", two.hubspot_id, {"email": email})
        return self.world.crowd.pay_as_guest(
            email, self.world.facts.person_of((Side.HUBSPOT, two.hubspot_id)), self.world.now
        )

    def _remap(self) -> str:
        """The configuration gets another field map: a field less, or all again; everything is restarted."""
        return self._change_map(moved=False)

    def _repath(self) -> str:
        """As ``_remap``, but the field is kept in metadata meanwhile."""
        return self._change_map(moved=True)

    def _change_map(self, *, moved: bool) -> str:
        was_reduced, missed = bool(self.dropped), self.dropped
        self.moved = moved
        self.dropped = "" if was_reduced else self.rng.choice(("company", "city", "phone"))
        self.dropped_ever |= {self.dropped} - {""}
        if self.dropped:
            self.drops.append((self.dropped, self.world.now))
        self._note_return(missed)
        edited = self._edit_missed(missed) if was_reduced else ""
        self._restart(keep=not was_reduced and self.rng.random() < 0.4)
        return f"without {self.dropped}" if self.dropped else f"all fields {edited}"

    def _note_return(self, name: str) -> None:
        """A field is mapped again as it was: each pair meets it as on first contact."""
        if name:
            self.returns.append((name, self.world.now))

    def _edit_missed(self, name: str) -> str:
        """Users edit the field that is not mapped in HubSpot, and another one of the customer."""
        links = self._links()
        if not links or self.rng.random() < 0.4:
            return ""
        link = self.rng.choice(links)
        self._edit(Side.HUBSPOT, "update", link.hubspot_id, {name: self.value(name)})
        return self._edit(Side.STRIPE, "update", link.stripe_id, {"address.line1": self.value("street")})

    def _restart(self, *, keep: bool) -> None:
        """Stop the processes and start them with the map as it is now; ``keep``: one was forgotten, and the door."""
        world = self.world
        old = list(world.processes)
        for process in old[1:] if keep else old:
            with suppress(DatabaseUnavailable):
                process.worker.lease.end()
            world.end(process)
        for process in old:
            world.start(tuple(process.worker.sides))
        if keep:
            self.door_is_old = True
        else:
            world.open_door()

    def _full(self) -> str:
        """Another program fills a customer's metadata, or takes some of its keys out."""
        living = self.world.facts.living(Side.STRIPE)
        if not living:
            return ""
        customer_id = self.rng.choice(living)
        held = self.world.facts.raw[Side.STRIPE, customer_id]
        foreign = [name for name in held if name.startswith("metadata.x") and held[name]]
        if foreign:
            gone = foreign[: self.rng.choice((1, 2, 5))]
            return self._edit(Side.STRIPE, "update", customer_id, dict.fromkeys(gone, ""))
        keys = sum(1 for name, value in held.items() if name.startswith("metadata.") and value)
        more = KEYS - keys - self.rng.choice((0, 0, 1))
        return self._edit(Side.STRIPE, "update", customer_id, {f"metadata.x{n}": "1" for n in range(more)})

    def _stage(self) -> str:
        side = self.rng.choice(list(Side))
        living = self.world.facts.living(side)
        if not living:
            return ""
        return self._edit(side, "update", self.rng.choice(living), self.words(side, "stage", self.rng.choice(STAGES)))

    def _typed(self) -> str:
        """Some values of the typed property, in any of their forms."""
        _, values = SCORES[self.world.fields.by_name[SCORE.name].transform]
        told = []
        for _ in range(self.rng.choice((1, 3, 6))):
            side = self.rng.choice(list(Side))
            living = self.world.facts.living(side)
            if living:
                value = self.rng.choice(self.rng.choice(values))
                told.append(self._edit(side, "update", self.rng.choice(living), self.words(side, SCORE.name, value)))
                self.world.clock.now += self.rng.choice((1, 20, 200))
        return " ".join(told)

    def _renamed(self) -> str:
        """The company of a pair changes; where Stripe had filled the name in from it, the name stays."""
        link = self._pick()
        if link is None:
            return ""
        side = self.rng.choice(list(Side))
        company = f"Sued {'abcdefghij'[self._number() % 10] * 3}"
        return self._edit(side, "update", link.id_on(side), self.words(side, "company", company))

    def _exchange(self) -> str:
        links = self._links()
        if len(links) < 2:
            return ""
        one, two = self.rng.sample(links, 2)
        a, b = (self.world.facts.raw[Side.HUBSPOT, link.hubspot_id].get("email", "") for link in (one, two))
        self._edit(Side.HUBSPOT, "update", one.hubspot_id, {"email": self._spare_address(one)})
        self._edit(Side.HUBSPOT, "update", two.hubspot_id, {"email": a})
        return self._edit(Side.HUBSPOT, "update", one.hubspot_id, {"email": b})

    def _spare_address(self, link: Link) -> str:
        return address(self.world.facts.person_of((Side.HUBSPOT, link.hubspot_id)), f"x{letters(self._number())}")

    def _hot(self) -> str:
        side = self.rng.choice(list(Side))
        living = self.world.facts.living(side)
        if not living:
            return ""
        record_id, name = self.rng.choice(living), self.rng.choice(("company", "city", "phone"))
        for _ in range(self.rng.choice((6, 15, 40))):
            self._edit(side, "update", record_id, self.words(side, name, self.value(name)))
            self.world.clock.now += self.rng.choice((1, 20, 200))
        return f"{side} {record_id} {name}"

    def _refuse(self, kind: str) -> str:
        """An admin changes a definition, once for each property: the rule stays until the end."""
        name = self.rng.choice(("company", "city"))
        if name in self.rules:
            return ""
        settings = {"vanish": {"archived": "true"}, "shorten": {"keeps": str(KEPT_CHARS)}}.get(kind)
        settings = settings or self.rng.choice(RULES)
        self.rules[name] = kind
        return self._edit(Side.HUBSPOT, "property", name, dict(settings))

    def _renew_door(self) -> None:
        self.door_is_old = False
        self.world.open_door()

    # -- the clock

    def _jump(self) -> None:
        self.left -= 1
        self.world.clock.jump_ms = self.rng.choice(JUMPS_MS)
        self.was_behind |= self.world.clock.jump_ms < 0
        self._jumped_ms = self.world.now
        self.right_at_ms = self.world.now + self.rng.choice(WRONG_FOR_MS)
        self.world.say("the clock jumps", self.world.clock.jump_ms)

    def return_clock(self) -> None:
        """The clock is right again."""
        if self.world.clock.jump_ms:
            self.world.clock.jump_ms = 0
            self.wrong_clock.append((self._jumped_ms, self.world.now))
            self.world.say("the clock is right")

    # -- values

    def value(self, name: str) -> str:
        """A value that was not written before, where the field has more than a few."""
        number = self._number()
        chosen = {
            "country": ("DE", "FR", "US"), "language": ("de", "fr", "en"), VIP.name: VIP_OPTIONS,
        }.get(name)  # fmt: skip
        if chosen:
            return self.rng.choice(chosen)
        words = {"phone": f"+4930190{number:04d}", "firstname": f"Anna{'abcdefghij'[number % 10] * 3}"}
        return words.get(name, f"{name.capitalize()}9{number}")

    def words(self, side: Side, name: str, value: str) -> dict[str, str]:
        """A value as the raw member of a side."""
        spec = self.world.fields.by_name[name]
        return {spec.hubspot[0] if side is Side.HUBSPOT else spec.stripe[0]: value}

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers
