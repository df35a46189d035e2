"""What happened on both sides in a scenario, in order, field by field, from the journals of the stand-ins.

A simulated person is a number; every record belongs to one. A record the engine made belongs to the
person of the record our ids on it name, a merged contact to both of its people from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wanesync.adapters.stripe.customers import LOCALES
from wanesync.core.fields import FieldMap
from wanesync.core.model import BasePair, Link, Side, normalise_email
from wanesync.sandbox.hubspot.machine import HubSpotMachine
from wanesync.sandbox.journal import Entry
from wanesync.sandbox.stripe.machine import StripeMachine

DEFAULTED = "lifecyclestage"
"""A property that HubSpot sets at creation."""
Ref = tuple[Side, str]
Cell = tuple[Side, str, str]


@dataclass(frozen=True, slots=True)
class Write:
    """One change of one field. ``who``: user, ours, merge or vendor (filled in by Stripe itself)."""

    seq: int
    at_ms: int
    cell: Cell
    old: str
    new: str
    who: str


@dataclass(frozen=True, slots=True)
class BaseSet:
    """A link was stored."""

    seq: int
    link: Link
    base: Mapping[str, BasePair]


@dataclass(slots=True)
class Facts:
    """``raw``: what each living record holds. ``made``: records the engine created and the record they were made from.

    ``gone``: deleted records. ``survivor``: merged contact -> the one it lives on in. ``hasty``: edits (their
    ``seq``) made while a call or a listing was under way, or a read, a write or a webhook had to wait.
    """

    fields: FieldMap
    hubspot: HubSpotMachine
    stripe: StripeMachine
    writes: list[Write] = field(default_factory=list)
    bases: list[BaseSet] = field(default_factory=list)
    raw: dict[Ref, dict[str, str]] = field(default_factory=dict)
    gone: set[Ref] = field(default_factory=set)
    survivor: dict[str, str] = field(default_factory=dict)
    person: dict[Ref, int] = field(default_factory=dict)
    made: list[tuple[Ref, str]] = field(default_factory=list)
    hasty: set[int] = field(default_factory=set)
    api_writes: int = 0
    _read: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    _same: dict[int, int] = field(default_factory=dict)
    _seq: int = 0

    def value(self, ref: Ref, name: str) -> str:
        """The canonical value a record holds now."""
        return self._canonical(ref[0], self.raw.get(ref, {}), name)

    def addresses(self, ref: Ref) -> frozenset[str]:
        """All addresses of a record."""
        raw = self.raw.get(ref, {})
        texts = [raw.get("email", ""), *raw.get("hs_additional_emails", "").split(";")]
        return frozenset(filter(None, map(normalise_email, texts)))

    def living(self, side: Side) -> list[str]:
        """Ids of the living records of a side."""
        return [i for at, i in self.raw if at is side]

    def person_of(self, ref: Ref) -> int:
        """The person of a record, after all merges."""
        return self.root(self.person.get(ref, -1))

    def root(self, person: int) -> int:
        """Merged people are one."""
        while self._same.get(person, person) != person:
            person = self._same[person]
        return person

    def note_link(self, link: Link) -> None:
        """The engine stored a link."""
        self._seq += 1
        self.bases.append(BaseSet(self._seq, link, dict(link.base)))

    def drain(self, person: int = -1) -> None:
        """Take in what happened since; ``person``: whose record a user made."""
        for side, journal in ((Side.HUBSPOT, self.hubspot.journal), (Side.STRIPE, self.stripe.journal)):
            if len(journal) > self._read[side]:
                for entry in journal.after(self._read[side]):
                    self._take(side, entry, person)
                self._read[side] = len(journal)

    # -- parts

    def _take(self, side: Side, entry: Entry, person: int) -> None:
        subject, _, what = entry.kind.partition(".")
        if entry.source not in ("user", "stripe"):
            self.api_writes += 1
        if subject not in ("contact", "customer"):
            return
        ref = (side, entry.record_id)
        if what == "deleted":
            self.raw.pop(ref, None)
            self.gone.add(ref)
        elif what == "restored":
            self.gone.discard(ref)
            self.raw[ref] = dict(entry.changes)
        elif what == "merged":
            self._merge(ref, entry)
        else:
            ours = entry.source != "user"
            if what == "created":
                self._born(ref, entry, person, ours=ours)
            who = "vendor" if entry.source == "stripe" else "ours" if ours else "user"
            if what == "created" and DEFAULTED in entry.changes and who == "ours":
                # We create no contact with one that was not asked for: HubSpot sets the first stage by itself.
                own = {name: value for name, value in entry.changes.items() if name != DEFAULTED}
                self._change(ref, replace(entry, changes={DEFAULTED: entry.changes[DEFAULTED]}), "vendor")
                entry = replace(entry, changes=own)
            self._change(ref, entry, who)

    def _born(self, ref: Ref, entry: Entry, person: int, *, ours: bool) -> None:
        self.raw[ref] = {}
        if not ours:
            self.person[ref] = person
            return
        named = "stripe_customer_id" if ref[0] is Side.HUBSPOT else "metadata.hubspot_contact_id"
        source = entry.changes.get(named, "")
        self.made.append((ref, source))
        if source:
            self.person[ref] = self.person.get((ref[0].other, source), -1)
        else:
            email = entry.changes.get("email", "")
            known = (self.person[r] for r in self.raw if r != ref and email in self.addresses(r) and r in self.person)
            # A guest without a record: the address names the person.
            self.person[ref] = next(known, int("".join(c for c in email.partition("@")[0] if c.isdigit()) or -2))

    def _change(self, ref: Ref, entry: Entry, who: str) -> None:
        raw = self.raw.setdefault(ref, {})
        before = dict(raw)
        for name, value in entry.changes.items():
            raw[name] = value
            if name == "address" and not value:
                for part in [key for key in raw if key.startswith("address.")]:
                    raw[part] = ""
        self._log(ref, before, raw, entry.at_ms, who)

    def _merge(self, ref: Ref, entry: Entry) -> None:
        primary, other = entry.changes["primary"], entry.changes["merged"]
        held = self.raw.get((Side.HUBSPOT, primary), {})
        for contact_id in (primary, other):
            self.raw.pop((Side.HUBSPOT, contact_id), None)
            if contact_id != ref[1]:
                self.survivor[contact_id] = ref[1]
        a, b = (self.person_of((Side.HUBSPOT, i)) for i in (primary, other))
        self.person[ref] = a
        if a != b:
            self._same[b] = a
        self.raw[ref] = dict(self.hubspot.portal.contacts.live[int(ref[1])].properties)
        self._log(ref, held if primary == ref[1] else {}, self.raw[ref], entry.at_ms, "merge")

    # One change of one record: what it was and is, when, and which actor made it.
    def _log(self, ref: Ref, before: dict[str, str], after: dict[str, str], at_ms: int, who: str) -> None:
        side, record_id = ref
        for spec in self.fields.specs:
            old = self._canonical(side, before, spec.name)
            new = self._canonical(side, after, spec.name)
            if old != new:
                self._seq += 1
                self.writes.append(Write(self._seq, at_ms, (side, record_id, spec.name), old, new, who))

    def _canonical(self, side: Side, raw: Mapping[str, str], name: str) -> str:
        spec = self.fields.by_name[name]
        if side is Side.HUBSPOT:
            return spec.form.read_hubspot([raw.get(part, "") for part in spec.hubspot])
        raw_value = raw.get(spec.stripe[0], "")
        if spec.stripe[0] == LOCALES:
            raw_value = raw_value.partition(",")[0]
        return spec.form.read_stripe(raw_value)
