"""One pass over a key: what should become of a contact, its customers and their links (CORRECTNESS sections 2 to 6).

Pure: a scene in, a ``Plan`` out. The same function serves live sync, ``diff`` and ``reconcile``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from wanesync.core.fields import CANON_VERSION
from wanesync.core.jobs import WaitCode
from wanesync.core.matching import Match, base_of_create, match_customer
from wanesync.core.merge import MergeResult, Pair, merge
from wanesync.core.model import (
    COUNTERPART_EXCLUDED,
    BasePair,
    Change,
    Conflict,
    Link,
    LinkState,
    Note,
    PendingWrite,
    Side,
    StoredRecord,
    WriteKind,
    WriteResult,
    contact_key,
    customer_key,
    split_key,
)
from wanesync.core.plan import (
    COUNTERPART_DELETED,
    CUSTOMER_LINKED,
    FIRST_LISTING,
    NO_CONTACTS,
    NO_CUSTOMERS,
    NO_EMAIL,
    Action,
    Plan,
    PlanContext,
    Rules,
)


def plan(context: PlanContext, rules: Rules, new_link_id: str) -> Plan:
    """Plan one key. ``new_link_id`` seeds the ids of links made here."""
    kind, record_id = split_key(context.key)
    draft = Planner(context, rules, new_link_id)
    if kind == "customer":
        draft.plan_customer(record_id)
    else:
        draft.plan_contact(record_id)
    draft.plan.unheld += draft.context.holds_without_flow()
    return draft.plan


class Planner:
    """A pass in progress: its own copy of the links, so that each step sees the ones before it."""

    def __init__(self, context: PlanContext, rules: Rules, new_link_id: str) -> None:
        self.context = replace(context, links=list(context.links))
        self.rules = rules
        self.new_link_id = new_link_id
        self.plan = Plan()
        self.former: Link | None = None

    # -- the customer's pass: find its contact, or have one made

    def plan_customer(self, customer_id: str) -> None:
        """Hand over to its contact, or create one."""
        customer = self.context.find(Side.STRIPE, customer_id)
        if customer is None or customer.stale:
            return
        links = self.context.active(Side.STRIPE, customer_id)
        if links:
            self.plan.wake.add((Side.HUBSPOT, contact_key(links[0].hubspot_id)))
            return
        if customer.deleted or customer.excluded:
            return
        match = match_customer(self.context, customer)
        if match.problem:
            self._note(customer, match.problem)
        elif not match.contact_id:
            self._create(customer, Side.HUBSPOT)
        elif self.context.released(match.contact_id, customer_id):
            self._note(customer, COUNTERPART_EXCLUDED)
        else:
            self.plan.wake.add((Side.HUBSPOT, contact_key(match.contact_id)))

    # -- the contact's pass

    def plan_contact(self, contact_id: str) -> None:
        """Follow a merge, mourn the dead, link, elect, create or merge fields."""
        contact = self.context.find(Side.HUBSPOT, contact_id)
        if contact is None:
            return
        if contact.survivor:
            self._move_links(contact_id, self.context.survivor(contact_id))
            return
        if contact.deleted:
            self._orphan_links_of_contact(contact)
            return
        self._orphan_links_of_customers(contact)
        if contact.excluded:
            return
        ambiguous = self._link_candidates(contact)
        if self.plan.wait:
            return
        self._choose_primary(contact_id)
        links = self.context.active(Side.HUBSPOT, contact_id)
        if links:
            self._note(contact, None)
            self._merge(contact, links)
        elif ambiguous:
            self._note(contact, ambiguous)
        else:
            self._create(contact, Side.STRIPE)

    def _move_links(self, old_id: str, new_id: str) -> None:
        """A merge re-points the links to the survivor; a customer it already has is not linked twice."""
        links = self.context.active(Side.HUBSPOT, old_id)
        if not links:
            return
        self.plan.locks.add(contact_key(new_id))
        known = {k.stripe_id for k in self.context.links if k.hubspot_id == new_id}
        for link in links:
            if link.stripe_id in known:
                self._put(replace(link, primary=False, state=LinkState.ORPHANED))
            else:
                self._put(replace(link, hubspot_id=new_id, primary=False))
        self._choose_primary(new_id, prefer=next((k.stripe_id for k in links if k.primary), ""))
        self.plan.wake.add((Side.HUBSPOT, contact_key(new_id)))

    def _orphan_links_of_contact(self, contact: StoredRecord) -> None:
        links = self.context.active(Side.HUBSPOT, contact.id)
        for link in links:
            self._put(replace(link, primary=False, state=LinkState.ORPHANED))
        if contact.hmacs - self.context.tombstones:
            self.plan.tombstones.append((Side.HUBSPOT, contact.id, contact.hmacs))

    def _orphan_links_of_customers(self, contact: StoredRecord) -> None:
        for link in self.context.active(Side.HUBSPOT, contact.id):
            customer = self.context.find(Side.STRIPE, link.stripe_id)
            if customer is not None and not customer.alive:
                self.former = link if link.primary else self.former
                self._put(replace(link, primary=False, state=LinkState.ORPHANED))
                self.plan.tombstones.append((Side.STRIPE, link.stripe_id, customer.hmacs | contact.hmacs))

    def _link_candidates(self, contact: StoredRecord) -> Note | None:
        """Link every customer that matches this contact; says what is in the way of those that do not."""
        problem: Note | None = None
        for customer in self._candidates(contact):
            if customer.excluded or self.context.released(contact.id, customer.id):
                problem = problem or COUNTERPART_EXCLUDED
                continue
            if self.context.active(Side.STRIPE, customer.id):
                problem = problem or CUSTOMER_LINKED
                continue
            match = match_customer(self.context, customer)
            if match != Match(contact.id):
                problem = problem or match.problem
                self._note(customer, match.problem)
                continue
            pending = self.context.creation_of(contact.id, customer.id)
            if pending is None and self.context.being_read(contact, customer):
                self.plan.wait = WaitCode.READ_PENDING
                return problem
            self._link(contact, customer, pending)
        return problem

    def _candidates(self, contact: StoredRecord) -> list[StoredRecord]:
        context = self.context
        found = {s.id: s for s in context.sharing(Side.STRIPE, contact.hmacs)}
        for (side, _), stored in context.records.items():
            if side is Side.STRIPE and stored.alive:
                theirs = stored.record.other_id
                if stored.id == contact.record.other_id or (theirs and context.survivor(theirs) == contact.id):
                    found[stored.id] = stored
        mine = {k.stripe_id for k in context.active(Side.HUBSPOT, contact.id)}
        return sorted((s for s in found.values() if s.id not in mine), key=lambda s: (s.record.created_ms, s.id))

    def _link(self, contact: StoredRecord, customer: StoredRecord, pending: PendingWrite | None) -> None:
        """Both locks are taken. A create of ours that made one of them gives the base, else it is unset."""
        self.plan.locks.add(customer_key(customer.id))
        base: Mapping[str, BasePair] = {}
        if pending is not None:
            base = base_of_create(pending)
            self.plan.settled.append((pending, WriteResult.MATCHED))
        old = next((k for k in self.context.links if (k.hubspot_id, k.stripe_id) == (contact.id, customer.id)), None)
        link_id = old.id if old else f"{self.new_link_id}-{len(self.plan.linked)}"
        link = Link(link_id, contact.id, customer.id, False, base, old.version if old else 0)
        self._put(replace(link, fields_version=self.rules.fields.version, canon_version=CANON_VERSION))
        self.plan.linked.append((contact.id, customer.id))
        self._note(customer, None)

    def _choose_primary(self, contact_id: str, prefer: str = "") -> None:
        """One primary per contact: the one it has, else the billed, else the newest customer."""
        links = self.context.active(Side.HUBSPOT, contact_id)
        if not links or sum(k.primary for k in links) == 1:
            return

        def rank(link: Link) -> tuple[bool, bool, int, str]:
            stored = self.context.find(Side.STRIPE, link.stripe_id)
            billed, created = (stored.record.billed, stored.record.created_ms) if stored else (False, 0)
            return (link.stripe_id == prefer, billed, created, link.stripe_id)

        best = max(links, key=rank)
        for link in links:
            chosen = link.id == best.id
            if link.primary != chosen:
                base = self._start_base(link) if chosen else link.base
                self._put(replace(link, primary=chosen, base=base))
                self.plan.conflicts += self._differing(link, base) if base is not link.base else []

    def _start_base(self, link: Link) -> Mapping[str, BasePair]:
        """After a primary that is gone: the contact's half of its base and the new one's values: no blank is filled."""
        customer = self.context.find(Side.STRIPE, link.stripe_id)
        if self.former is None or not self.former.base or customer is None:
            return link.base
        return {
            name: (base_pair[0], customer.record.values.get(name, "")) for name, base_pair in self.former.base.items()
        }

    def _differing(self, link: Link, base: Mapping[str, BasePair]) -> list[tuple[Conflict, str]]:
        """Where a new primary and its contact differ: as at first contact nothing is written, but both are kept."""
        specs = self.rules.fields.by_name
        unlike = [(n, base_pair) for n, base_pair in base.items() if n in specs and not specs[n].agree(*base_pair)]
        sides = [
            (side, n, value) for n, base_pair in unlike for side, value in zip(Side, base_pair, strict=True) if value
        ]
        return [(Conflict(side, link.id_on(side), n, value, "differ"), link.id) for side, n, value in sides]

    def _merge(self, contact: StoredRecord, links: list[Link]) -> None:
        link = next((k for k in links if k.primary), None)
        customer = self.context.living(Side.STRIPE, link.stripe_id) if link else None
        if link is None or customer is None or customer.stale or contact.stale:
            return
        late = {(side, name) for side, i, name in self.context.late if i in (contact.id, customer.id)}
        free, held = self._address_free(contact, link), self.context.held.get(link.id, {})
        stops = self.context.stops_of(link.id)
        if landed := self.context.landed.get(link.id):
            link = self._put(replace(link, base={**link.base, **landed}))
        pair = Pair(contact.record, customer.record, link.base, late, link.parked, free, held, stops)
        merged = merge(pair, self.rules.fields, self.rules.differ)
        self._remember(link, merged)
        for side in Side:
            if merged.writes[side]:
                ends, conflicts = (pair.record_id(side.other), pair.record_id(side)), tuple(merged.conflicts[side])
                self.plan.actions[side] = Action(side, WriteKind.UPDATE, *ends, merged.writes[side], conflicts, link.id)

    def _remember(self, link: Link, merged: MergeResult) -> None:
        self.plan.held += [(link.id, name, held) for name, held in sorted(merged.held.items())]
        self.plan.unheld += [(link.id, name) for name in merged.unheld]
        self.plan.conflicts += [(conflict, link.id) for conflict in merged.settled]
        parked = {name: park for name, park in link.parked.items() if name not in merged.unparked}
        if merged.base or len(parked) != len(link.parked):
            latest = self.plan.links.get(link.id, link)
            self._put(replace(latest, base={**link.base, **merged.base}, parked=parked))

    def _address_free(self, contact: StoredRecord, link: Link) -> bool:
        """A parked address may be tried again when no other contact we know carries it."""
        customer = self.context.find(Side.STRIPE, link.stripe_id)
        hmacs = customer.hmacs if customer else frozenset()
        return not [s for s in self.context.sharing(Side.HUBSPOT, hmacs) if s.id != contact.id]

    # -- creation

    def _create(self, source: StoredRecord, target: Side) -> None:
        """Create only what nobody has: section 2."""
        rules, context = self.rules, self.context
        allowed = rules.create_customers if target is Side.STRIPE else rules.create_contacts
        if not source.hmacs:
            self._note(source, NO_EMAIL)
        elif (
            context.orphaned(source.side, source.id)
            or context.is_counterpart_deleted(source)
            or source.hmacs & context.tombstones
        ):
            self._note(source, COUNTERPART_DELETED)
        elif not allowed:
            self._note(source, NO_CUSTOMERS if target is Side.STRIPE else NO_CONTACTS)
        elif not context.listed:
            self._note(source, FIRST_LISTING)
        elif (source.side, source.id) in context.reading or source.stale:
            self.plan.wait = WaitCode.READ_PENDING
        elif any(holder != context.key for h in source.hmacs if (holder := context.email_holders.get(h))):
            self.plan.wait = WaitCode.EMAIL_BEING_CREATED
        else:
            self._note(source, None)
            changes, unsplit = self._initial(source, target)
            self.plan.actions[target] = Action(
                target, WriteKind.CREATE, source.id, "", changes, unsplit, hmacs=source.hmacs
            )

    def _initial(self, source: StoredRecord, target: Side) -> tuple[dict[str, Change], tuple[Conflict, ...]]:
        """The values of a creation, and those that cannot be told there without a guess."""
        changes, unsplit = {}, []
        for spec in self.rules.fields.specs:
            value = source.record.values.get(spec.name, "")
            after: str | None = ""
            if value and spec.direction.reaches(target):
                after = spec.convert(target, value, "")
                if after is None:
                    unsplit.append(Conflict(source.side, source.id, spec.name, value, "unsplit"))
            changes[spec.name] = Change("", after or "", value)
        return changes, tuple(unsplit)

    def _note(self, stored: StoredRecord, note: Note | None) -> None:
        if stored.note != note and not stored.excluded:
            self.plan.notes[(stored.side, stored.id)] = note

    def _put(self, link: Link) -> Link:
        """Remember a link; its version grows once per pass."""
        planned = self.plan.links.get(link.id)
        link = replace(link, version=planned.version if planned else link.version + 1)
        self.plan.links[link.id] = link
        self.context.links = [k for k in self.context.links if k.id != link.id] + [link]
        return link
