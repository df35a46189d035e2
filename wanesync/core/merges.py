"""Merged contacts: whose customer stays primary (docs/correctness.md#merges).

The order of jobs, events and reads decides nothing; only what HubSpot kept does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wanesync.core.model import Link, LinkState, Side, StoredRecord
from wanesync.core.plan import PlanContext

EMAIL = "email"


def merged_links(context: PlanContext, survivor_id: str) -> list[Link]:
    """Return the active links that still name a contact that was merged into another one."""
    return [
        link
        for link in context.links
        if link.state is LinkState.ACTIVE
        and link.hubspot_id != survivor_id
        and context.survivor(link.hubspot_id) == survivor_id
    ]


def find_kept_link(context: PlanContext, survivor: StoredRecord, links: Sequence[Link]) -> Link | None:
    """Return the link of the contact that HubSpot kept, among the primary links of those merged; None: not known.

    In this order: the survivor kept its id; the merge events name the kept contact; the survivor carries one of two
    different ids of customers; its address is that of one of them; it carries the id of a customer.
    """

    def is_own(link: Link) -> bool:
        return link.hubspot_id == survivor.id

    def is_way_of(contact_id: str) -> Callable[[Link], bool]:
        return lambda link: context.is_merged_by_way_of(link.hubspot_id, contact_id)

    def has_its_id(link: Link) -> bool:
        return link.stripe_id == survivor.record.other_id

    def has_its_address(link: Link) -> bool:
        contact = context.find(Side.HUBSPOT, link.hubspot_id)
        address = survivor.record.values.get(EMAIL, "")
        return contact is not None and bool(address) and contact.record.values.get(EMAIL, "") == address

    # Each merge names one: by the names of all, also where the contact between two merges is not known to have gone by.
    named = [is_way_of(contact_id) for contact_id in context.find_kept(survivor.id)]
    checks: list[Callable[[Link], bool]] = [is_own, *named]
    if all(_carried_id(context, link) for link in links):
        checks.append(has_its_id)
    checks += [has_its_address, has_its_id]
    left = list(links)
    for check in checks:
        left = [link for link in left if check(link)] or left
        if len(left) == 1:
            return left[0]
    return None


def find_gone_link(context: PlanContext, survivor: StoredRecord) -> Link | None:
    """Return the link of the contact that HubSpot kept where its customer is gone; None: there is no such link.

    The survivor's own link shows that it kept its id; else the merge events name the contact.
    """
    last = context.find_kept(survivor.id)[-1:]

    def is_named(link: Link) -> bool:
        return any(context.is_merged_by_way_of(link.hubspot_id, contact_id) for contact_id in last)

    gone = [
        link
        for link in context.links
        if link.state is LinkState.ORPHANED and context.find_alive(Side.STRIPE, link.stripe_id) is None
    ]
    own = [link for link in gone if link.hubspot_id == survivor.id]
    by_event = [link for link in gone if is_named(link)]
    alive = any(link.state is LinkState.ACTIVE and is_named(link) for link in context.links)
    return next(iter(own or ([] if alive else by_event)), None)


def _carried_id(context: PlanContext, link: Link) -> bool:
    """Return whether the contact of a link carried the id of its customer before the merge.

    HubSpot fills a blank property of the contact it keeps from the other one: an id that only one of them had proves
    nothing.
    """
    contact = context.find(Side.HUBSPOT, link.hubspot_id)
    return contact is not None and contact.record.other_id == link.stripe_id
