"""The planner: what is to be done for one contact or customer, its counterparts and their links.

Pure: a ``PlanContext`` in, a ``Plan`` out. Live sync, ``diff`` and ``reconcile`` use the same function. The rules are
in docs/correctness.md: #matching, #primary-customer, #three-way-merge, #deletions, #merges and #first-listing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from wanesync.core.evidence.answers import Settled, settle_found
from wanesync.core.fields import FieldMap
from wanesync.core.ids import OUR_IDS
from wanesync.core.jobs import WaitCode
from wanesync.core.matching import Match, match_customer
from wanesync.core.merge import MergeResult, Pair, merge, put_back_unmapped
from wanesync.core.merges import EMAIL, find_gone_link, find_kept_link, merged_links
from wanesync.core.model import (
    COUNTERPART_EXCLUDED,
    MERGED_EXCLUDED,
    BasePair,
    Change,
    Conflict,
    Deletion,
    Link,
    LinkState,
    Note,
    Parked,
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
    COUNTERPART_MISSING,
    CUSTOMER_LINKED,
    ERASED,
    FIRST_LISTING,
    MERGE_UNDECIDED,
    MISSING,
    NO_CONTACTS,
    NO_CUSTOMERS,
    NO_EMAIL,
    Action,
    Plan,
    PlanContext,
    Rules,
    Tombstone,
)
from wanesync.core.values.business_names import company_field, takes_business_name


def plan(context: PlanContext, rules: Rules, new_link_id: str) -> Plan:
    """Return the plan of the context's key; ``new_link_id`` is the prefix of the ids of new links."""
    kind, record_id = split_key(context.key)
    planner, links = Planner(context, rules, new_link_id), context.links
    try:
        if kind == "customer":
            planner.plan_customer(record_id)
        else:
            planner.plan_contact(record_id)
        planner.plan.dropped_holds += context.find_idle_holds()
    finally:
        context.links = links
    if context.arriving and not (planner.plan.actions or planner.plan.wait):
        planner.plan.wait = WaitCode.READ_PENDING
    return planner.plan


def replace_primary(context: PlanContext, rules: Rules, former: Link) -> Plan:
    """Return the plan that makes another customer primary once an operator released the primary one.

    ``context``: with the released link. ``former``: as it was before (docs/correctness.md#primary-customer).
    """
    planner, links = Planner(context, rules, ""), context.links
    planner.former_primary = former
    contact = context.find_alive(Side.HUBSPOT, former.hubspot_id)
    try:
        if contact is not None:
            planner.choose_primary(contact)
    finally:
        context.links = links
    return planner.plan


