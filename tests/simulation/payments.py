"""Whether each payment is on the right contact exactly once."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from wanesync.core.model import Link, Side
from wanesync.core.purchases import PurchaseState

if TYPE_CHECKING:
    from tests.simulation.people import Payment
    from tests.simulation.truth import Ref
    from tests.simulation.world import World

MARK = re.compile(r"\[wanesync:(\w+)\]")


def check_payments(world: World, active: list[Link]) -> None:
    """Sent once, to the person who paid; or unmatched with a reason, and not linked."""
    landed = _landed(world)
    with world.store.reading() as tx:
        rows = tx.purchases.get_many([payment.payment_id for payment in world.crowd.payments])
    for payment in world.crowd.payments:
        row, contacts = rows.get(payment.payment_id), landed.get(payment.payment_id, [])
        if row is None:
            world.blame("a payment is not in the ledger")
            continue
        # A note has no id: one that comes late, after the next process has looked for it, stands twice.
        # So does one of a process that stood still between the check of its lease and its request.
        cut_off = "note" in world.features and ("pause" in world.features or {"late", "crash"} <= world.features)
        if len(contacts) > 1 and not cut_off:
            world.blame("a payment was put down twice")
        for contact_id in contacts:
            _check_contact(world, payment, contact_id)
        if row.state is PurchaseState.SENT and not contacts and not _is_gone(world, row.contact_id):
            world.blame("a payment counts as sent and is not there")
        elif row.state in (PurchaseState.TODO, PurchaseState.WAITING):
            world.blame(f"a payment is {row.state} at rest")
        elif row.state is PurchaseState.UNMATCHED:
            if any(link.stripe_id == payment.customer_id for link in active):
                world.blame("a payment is unmatched though its customer is linked")
            if not row.reason:
                world.blame("an unmatched payment without a reason")


def _landed(world: World) -> dict[str, list[str]]:
    landed: dict[str, list[str]] = defaultdict(list)
    for entry in world.hubspot.journal.after(0):
        if entry.kind == "event.sent":
            landed[entry.changes["payment_id"]].append(entry.record_id)
    for note in world.hubspot.notes.by_id.values():
        for payment_id in MARK.findall(note.properties.get("hs_note_body", "")):
            landed[payment_id].append(str(note.contact_ids[0]))
    return landed


def _is_gone(world: World, contact_id: str) -> bool:
    return (Side.HUBSPOT, contact_id) in world.truth.gone or contact_id in world.truth.survivor


def _check_contact(world: World, payment: Payment, contact_id: str) -> None:
    truth = world.truth
    ref = (Side.HUBSPOT, contact_id)
    if truth.person_of(ref) == truth.root(payment.person):
        return
    linked = any(
        b.link.stripe_id == payment.customer_id and _end(world, b.link.hubspot_id) == _end(world, contact_id)
        for b in truth.bases
    )
    if payment.customer_id and linked:
        return
    # A guest goes by address, a linked customer's too, and so does a customer who cannot be linked.
    paid_by = {payment.email} if payment.email else _addresses(world, (Side.STRIPE, payment.customer_id))
    customers = {b.link.stripe_id for b in truth.bases if b.link.hubspot_id == contact_id}
    near = _addresses(world, ref).union(*(_addresses(world, (Side.STRIPE, i)) for i in customers))
    if paid_by & near:
        return
    world.blame("a payment is on the wrong contact")
    world.say("payment", payment, contact_id, truth.person_of(ref))


def _addresses(world: World, ref: Ref) -> set[str]:
    """Every address a record ever had."""
    return {w.new for w in world.truth.writes if w.cell == (*ref, "email") and w.new}


def _end(world: World, contact_id: str) -> str:
    while contact_id in world.truth.survivor:
        contact_id = world.truth.survivor[contact_id]
    return contact_id
