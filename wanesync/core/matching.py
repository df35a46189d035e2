"""Matching: which contact an unlinked customer belongs to (docs/correctness.md#matching)."""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.core.model import COUNTERPART_EXCLUDED, Note, NoteCode, Side, StoredRecord
from wanesync.core.plan import PlanContext


@dataclass(frozen=True, slots=True)
class Match:
    """The contact a customer belongs to; "" with a ``problem`` when none may be chosen, "" without one when none is."""

    contact_id: str = ""
    problem: Note | None = None


def match_customer(context: PlanContext, customer: StoredRecord) -> Match:
    """Return the contact an unlinked customer belongs to: by our ids first, then by e-mail address.

    Several candidates are a problem (docs/correctness.md#ambiguous); excluded contacts are no candidates.
    """
    by_id = {
        stored.id
        for (side, _), stored in context.records.items()
        if side is Side.HUBSPOT and stored.alive and _claims(stored, customer)
    }
    if customer.record.other_id:
        survivor = context.survivor(customer.record.other_id)
        if context.find_alive(Side.HUBSPOT, survivor):
            by_id.add(survivor)
    by_email = {stored.id for stored in context.find_sharing(Side.HUBSPOT, customer.hmacs)}
    if excluded := {contact_id for contact_id in by_id | by_email if _is_excluded(context, contact_id, customer)}:
        by_id, by_email = by_id - excluded, by_email - excluded
        if not by_id | by_email:
            return Match(problem=COUNTERPART_EXCLUDED)
    if len(by_id) > 1:
        return Match(problem=Note(NoteCode.AMBIGUOUS, f"ambiguous: {len(by_id)} contacts carry its id"))
    if by_id:
        (named,) = by_id
        # The answer to our create decides, although the address has moved to another contact since.
        if by_email and by_email != by_id and context.creation_of(named, customer.id) is None:
            return Match(problem=Note(NoteCode.AMBIGUOUS, "ambiguous: ids and e-mail disagree"))
        return Match(contact_id=named)
    if len(by_email) > 1:
        return Match(problem=Note(NoteCode.AMBIGUOUS, f"ambiguous: {len(by_email)} contacts carry its e-mail"))
    return Match(contact_id=by_email.pop()) if by_email else Match()


def _claims(contact: StoredRecord, customer: StoredRecord) -> bool:
    return contact.record.other_id == customer.id


def _is_excluded(context: PlanContext, contact_id: str, customer: StoredRecord) -> bool:
    """Return whether a contact is no candidate by decision; a creation that was begun before a merge is completed."""
    contact = context.records[Side.HUBSPOT, contact_id]
    by_merge = context.is_excluded_by_merge(contact) and context.creation_of(contact_id, customer.id) is None
    return contact.excluded or by_merge