class Planner:
    """One planning round in progress.

    Each step that changes a link gives the context another list of links, so that the next one sees it; ``plan`` puts
    the first list back.
    """

    def __init__(self, context: PlanContext, rules: Rules, new_link_id: str) -> None:
        self.context = context
        self.rules = rules
        self.new_link_id = new_link_id
        self.plan = Plan()
        self.former_primary: Link | None = None

    # -- a customer's key: find its contact, or create one

    def plan_customer(self, customer_id: str) -> None:
        """Queue the job of the customer's contact, or create a contact."""
        customer = self.context.find(Side.STRIPE, customer_id)
        if customer is None or customer.stale:
            return
        links = self.context.active_links(Side.STRIPE, customer_id)
        if links:
            self.plan.wake.add((Side.HUBSPOT, contact_key(links[0].hubspot_id)))
            return
        if customer.deleted or customer.excluded:
            return
        if customer.absent:
            self._note_missing(customer)
            return
        match = match_customer(self.context, customer)
        if match.problem:
            self._note(customer, match.problem)
        elif not match.contact_id:
            self._create(customer, Side.HUBSPOT)
        elif self.context.is_released(match.contact_id, customer_id):
            self._note(customer, COUNTERPART_EXCLUDED)
        elif self.context.records[Side.HUBSPOT, match.contact_id].absent:
            self._note(customer, COUNTERPART_MISSING)
        else:
            self.plan.wake.add((Side.HUBSPOT, contact_key(match.contact_id)))

    # -- a contact's key

    def plan_contact(self, contact_id: str) -> None:
        """Follow merges and deletions, link what matches, choose the primary, then merge fields or create."""
        contact = self.context.find(Side.HUBSPOT, contact_id)
        if contact is None:
            return
        if contact.survivor:
            self._follow_merge(contact)
        elif contact.deleted:
            self._orphan_links_of_contact(contact)
        elif contact.absent:
            self._note_missing(contact)
        else:
            self._plan_living_contact(contact)

    def _plan_living_contact(self, contact: StoredRecord) -> None:
        self._revive_links(contact)
        self._orphan_links_of_customers(contact)
        if contact.excluded:
            return
        if not self._gather_links(contact):
            self._note(contact, MERGE_UNDECIDED)
            return
        ambiguous = self._link_candidates(contact)
        if self.plan.wait:
            return
        self.choose_primary(contact)
        links = self.context.active_links(Side.HUBSPOT, contact.id)
        if links:
            self._note(contact, None)
            self._merge(contact, links)
        elif ambiguous:
            self._note(contact, MERGED_EXCLUDED if self.context.is_excluded_by_merge(contact) else ambiguous)
        else:
            self._create(contact, Side.STRIPE)

    def _follow_merge(self, merged: StoredRecord) -> None:
        """Move the links of a merged contact to its survivor; until that is known and found, nothing is done."""
        survivor = self.context.find(Side.HUBSPOT, self.context.survivor(merged.id))
        if survivor is None or survivor.absent or survivor.survivor:
            return
        if survivor.deleted:
            self._orphan_links_of_contact(survivor)
        elif merged_links(self.context, survivor.id):
            if self._gather_links(survivor) and not self._candidates(survivor):
                self.choose_primary(survivor)
            self.plan.wake.add((Side.HUBSPOT, contact_key(survivor.id)))

    def _gather_links(self, survivor: StoredRecord) -> bool:
        """Move the links of merged contacts to their survivor, all at once, with the one primary that HubSpot kept.

        False: several customers were primary, and it is not known whose contact was kept. Then nothing is moved, and
        nothing is written to any of them (docs/correctness.md#merges). Where the kept contact's own customer is gone,
        none is primary, and one is chosen as after any other deletion.
        """
        self._part_released(survivor)
        moving = merged_links(self.context, survivor.id)
        if not moving:
            return True
        own = self.context.active_links(Side.HUBSPOT, survivor.id)
        primaries = [link for link in [*own, *moving] if link.primary]
        gone = (
            find_gone_link(self.context, survivor) if len(primaries) > 1 and not any(k.primary for k in own) else None
        )
        kept = find_kept_link(self.context, survivor, primaries) if len(primaries) > 1 and gone is None else None
        if len(primaries) > 1 and kept is None and gone is None:
            return False
        self.former_primary = self.former_primary or gone
        self.plan.locks |= {contact_key(survivor.id), *(contact_key(link.hubspot_id) for link in moving)}
        known = {link.stripe_id: link for link in self.context.links if link.hubspot_id == survivor.id}
        for link in own:
            if kept is not None and link.primary and link.id != kept.id:
                self._put_link(replace(link, primary=False))
        for link in moving:
            primary = kept is not None and link.id == kept.id
            old = known.get(link.stripe_id)
            if old is None:
                known[link.stripe_id] = self._put_link(replace(link, hubspot_id=survivor.id, primary=primary))
            elif old.state is LinkState.RELEASED:
                self._relink_released(old, replace(link, primary=primary))
            else:
                self._put_link(replace(link, primary=False, state=LinkState.ORPHANED))
        return True

    def _relink_released(self, old: Link, moving: Link) -> None:
        """Let a link that an operator made since take the place of the survivor's released one (#merges)."""
        self._put_link(replace(moving, primary=False, state=LinkState.ORPHANED, base={}, parked={}, put_back={}))
        self._put_link(replace(moving, id=old.id, hubspot_id=old.hubspot_id, version=old.version))

    def _part_released(self, survivor: StoredRecord) -> None:
        """End the links with customers that an operator released from one of the merged contacts (#merges)."""
        links = [*self.context.active_links(Side.HUBSPOT, survivor.id), *merged_links(self.context, survivor.id)]
        for link in links:
            if self.context.is_released_for_good(survivor.id, link):
                self.former_primary = link if link.primary else self.former_primary
                self.plan.locks |= {contact_key(survivor.id), contact_key(link.hubspot_id)}
                self._put_link(replace(link, primary=False, state=LinkState.ORPHANED))
                self.plan.parted.append((survivor.id, link.stripe_id))
                self.plan.wake.add((Side.STRIPE, customer_key(link.stripe_id)))

    def _orphan_links_of_contact(self, contact: StoredRecord) -> None:
        """Orphan the links of a deleted contact, which keep their base and which one was primary: it may come back."""
        merged = merged_links(self.context, contact.id)
        self.plan.locks |= {contact_key(link.hubspot_id) for link in merged}
        links = [*self.context.active_links(Side.HUBSPOT, contact.id), *merged]
        for link in links:
            self._put_link(replace(link, state=LinkState.ORPHANED))
        if links:
            self._wake_sharing(contact, links)
        self._bury(contact, contact.hmacs)

    def _wake_sharing(self, contact: StoredRecord, links: list[Link]) -> None:
        """Queue the living contacts that may be linked now that a contact lost its links (#matching).

        The deletion has queued them, too, but they may have been planned before the links were orphaned.
        """
        customers = [self.context.find(Side.STRIPE, link.stripe_id) for link in links]
        hmacs = contact.hmacs.union(*(customer.hmacs for customer in customers if customer is not None))
        self.plan.wake |= {
            (Side.HUBSPOT, contact_key(other.id))
            for other in self.context.find_sharing(Side.HUBSPOT, hmacs)
            if other.id != contact.id and not self.context.active_links(Side.HUBSPOT, other.id)
        }

    def _bury(self, stored: StoredRecord, hmacs: frozenset[str]) -> None:
        """Plan the tombstone of a deleted record, unless an equal or newer one is known for each address."""
        at_ms, erased = stored.valid_to_ms, stored.erased
        known = {hmac: grave for hmac in hmacs if (grave := self.context.tombstones.get(hmac))}
        if any(hmac not in known or known[hmac].at_ms < at_ms or erased > known[hmac].erased for hmac in hmacs):
            self.plan.tombstones.append(Tombstone(stored.side, stored.id, hmacs, at_ms, erased))

    def _revive_links(self, contact: StoredRecord) -> None:
        """Make links active again whose contact was deleted and restored, with their base (#absence).

        A customer that got another contact meanwhile stays with that one.
        """
        for link in list(self.context.links):
            if link.state is not LinkState.ORPHANED or link.hubspot_id != contact.id:
                continue
            customer = self.context.find_alive(Side.STRIPE, link.stripe_id)
            if customer is None or self.context.active_links(Side.STRIPE, customer.id):
                continue
            if self.context.is_released_for_good(contact.id, link):
                continue
            primary = link.primary and not any(k.primary for k in self.context.active_links(Side.HUBSPOT, contact.id))
            self.plan.locks.add(customer_key(customer.id))
            self._put_link(replace(link, state=LinkState.ACTIVE, primary=primary))
            self.plan.revived.append((contact.id, customer.id))
            self._note(customer, None)

    def _note_missing(self, stored: StoredRecord) -> None:
        if stored.missing:
            self._note(stored, MISSING)

    def _orphan_links_of_customers(self, contact: StoredRecord) -> None:
        for link in self.context.active_links(Side.HUBSPOT, contact.id):
            customer = self.context.find(Side.STRIPE, link.stripe_id)
            if customer is not None and not customer.alive:
                self.former_primary = link if link.primary else self.former_primary
                self._put_link(replace(link, primary=False, state=LinkState.ORPHANED))
                self._bury(customer, customer.hmacs | contact.hmacs)

    def _link_candidates(self, contact: StoredRecord) -> Note | None:
        """Link every customer that matches the contact; return why another candidate could not be linked."""
        problem: Note | None = None
        for customer in self._candidates(contact):
            if customer.absent:
                problem = problem or COUNTERPART_MISSING
                continue
            if customer.excluded or self.context.is_released(contact.id, customer.id):
                problem = problem or COUNTERPART_EXCLUDED
                continue
            if self.context.active_links(Side.STRIPE, customer.id):
                problem = problem or CUSTOMER_LINKED
                continue
            match = match_customer(self.context, customer)
            if match != Match(contact.id):
                problem = problem or match.problem
                self._note(customer, match.problem)
                continue
            pending = self.context.creation_of(contact.id, customer.id)
            if pending is None and self.context.may_be_outdated(contact, customer):
                self.plan.wait = WaitCode.READ_PENDING
                return problem
            self._link(contact, customer, pending)
        return problem

    def _candidates(self, contact: StoredRecord) -> list[StoredRecord]:
        context = self.context
        found = {stored.id: stored for stored in context.find_sharing(Side.STRIPE, contact.hmacs)}
        for (side, _), stored in context.records.items():
            if side is Side.STRIPE and stored.alive:
                theirs = stored.record.other_id
                if stored.id == contact.record.other_id or (theirs and context.survivor(theirs) == contact.id):
                    found[stored.id] = stored
        mine = {link.stripe_id for link in context.active_links(Side.HUBSPOT, contact.id)}
        return sorted(
            (stored for stored in found.values() if stored.id not in mine),
            key=lambda stored: (stored.record.created_ms, stored.id),
        )

    def _link(self, contact: StoredRecord, customer: StoredRecord, pending: PendingWrite | None) -> None:
        """Link the two under both locks; the base is that of our create if one made the pair, else it is empty."""
        self.plan.locks.add(customer_key(customer.id))
        settled = Settled()
        if pending is not None:
            settled = self._settle_create(pending, contact if pending.side is Side.HUBSPOT else customer)
            self.plan.matched_creates.append((pending, WriteResult.MATCHED))
        old = next(
            (link for link in self.context.links if (link.hubspot_id, link.stripe_id) == (contact.id, customer.id)),
            None,
        )
        link_id = old.id if old else f"{self.new_link_id}-{len(self.plan.linked)}"
        parked = pending.left_out if pending is not None else {}
        version, decided = (old.version, old.decided) if old else (0, False)
        made_link = Link(link_id, contact.id, customer.id, False, settled.base, version, parked=parked, decided=decided)
        self._put_link(made_link)
        self.plan.conflicts += [(conflict, link_id) for conflict in settled.conflicts]
        made = contact if pending is not None and pending.side is Side.HUBSPOT else customer
        self.plan.conflicts += [
            (Conflict(park.side, made.id, name, park.value, "parked"), link_id) for name, park in parked.items()
        ]
        if pending is not None and parked:
            self.plan.conflicts += [(conflict, link_id) for conflict in _find_unsent(pending, parked)]
        self.plan.linked.append((contact.id, customer.id))
        self._note(customer, None)

    def _settle_create(self, pending: PendingWrite, made: StoredRecord) -> Settled:
        """Compare what a creation sent with its answer, or with the record found where no answer came."""
        return self.context.answers.get(pending.id) or settle_found(pending, made.record, self.rules.fields)

    def choose_primary(self, contact: StoredRecord) -> None:
        """Keep the contact's one primary link, else choose one: a billed customer, then the newest.

        Of a contact into which others were merged its own customer goes first, by our ids and by its address.
        """
        links = self.context.active_links(Side.HUBSPOT, contact.id)
        if not links or sum(link.primary for link in links) == 1:
            return
        merged = self.context.has_merged(contact.id)

        def rank(link: Link) -> tuple[bool, bool, bool, int, str]:
            stored = self.context.find(Side.STRIPE, link.stripe_id)
            if stored is None:
                return (False, False, False, 0, link.stripe_id)
            record = stored.record
            named = merged and contact.id == record.other_id
            same = merged and contact.record.values.get(EMAIL, "") == record.values.get(EMAIL, "") != ""
            return (named, same, record.billed, record.created_ms, link.stripe_id)

        best = max(links, key=rank)
        for link in links:
            chosen = link.id == best.id
            if link.primary != chosen:
                base = self._start_base(link) if chosen else link.base
                self._put_link(replace(link, primary=chosen, base=base))
                self.plan.conflicts += self._primary_conflicts(link, base) if base is not link.base else []

    def _start_base(self, link: Link) -> Mapping[str, BasePair]:
        """Return the base of a new primary: the contact's values of the former base, the customer's current ones.

        So no blank of the customer is filled. Without a former primary the base stays as it is.
        """
        customer = self.context.find(Side.STRIPE, link.stripe_id)
        if self.former_primary is None or not self.former_primary.base or customer is None:
            return link.base
        return {
            name: (base_pair[0], customer.record.values.get(name, ""))
            for name, base_pair in self.former_primary.base.items()
            if name not in customer.record.unknown and name in self.rules.fields.by_name
        }

    def _primary_conflicts(self, link: Link, base: Mapping[str, BasePair]) -> list[tuple[Conflict, str]]:
        """Return conflicts for the fields in which a new primary and its contact differ: nothing is written there."""
        specs = self.rules.fields.by_name
        unlike = [
            (name, base_pair) for name, base_pair in base.items() if name in specs and not specs[name].agree(*base_pair)
        ]
        sides = [
            (side, name, value)
            for name, base_pair in unlike
            for side, value in zip(Side, base_pair, strict=True)
            if value
        ]
        return [(Conflict(side, link.id_on(side), n, value, "differ"), link.id) for side, n, value in sides]

    def _merge(self, contact: StoredRecord, links: list[Link]) -> None:
        link = next((link for link in links if link.primary), None)
        customer = self.context.find_alive(Side.STRIPE, link.stripe_id) if link else None
        if link is None or customer is None or customer.absent or customer.stale or contact.stale:
            return
        for stored in (contact, customer):
            self._read_unknown(stored)
        late = {(side, name) for side, i, name in self.context.late if i in (contact.id, customer.id)}
        free, held = self._is_email_free(contact, link), self.context.held.get(link.id, {})
        stops = self.context.stops_of(link.id)
        if landed := self.context.landed.get(link.id):
            link = self._put_link(replace(link, base={**link.base, **landed}))
        outdated = self.context.may_be_outdated(contact, customer)
        pair = Pair(
            contact.record,
            customer.record,
            link.base,
            late,
            link.parked,
            free,
            held,
            stops,
            outdated,
            self.context.unusable,
            link.put_back,
            redefined=self.context.redefined,
            customer_ms=customer.valid_from_ms,
        )
        merged = merge(pair, self.rules.fields, self.rules.differ)
        put_back_unmapped(pair, self.rules.fields, merged)
        self._keep_what_a_merge_replaces(customer, links, merged)
        self._plan_storing(link, merged)
        for side in Side:
            if merged.writes[side]:
                ends, conflicts = (pair.record_id(side.other), pair.record_id(side)), tuple(merged.conflicts[side])
                self.plan.actions[side] = Action(side, WriteKind.UPDATE, *ends, merged.writes[side], conflicts, link.id)

    def _keep_what_a_merge_replaces(self, customer: StoredRecord, links: list[Link], merged: MergeResult) -> None:
        """Keep what a write would replace by the value of another customer of a merged contact.

        A write to a contact that is being merged lands on the survivor, and flows from there (#merges).
        """
        others = [
            other for k in links if not k.primary and (other := self.context.find_alive(Side.STRIPE, k.stripe_id))
        ]
        kept = {conflict.field for conflict in merged.conflicts[Side.STRIPE]}
        if not others or not self.context.has_merged(links[0].hubspot_id):
            return
        for name, change in merged.writes[Side.STRIPE].items():
            spec = self.rules.fields.by_name.get(name)
            if spec is None or not change.before or not change.source or change.put_back or name in kept:
                continue
            if any(spec.key(other.record.values.get(name, "")) == spec.key(change.source) for other in others):
                conflict = Conflict(Side.STRIPE, customer.id, name, change.before, "overwritten")
                merged.conflicts[Side.STRIPE].append(conflict)

    def _plan_storing(self, link: Link, merged: MergeResult) -> None:
        self.plan.new_holds += [(link.id, name, held) for name, held in sorted(merged.new_holds.items())]
        self.plan.dropped_holds += [(link.id, name) for name in merged.dropped_holds]
        self.plan.conflicts += [(conflict, link.id) for conflict in merged.immediate_conflicts]
        self.plan.agreed += [(link.id, name, True) for name in merged.agreed]
        self.plan.agreed += [(link.id, name, False) for name in merged.settled_put_backs]
        self.plan.agreed += [(link.id, name, False) for name in merged.unparked if name in OUR_IDS]
        parked = {name: park for name, park in link.parked.items() if name not in merged.unparked}
        put_back = {name: back for name, back in link.put_back.items() if name not in merged.settled_put_backs}
        if merged.base or len(parked) != len(link.parked) or len(put_back) != len(link.put_back):
            latest = self.plan.links.get(link.id, link)
            self._put_link(replace(latest, base={**link.base, **merged.base}, parked=parked, put_back=put_back))

    def _is_email_free(self, contact: StoredRecord, link: Link) -> bool:
        """Return whether a parked e-mail address may be tried again: no other known contact carries it."""
        customer = self.context.find(Side.STRIPE, link.stripe_id)
        hmacs = customer.hmacs if customer else frozenset()
        return not [stored for stored in self.context.find_sharing(Side.HUBSPOT, hmacs) if stored.id != contact.id]

    # -- creation

    def _create(self, source: StoredRecord, target: Side) -> None:
        """Plan a creation on ``target``, or note why there is none (docs/correctness.md#first-listing)."""
        rules, context = self.rules, self.context
        allowed = rules.create_customers if target is Side.STRIPE else rules.create_contacts
        if not source.hmacs:
            self._read_unknown(source)
            self._note(source, NO_EMAIL)
        elif any(grave.erased for grave in self._graves(source)) or (
            context.is_counterpart_erased(source) and not source.wanted
        ):
            self._note(source, ERASED)
        elif obstacle := self._find_obstacle(source):
            self._note(source, obstacle)
        elif not allowed:
            self._note(source, NO_CUSTOMERS if target is Side.STRIPE else NO_CONTACTS)
        elif not context.listed:
            self._note(source, FIRST_LISTING)
        elif wait := self._find_wait(source, target):
            if source.note == ERASED:
                # It is blocked no more: the next read is stored with its values.
                self._note(source, None)
            self.plan.wait = wait
        else:
            if not source.wanted:
                self._note(source, None)
            if target is Side.STRIPE:
                # None of their jobs may begin a creation meanwhile.
                self.plan.locks |= {contact_key(i) for i in context.find_merged(source.id)}
            changes, unsplit = self._initial_values(source, target)
            self.plan.actions[target] = Action(
                target, WriteKind.CREATE, source.id, "", changes, unsplit, hmacs=source.hmacs
            )

    def _find_obstacle(self, source: StoredRecord) -> Note | None:
        """Return which decision or deletion of the past lets nothing be created for a record; None: there is none."""
        context = self.context
        if source.wanted:
            return None
        if source.side is Side.HUBSPOT and context.is_excluded_by_merge(source):
            return MERGED_EXCLUDED
        if context.has_released_link(source.side, source.id):
            return COUNTERPART_EXCLUDED
        if (
            context.has_inactive_link(source.side, source.id)
            or context.is_counterpart_deleted(source)
            or any(grave.blocks(source.record.created_ms) for grave in self._graves(source))
        ):
            return COUNTERPART_DELETED
        return None

    def _find_wait(self, source: StoredRecord, target: Side) -> WaitCode:
        """Return what a creation waits for."""
        context = self.context
        if target in context.blocked:
            return WaitCode.SETUP
        if context.unconfirmed:
            return WaitCode.CONFIRMATION
        if (source.side, source.id) in context.reading or source.stale:
            return WaitCode.READ_PENDING
        if any(holder != context.key for h in source.hmacs if (holder := context.email_holders.get(h))):
            return WaitCode.EMAIL_BEING_CREATED
        merged = context.find_merged(source.id) if target is Side.STRIPE else ()
        if any(own.side is target and own.result is None and own.source_id in merged for own in context.creates):
            return WaitCode.MERGED_BEING_CREATED
        # A creation is sent once: a field that can still be read is waited for.
        return WaitCode.READ_PENDING if self._read_unknown(source) and not source.unanswered else WaitCode.NONE

    def _graves(self, source: StoredRecord) -> list[Deletion]:
        """Return the newest deletions of records with an address of a record."""
        return [grave for hmac in source.hmacs if (grave := self.context.tombstones.get(hmac))]

    def _initial_values(self, source: StoredRecord, target: Side) -> tuple[dict[str, Change], tuple[Conflict, ...]]:
        """Return the changes of a creation, and conflicts for values that ``target`` cannot take without a guess."""
        changes, unsplit = {}, []
        values, fields = source.record.values, self.rules.fields
        left_out = source.record.unknown | self.context.unusable
        for spec in fields.specs:
            if spec.name in left_out:
                continue
            value = values.get(spec.name, "")
            after: str | None = ""
            if value and spec.direction.reaches(target) and not fields.is_filled_in(source.record, spec.name):
                after = spec.convert(target, value, "")
                if after is None:
                    unsplit.append(Conflict(source.side, source.id, spec.name, value, spec.why_not(value)))
            changes[spec.name] = Change("", after or "", value)
        if target is Side.HUBSPOT:
            self._put_business_name(values, changes)
        return changes, tuple(unsplit)

    def _put_business_name(self, values: Mapping[str, str], changes: dict[str, Change]) -> None:
        """Make the name of a business the company of a new contact (docs/correctness.md#names)."""
        fields = self.rules.fields
        for name, change in list(changes.items()):
            company = company_field(fields, name) if change.after else None
            if company is None or not takes_business_name(company, change.source, {}, values):
                continue
            if company.name not in changes:
                del changes[name]  # it waits with its company, and is met on first contact
            else:
                after = company.convert(Side.HUBSPOT, change.source, "") or change.source
                changes |= {name: replace(change, after=""), company.name: Change("", after, "")}

    def _note(self, stored: StoredRecord, note: Note | None) -> None:
        is_kept = stored.excluded or (stored.wanted and note not in (None, ERASED))
        if stored.note != note and not is_kept:
            self.plan.notes[(stored.side, stored.id)] = note

    def _read_unknown(self, stored: StoredRecord) -> bool:
        """Ask for a read of a record whose copy lacks a field of the map (docs/correctness.md#unknown-fields)."""
        lacks = bool((stored.record.unknown & self.rules.fields.by_name.keys()) - self.context.unusable)
        if lacks:
            self.plan.reads[stored.side, stored.id] = stored.unanswered
        return lacks

    def _put_link(self, link: Link) -> Link:
        """Put a link into the plan; its version grows once per planning round."""
        planned = self.plan.links.get(link.id)
        if link.put_back and not (link.primary and link.state is LinkState.ACTIVE):
            link = self._keep_what_is_not_put_back(link)
        link = replace(link, version=planned.version if planned else link.version + 1)
        self.plan.links[link.id] = link
        self.context.links = [*(each for each in self.context.links if each.id != link.id), link]
        return link

    def _keep_what_is_not_put_back(self, link: Link) -> Link:
        """Keep buried values as conflicts where no value flows over their link any more (#put-back).

        Those of a deleted record stay on the link: it may come back.
        """
        self.plan.conflicts += [(conflict, link.id) for conflict in find_buried(self.context, link, self.rules.fields)]
        gone = {side for side in Side if self.context.find_alive(side, link.id_on(side)) is None}
        return replace(link, put_back={name: back for name, back in link.put_back.items() if back.side in gone})


def find_buried(context: PlanContext, link: Link, fields: FieldMap) -> list[Conflict]:
    """Return conflicts for the values of living records that a link was to put back."""
    found = []
    for name, back in link.put_back.items():
        stored, spec = context.find_alive(back.side, link.id_on(back.side)), fields.by_name.get(name)
        if stored is None or spec is None or back.decided:
            continue
        if spec.key(stored.record.values.get(name, "")) != spec.key(back.value):
            found.append(Conflict(back.side, stored.id, name, back.value, "overwritten"))
    return found


def _find_unsent(pending: PendingWrite, parked: Mapping[str, Parked]) -> list[Conflict]:
    """Return conflicts for values that only a refused field would have carried: the name of a business as company."""
    refused = {park.value for park in parked.values()}
    return [
        Conflict(pending.side.other, pending.source_id, name, change.source, "unsplit")
        for name, change in pending.changes.items()
        if change.source in refused and not change.after
    ]
