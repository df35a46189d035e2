"""Whether each payment is on the right contact exactly once."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.simulation.edits import LOSES
from wanesync.core.jobs import WaitCode
from wanesync.core.model import Link, Side
from wanesync.core.purchases import Purchase, PurchaseState, Sink, roll_up
from wanesync.core.values.typed import read_instant
from wanesync.reconcile.catch_up import OVERLAP_MS

if TYPE_CHECKING:
    from tests.simulation.facts import Ref
    from tests.simulation.people import Payment
    from tests.simulation.world import World

MARK = re.compile(r"\[wanesync:(\w+)\]")


def check_payments(world: World, active: list[Link]) -> None:
    """Sent once, to the person who paid; or unmatched with a reason, and not linked."""
    landed = _landed(world)
    with world.store.reading() as tx:
        rows = tx.purchases.get_many([payment.payment_id for payment in world.crowd.payments])
    for payment in world.crowd.payments:
        row, contacts = rows.get(payment.payment_id), landed.get(payment.payment_id, [])
        if payment.held or payment.failed:
            if row is not None or contacts:
                world.report("a payment that was only held, or failed, counts as a purchase")
            continue
        if row is None:
            # Its webhook was lost, and no catch-up goes back behind the first listing (known limits).
            if not (world.features & LOSES and payment.at_ms < world.listed_from_ms - OVERLAP_MS):
                world.report("a payment is not in the ledger")
            continue
        if len(contacts) > 1 and payment.payment_id not in world.net.stray_notes:
            world.report("a payment was put down twice")
        for contact_id in contacts:
            _check_contact(world, payment, contact_id)
        is_there = row.sink is Sink.PROPERTIES or contacts or _is_gone(world, row.contact_id)
        if row.state is PurchaseState.SENT and not is_there:
            world.report("a payment counts as sent and is not there")
        _check_state(world, payment, row, active)


def _check_state(world: World, payment: Payment, row: Purchase, active: list[Link]) -> None:
    if row.state in (PurchaseState.TODO, PurchaseState.WAITING):
        world.report(f"a payment is {row.state} at rest")
    elif row.state is PurchaseState.UNMATCHED:
        # The note may be on the contact that is gone, and would be there twice if that was restored.
        in_doubt = row.waits_for is WaitCode.NOTES_READ and _is_gone(world, row.contact_id)
        linked = [link.hubspot_id for link in active if link.stripe_id == payment.customer_id]
        if not in_doubt and any(not _is_gone(world, contact_id) for contact_id in linked):
            world.report("a payment is unmatched though its customer is linked")
        if not row.reason:
            world.report("an unmatched payment without a reason")


def check_roll_ups(world: World) -> None:
    """What a contact is said to have bought is what the ledger says, whatever came late or twice."""
    with world.store.reading() as tx:
        rows = tx.purchases.get_many([payment.payment_id for payment in world.crowd.payments])
        contacts = {row.contact_id for row in rows.values() if row.sink is Sink.PROPERTIES and row.contact_id}
        wanted = {contact_id: roll_up(tx.purchases.of_contact(contact_id)) for contact_id in sorted(contacts)}
    for contact_id, properties in wanted.items():
        held = world.facts.raw.get((Side.HUBSPOT, contact_id))
        if held is not None and any(
            # HubSpot answers the time of the last one in a form of its own.
            read_instant(held.get(name, "")) != read_instant(value)
            for name, value in properties.items()
        ):
            world.report("the roll-up of a contact is not what the ledger says")
            world.say("roll-up", contact_id, held, properties)


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
    return (Side.HUBSPOT, contact_id) in world.facts.gone or contact_id in world.facts.survivor


def _check_contact(world: World, payment: Payment, contact_id: str) -> None:
    facts = world.facts
    ref = (Side.HUBSPOT, contact_id)
    if facts.person_of(ref) == facts.root(payment.person):
        return
    linked = any(
        b.link.stripe_id == payment.customer_id and _end(world, b.link.hubspot_id) == _end(world, contact_id)
        for b in facts.bases
    )
    if payment.customer_id and linked:
        return
    # A guest goes by address, a linked customer's too, and so does a customer who cannot be linked; what a contact
    # was when the payment came is now a part of the one it was merged into.
    paid_by = _addresses(world, (Side.STRIPE, payment.customer_id)) if payment.customer_id else set()
    if payment.email and not any(b.link.stripe_id == payment.customer_id for b in facts.bases):
        # The billing address decides for a guest, and for a customer who was never linked.
        paid_by = {*paid_by, payment.email}
    customers = {b.link.stripe_id for b in facts.bases if b.link.hubspot_id == contact_id}
    near = _addresses(world, ref).union(*(_addresses(world, (Side.STRIPE, i)) for i in customers))
    merged = [i for i in facts.survivor if _end(world, i) == _end(world, contact_id)]
    if paid_by & near.union(*(_carried_since(world, i, payment.at_ms) for i in merged)):
        return
    world.report("a payment is on the wrong contact")
    world.say("payment", payment, contact_id, facts.person_of(ref))


def _addresses(world: World, ref: Ref) -> set[str]:
    """Every address a record ever had."""
    return {w.new for w in world.facts.writes if w.cell == (*ref, "email") and w.new}


def _carried_since(world: World, contact_id: str, at_ms: int) -> set[str]:
    """The addresses a contact had at a time, or later, before it was merged."""
    writes = [w for w in world.facts.writes if w.cell == (Side.HUBSPOT, contact_id, "email")]
    into = (Side.HUBSPOT, world.facts.survivor[contact_id])
    if any(w.at_ms < at_ms for w in world.facts.writes if w.cell[:2] == into and w.who == "merge"):
        return set()
    standing = [w.new for w in writes if w.at_ms <= at_ms][-1:]
    return {*standing, *(w.new for w in writes if w.at_ms > at_ms)}


def _end(world: World, contact_id: str) -> str:
    while contact_id in world.facts.survivor:
        contact_id = world.facts.survivor[contact_id]
    return contact_id
