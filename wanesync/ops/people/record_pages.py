"""Addresses of records on the vendors' own pages, for links in reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.reconcile.plan_files import PINS

if TYPE_CHECKING:
    from wanesync.store.database import Store

CONTACT_PAGE = "https://app.hubspot.com/contacts/{portal}/record/0-1/"
"""HubSpot leads from here to the region a portal is kept in (knowledge.hubspot.com/records/view-record-details)."""
CUSTOMER_PAGE = "https://dashboard.stripe.com/{account}/{mode}customers/"
"""Stripe's own form, with the account that must be chosen (docs.stripe.com/dashboard/basics)."""


@dataclass(frozen=True, slots=True)
class RecordPages:
    """What comes before the id of a record in the address of its page; "" where there is no page."""

    contact: str = ""
    customer: str = ""


NO_PAGES = RecordPages()


def find_record_pages(portal: str, account: str, mode: str) -> RecordPages:
    """Return the pages of a portal and a Stripe account; ``mode``: live or test."""
    return RecordPages(
        CONTACT_PAGE.format(portal=portal) if portal else "",
        CUSTOMER_PAGE.format(account=account, mode="" if mode == "live" else "test/") if account else "",
    )


def read_record_pages(store: Store, *, is_rehearsal: bool) -> RecordPages:
    """Return the pages of the accounts that a database belongs to; none for stand-ins on this machine."""
    if is_rehearsal:
        return NO_PAGES
    with store.reading() as tx:
        known = tx.settings.get_many(PINS)
    return find_record_pages(*(known.get(name, "") for name in PINS))
