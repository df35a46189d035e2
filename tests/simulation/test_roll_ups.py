"""Purchases as properties of a contact: what a merge does to the totals."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.simulation.play import Play
from tests.simulation.test_regressions import stage
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.core.purchases import ROLL_UP_COUNT, ROLL_UP_TOTALS, Purchase, PurchaseState
from wanesync.purchases.recipients import Recipients
from wanesync.purchases.sender import PurchaseSender
from wanesync.sandbox.faults import Faults


def buy(play: Play, customer_id: str, amount: str) -> None:
    play.world.stripe.edit("purchase", customer_id, {"amount": amount, "currency": "usd"}, play.world.now)


def two_buyers(play: Play) -> tuple[list[str], dict[str, str]]:
    """Two contacts, and the customer of each."""
    world = play.world
    emails = ["p0@example.com", "p1@example.com"]
    contacts = [world.hubspot.edit("create", None, {"email": email}, world.now) for email in emails]
    play.play()
    customers = {row["email"]: row["id"] for row in world.stripe.records()}
    return contacts, {contact: customers[email] for contact, email in zip(contacts, emails, strict=True)}


def totals(play: Play, contact_id: str) -> tuple[str, str]:
    play.world.facts.drain()
    held = play.world.facts.raw[Side.HUBSPOT, contact_id]
    return held[ROLL_UP_COUNT], held[ROLL_UP_TOTALS]


@pytest.mark.parametrize("buyers", [(0,), (1,), (0, 1)], ids=["who stays", "who goes", "both"])
def test_a_merge_adds_up_what_its_contacts_bought(buyers: tuple[int, ...]) -> None:
    with stage("roll") as play:
        contacts, customer_of = two_buyers(play)
        for buyer in buyers:
            buy(play, customer_of[contacts[buyer]], "500")
        play.play()
        survivor = play.world.hubspot.edit("merge", None, {"into": contacts[0], "from": contacts[1]}, play.world.now)
        play.play()
        assert totals(play, survivor) == (str(len(buyers)), f"{5 * len(buyers)}.00 USD")


def test_a_purchase_that_is_on_its_way_when_its_contact_is_merged_does_not_leave_the_totals_of_a_part() -> None:
    with stage("roll") as play:
        world = play.world
        contacts, customer_of = two_buyers(play)
        buy(play, customer_of[contacts[0]], "500")
        play.play()
        buy(play, customer_of[contacts[1]], "700")
        world.hubspot.set_faults(Faults(error_503=1.0))
        for _ in range(10):
            play.step()
        survivor = world.hubspot.edit("merge", None, {"into": contacts[0], "from": contacts[1]}, world.now)
        world.hubspot.set_faults(Faults())
        play.play()
        assert totals(play, survivor) == ("2", "12.00 USD")


def test_totals_that_arrive_while_a_merge_is_told_are_sent_once_more() -> None:
    with stage("roll") as play:
        world = play.world
        contacts, customer_of = two_buyers(play)
        runtime = world.processes[0].worker.runtime
        with world.store.transaction() as tx:
            row = Purchase("pi_1", "ch_1", customer_of[contacts[0]], "", "", 500, "usd", tx.now_ms)
            tx.purchases.put(row)
            tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.PURCHASE, "pi_1", Priority.PURCHASE))
            tx.processes.beat(runtime.name, "hubspot,stripe", 0)
            jobs = tx.jobs.claim(Side.HUBSPOT, [JobKind.PURCHASE], 1, runtime.name)
            (call,) = PurchaseSender(runtime).prepare(tx, jobs)
        answer = call.send()
        with world.store.transaction() as tx:
            tx.purchases.move(contacts[0], contacts[1])
            call.then(tx, answer)
            kept = tx.purchases.get_many(["pi_1"]).get("pi_1")
            assert kept is not None
            assert (kept.contact_id, kept.state) == (contacts[1], PurchaseState.TODO)
        play.play()
        assert totals(play, contacts[1]) == ("1", "5.00 USD")


@pytest.mark.parametrize("circle", [False, True], ids=["a chain", "a circle"])
def test_a_purchase_follows_the_merges_of_its_contact_and_no_circle_keeps_it(*, circle: bool) -> None:
    with stage("roll") as play:
        world = play.world
        contacts, customer_of = two_buyers(play)
        runtime = world.processes[0].worker.runtime
        with world.store.transaction() as tx:
            into = dict(pairwise([*contacts, contacts[0] if circle else "9"]))
            seen = tx.records.get_many([(Side.HUBSPOT, i) for i in contacts])
            tx.records.put_many(replace(s, survivor=into[i]) for (_, i), s in seen.items())
            row = Purchase("pi_1", "ch_1", customer_of[contacts[0]], "", "", 500, "usd", tx.now_ms)
            recipients = Recipients(runtime, tx)
            recipients.load([row])
            assert recipients.find(row) in (contacts if circle else ["9"])
            tx.records.put_many(seen.values())
