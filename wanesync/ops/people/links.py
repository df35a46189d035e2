"""Links that an operator makes and ends: ambiguous records, what a link would do, linking and unlinking.

A link or its end is a decision like one of a file (docs/correctness.md#ambiguous); workers write what follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wanesync.core.diff.decisions import Decision, Verdict
from wanesync.core.diff.difference import Difference, DifferenceClass, compare_key
from wanesync.core.errors import ConfigError, GuardError
from wanesync.core.jobs import Priority
from wanesync.core.model import Link, LinkState, NoteCode, RecordRef, Side, contact_key, customer_key
from wanesync.core.planner import replace_primary
from wanesync.reconcile.apply_decisions import DecisionApplier
from wanesync.store.clock import Clock, DatabaseClock
from wanesync.sync.loader import load_contexts

if TYPE_CHECKING:
    from wanesync.core.model import StoredRecord
    from wanesync.core.operating.operators import Operator
    from wanesync.core.plan import PlanContext
    from wanesync.store.database import Store, Tx
    from wanesync.sync.runtime import Runtime

CUSTOMER_PREFIX = "cus_"
"""How every id of a Stripe customer begins (docs.stripe.com/api/customers/object)."""


@dataclass(frozen=True, slots=True)
class AmbiguousRecord:
    """A record that several others match. ``candidates``: records of the other side that share an address or an id.

    ``rivals``: records of its own side that want the same ones. ``linked``: candidate -> the record it is linked with.
    """

    stored: StoredRecord
    candidates: Sequence[StoredRecord]
    rivals: Sequence[StoredRecord]
    linked: Mapping[RecordRef, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LinkPreview:
    """What linking or unlinking two records would do, or did.

    ``refused``: why it cannot be done, "" if it can. ``already``: it is so. ``second``: the contact keeps its primary
    customer, so that nothing is written between the two. ``differences``: what would be written, and what differs.
    ``new_primary``: the customer that becomes the contact's primary one where its primary is unlinked; the differences
    are those of the contact and that one then.
    """

    contact_id: str
    customer_id: str
    refused: str = ""
    already: bool = False
    second: bool = False
    differences: Sequence[Difference] = ()
    new_primary: str = ""

    @property
    def written(self) -> Sequence[tuple[str, Side, str, str]]:
        """(field, side, value before, value after) of what would be written."""
        return [
            (name, Side(one.writes), one.stripe if one.writes == Side.STRIPE else one.hubspot, one.after)
            for found in self.differences
            for name, one in found.fields.items()
            if one.writes
        ]

    @property
    def kept_apart(self) -> Sequence[str]:
        """The fields in which the two differ and both values stay, to be settled as conflicts."""
        return [
            name
            for found in self.differences
            if found.kind is DifferenceClass.CONFLICT
            for name, one in found.fields.items()
            if not one.writes
        ]


def list_ambiguous(store: Store, limit: int, after: str = "") -> tuple[list[AmbiguousRecord], int, str | None]:
    """List ambiguous records with their candidates, in order of ``side:id`` above ``after``.

    Returns them, how many there are in all, and where the list goes on: None at its end.
    """
    with store.reading() as tx:
        refs = [(side, i) for side, ids in tx.records.noted_ids(NoteCode.AMBIGUOUS).items() for i in ids]
        wanted = [ref for ref in sorted(refs) if f"{ref[0]}:{ref[1]}" > after]
        found = [_describe(tx, ref) for ref in wanted[:limit]]
    more = f"{wanted[limit - 1][0]}:{wanted[limit - 1][1]}" if len(wanted) > limit else None
    return [one for one in found if one is not None], len(refs), more


def describe_ambiguous(store: Store, ref: RecordRef) -> AmbiguousRecord | None:
    """Return what one record may be linked with; None for an unknown one."""
    with store.reading() as tx:
        return _describe(tx, ref)


def _describe(tx: Tx, ref: RecordRef) -> AmbiguousRecord | None:
    key = contact_key(ref[1]) if ref[0] is Side.HUBSPOT else customer_key(ref[1])
    context = load_contexts(tx, [key])[key]
    stored = context.find(*ref)
    if stored is None:
        return None
    near = [one for at, one in sorted(context.records.items()) if one.alive and at != ref]
    linked = {
        (side, link.id_on(side)): link.id_on(side.other)
        for link in context.links
        if link.state is LinkState.ACTIVE
        for side in Side
    }
    return AmbiguousRecord(
        stored,
        [one for one in near if one.side is not ref[0]],
        [one for one in near if one.side is ref[0]],
        linked,
    )


@dataclass(frozen=True, slots=True)
class Linker:
    """Links and unlinks records for one operator."""

    runtime: Runtime
    operator: Operator
    clock: Clock = field(default_factory=DatabaseClock)

    def preview_link(self, contact_id: str, customer_id: str) -> LinkPreview:
        """Return what linking two records would do. Raises ConfigError for ids in the wrong order."""
        _check_order(contact_id, customer_id)
        preview = LinkPreview(contact_id, customer_id, refused=self._find_misfit(_as_link(contact_id, customer_id)))
        if preview.refused:
            return preview
        with self.runtime.store.reading() as tx:
            context = _load_both(tx, contact_id, customer_id)
        linked = context.active_links(Side.HUBSPOT, contact_id)
        old = next((link for link in linked if link.stripe_id == customer_id), None)
        ends = {ref: context.records[ref] for ref in ((Side.HUBSPOT, contact_id), (Side.STRIPE, customer_id))}
        # Two that a merge brought together may be linked, with one of them excluded by decision: nothing flows then.
        if old is not None and not any(stored.excluded for stored in ends.values()):
            return replace(preview, already=True)
        second = any(link.primary for link in linked if link is not old)
        made = old or Link("preview", contact_id, customer_id, primary=not second, base={}, version=0)
        others = [link for link in context.links if not _is_pair(link, contact_id, customer_id)]
        records = {**context.records, **{ref: replace(stored, note=None) for ref, stored in ends.items()}}
        compared = compare_key(replace(context, records=records, links=[*others, made]), self.runtime.rules)
        mine = [one for one in compared.differences if (one.hubspot_id, one.stripe_id) == (contact_id, customer_id)]
        return replace(preview, second=second, differences=mine)

    def link(self, contact_id: str, customer_id: str) -> LinkPreview:
        """Link two records; what follows is queued. Raises ConfigError and GuardError where that cannot be done."""
        preview = self.preview_link(contact_id, customer_id)
        if preview.refused:
            raise ConfigError([preview.refused])
        if not preview.already:
            self._apply(_as_link(contact_id, customer_id))
        return preview

    def preview_unlink(self, contact_id: str, customer_id: str) -> LinkPreview:
        """Return what unlinking two records would do. Raises ConfigError as ``preview_link``."""
        _check_order(contact_id, customer_id)
        with self.runtime.store.reading() as tx:
            links = [link for link in tx.links.of_ids([contact_id], []) if _is_pair(link, contact_id, customer_id)]
        if links and links[0].state is LinkState.RELEASED:
            return LinkPreview(contact_id, customer_id, already=True)
        misfit = self._find_misfit(_as_unlink(contact_id, customer_id))
        preview = LinkPreview(contact_id, customer_id, refused=misfit)
        if misfit or not (links and links[0].primary):
            return preview
        return self._preview_new_primary(preview, links[0])

    def _preview_new_primary(self, preview: LinkPreview, former: Link) -> LinkPreview:
        rules, key = self.runtime.rules, contact_key(former.hubspot_id)
        with self.runtime.store.reading() as tx:
            context = load_contexts(tx, [key])[key]
        released = replace(former, primary=False, state=LinkState.RELEASED)
        context.links = [released if link.id == former.id else link for link in context.links]
        links = {link.id: link for link in context.links} | replace_primary(context, rules, former).links
        chosen = next((link.stripe_id for link in links.values() if link.primary and link.id != former.id), "")
        compared = compare_key(replace(context, links=[*links.values()]), rules)
        mine = [one for one in compared.differences if chosen and one.stripe_id == chosen]
        return replace(preview, new_primary=chosen, differences=mine)

    def unlink(self, contact_id: str, customer_id: str) -> LinkPreview:
        """End the link of two records for good: both stay as they are. Raises ConfigError and GuardError."""
        preview = self.preview_unlink(contact_id, customer_id)
        if preview.refused:
            raise ConfigError([preview.refused])
        if not preview.already:
            self._apply(_as_unlink(contact_id, customer_id))
        return preview

    def _make_applier(self) -> DecisionApplier:
        return DecisionApplier(self.runtime, self.clock, self.operator, priority=Priority.LIVE)

    def _find_misfit(self, decision: Decision) -> str:
        checked, problems = self._make_applier().examine([decision])
        return next((one.reason for one in problems), "") or next(iter(checked.damaged.values()), "")

    def _apply(self, decision: Decision) -> None:
        applier = self._make_applier()
        checked, _ = applier.examine([decision])
        runtime = self.runtime
        applied = applier.apply(checked, runtime.new_id(runtime.store.now_ms()), lambda _: None)
        for why in applied.left.values():
            raise GuardError(f"nothing was changed: {why}; try again in a moment")
        runtime.store.wake_workers()


def _as_link(contact_id: str, customer_id: str) -> Decision:
    return Decision(0, contact_id, "", "", Verdict.LINK, customer_id)


def _as_unlink(contact_id: str, customer_id: str) -> Decision:
    return Decision(0, contact_id, customer_id, "", Verdict.EXCLUDE)


def _is_pair(link: Link, contact_id: str, customer_id: str) -> bool:
    return (link.hubspot_id, link.stripe_id) == (contact_id, customer_id)


def _check_order(contact_id: str, customer_id: str) -> None:
    if contact_id.startswith(CUSTOMER_PREFIX) and not customer_id.startswith(CUSTOMER_PREFIX):
        raise ConfigError([f"the contact comes first, then the customer: {customer_id} {contact_id}"])


def _load_both(tx: Tx, contact_id: str, customer_id: str) -> PlanContext:
    keys = [contact_key(contact_id), customer_key(customer_id)]
    contexts = load_contexts(tx, keys)
    mine, other = contexts[keys[0]], contexts[keys[1]]
    links = {link.id: link for link in [*mine.links, *other.links]}
    return replace(mine, records={**other.records, **mine.records}, links=[*links.values()])
