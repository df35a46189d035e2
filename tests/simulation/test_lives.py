"""Contacts that come late, come back, or become one: over the stand-ins, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.play import Play, play_seed
from tests.simulation.test_regressions import pair_of, stage
from tests.support.store_reads import all_links
from wanesync.core.model import Link, LinkState, Side
from wanesync.sandbox.faults import Faults

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


def links_of(play: Play) -> list[Link]:
    with play.world.store.reading() as tx:
        return all_links(tx)


@pytest.mark.case(11)
def test_a_contact_that_the_first_reads_do_not_find_is_synced() -> None:
    with stage() as play:
        play.world.hubspot.set_faults(replace(Faults(), read_lag_ms=8_000))
        play.world.hubspot.edit("create", None, {"email": "p0@example.com", "company": "Co"}, play.world.now)
        play.play()
        (row,) = play.world.stripe.records()
        assert (row["email"], row["business_name"]) == ("p0@example.com", "Co")


@pytest.mark.case(11)
def test_a_contact_that_we_created_and_that_a_read_does_not_find_keeps_its_link() -> None:
    with stage() as play:
        play.world.hubspot.set_faults(replace(Faults(), read_lag_ms=8_000))
        customer_id = play.world.stripe.edit("create", None, {"email": "p0@example.com"}, play.world.now)
        play.play()
        play.world.stripe.edit("update", customer_id, {"business_name": "Co"}, play.world.now)
        play.play()
        (row,) = play.world.hubspot.records()
        assert row["company"] == "Co"
        assert [link.state for link in links_of(play)] == [LinkState.ACTIVE]


@pytest.mark.case(12)
def test_a_contact_that_was_deleted_and_restored_is_synced_as_before() -> None:
    with stage() as play:
        contact_id, customer_id = pair_of(play)
        (before,) = links_of(play)
        play.world.hubspot.edit("delete", contact_id, {}, play.world.now)
        play.play()
        assert [link.state for link in links_of(play)] == [LinkState.ORPHANED]
        play.world.hubspot.edit("restore", contact_id, {}, play.world.now)
        play.play()
        assert links_of(play) == [replace(before, version=links_of(play)[0].version)]
        play.world.hubspot.edit("update", contact_id, {"company": "New"}, play.world.now)
        play.play()
        (row,) = play.world.stripe.records()
        assert (row["id"], row["business_name"]) == (customer_id, "New")


@pytest.mark.parametrize("lost", [False, True])
def test_a_contact_that_is_deleted_and_entered_anew_at_once_gets_the_customer(*, lost: bool) -> None:
    with stage("delete") as play:
        world = play.world
        contact_id, _ = pair_of(play)
        target = world.hubspot.portal.webhooks.outbox.target
        world.hubspot.set_target(None if lost else target)
        world.hubspot.edit("delete", contact_id, {}, world.now)
        world.hubspot.set_target(target)
        anew = world.hubspot.edit("create", None, {"email": "p0@example.com", "company": "Co"}, world.now)
        play.play()
        if lost:
            world.leap(world.now + 120_000)
            assert world.list_all()
            play.play()
        assert [link.hubspot_id for link in links_of(play) if link.state is LinkState.ACTIVE] == [anew]


@pytest.mark.case(12)
def test_a_restoration_whose_webhook_is_lost_is_found_by_a_listing() -> None:
    with stage() as play:
        contact_id, _ = pair_of(play)
        play.world.hubspot.edit("delete", contact_id, {}, play.world.now)
        play.play()
        target = play.world.hubspot.portal.webhooks.outbox.target
        play.world.hubspot.set_target(None)
        play.world.hubspot.edit("restore", contact_id, {}, play.world.now)
        play.world.hubspot.set_target(target)
        play.world.leap(play.world.now + 120_000)
        assert play.world.list_all()
        play.play()
        assert [link.state for link in links_of(play)] == [LinkState.ACTIVE]


@pytest.mark.case(13)
@pytest.mark.parametrize("kept", ["a", "b"])
def test_of_two_paying_customers_that_of_the_kept_contact_stays_primary(kept: str) -> None:
    with stage("merge") as play:
        world = play.world
        ids = {}
        for name in ("a", "b"):
            values = {"email": f"{name}@example.com", "phone": f"+4930100{name == 'a':d}", "company": name}
            ids[name] = world.hubspot.edit("create", None, values, world.now)
            play.play()
        customers = {row["email"][0]: row["id"] for row in world.stripe.records()}
        for customer_id in customers.values():
            world.stripe.edit("purchase", customer_id, {"amount": "100", "currency": "usd"}, world.now)
        play.play()
        before = {row["id"]: row for row in world.stripe.records()}
        gone = "b" if kept == "a" else "a"
        world.hubspot.edit("merge", None, {"into": ids[kept], "from": ids[gone]}, world.now)
        play.play()
        after = {row["id"]: row for row in world.stripe.records()}
        assert after[customers[gone]] == before[customers[gone]]
        primary = [link.stripe_id for link in links_of(play) if link.primary and link.state is LinkState.ACTIVE]
        assert primary == [customers[kept]]


@pytest.mark.parametrize("merges", ["ab ca", "ab ac", "bc ab", "ab cd ac"])
def test_contacts_merged_one_after_the_other_before_any_read_keep_the_last_ones_customer(merges: str) -> None:
    with stage("merge") as play:
        world, ids = play.world, {}
        names = sorted(set(merges) - {" "})
        for name in names:
            ids[name] = world.hubspot.edit("create", None, {"email": f"{name}@example.com", "company": name}, world.now)
            play.play()
        before = {row["email"][0]: row for row in world.stripe.records()}
        for merge in merges.split():
            into, gone = list(merge)
            world.hubspot.edit("merge", None, {"into": ids[into], "from": ids[gone]}, world.now)
            world.facts.drain()
            ids[into] = world.hubspot.records()[-1]["id"]
        play.play()
        after = {row["email"][0]: row for row in world.stripe.records()}
        assert after == before
        primary = [link.stripe_id for link in links_of(play) if link.primary and link.state is LinkState.ACTIVE]
        assert primary == [before[merges.rsplit(maxsplit=1)[-1][0]]["id"]]


def test_merged_contacts_whose_survivor_is_deleted_before_any_read_are_orphaned() -> None:
    with stage("merge") as play:
        world, ids = play.world, []
        for name in "abc":
            ids.append(world.hubspot.edit("create", None, {"email": f"{name}@example.com", "company": name}, world.now))
            play.play()
        survivor, *others = ids
        for kept in reversed(others):
            world.hubspot.edit("merge", None, {"into": kept, "from": survivor}, world.now)
            world.facts.drain()
            survivor = world.hubspot.records()[-1]["id"]
        world.hubspot.edit("delete", survivor, {}, world.now)
        play.play()
        assert {link.state for link in links_of(play)} == {LinkState.ORPHANED}


@pytest.mark.case(46)
def test_after_a_restored_backup_no_second_customer_is_created() -> None:
    with stage() as play:
        world, emails = play.world, [f"p{number}@example.com" for number in range(5)]
        ids = [world.hubspot.edit("create", None, {"email": email, "company": "Co"}, world.now) for email in emails]
        play.play()
        forget_customers(play)
        for contact_id in ids:
            world.hubspot.edit("update", contact_id, {"company": "New"}, world.now)
        play.play()
        assert sorted(row["email"] for row in world.stripe.records()) == emails
        assert [link.state for link in links_of(play)] == [LinkState.ACTIVE] * len(ids)


def forget_customers(play: Play) -> None:
    """The database of a backup: taken when the contacts were known and nothing had been created for them."""
    forgotten = ("links", "pending_writes", "open_creates", "events", "jobs", "records", "emails", "conflicts")
    with play.world.store.transaction() as tx:
        for table in forgotten:
            tx.jobs._session.execute(f"DELETE FROM {table}")


def test_what_is_left_of_a_refused_creation_waits_in_a_restored_database() -> None:
    assert play_seed(271200054, also=frozenset({"lag"})).violations == []


@pytest.mark.case(49)
def test_a_person_deleted_on_both_sides_and_entered_anew_gets_a_customer() -> None:
    with stage() as play:
        world = play.world
        contact_id, customer_id = pair_of(play)
        world.stripe.edit("delete", customer_id, {}, world.now)
        play.play()
        world.hubspot.edit("delete", contact_id, {}, world.now)
        play.play()
        world.leap(world.now + 3_600_000)
        world.hubspot.edit("create", None, {"email": "p0@example.com"}, world.now)
        play.play()
        assert [row["email"] for row in world.stripe.records()] == ["p0@example.com"]


@pytest.mark.case(46)
def test_after_a_restored_backup_no_second_contact_is_created_for_one_whose_address_changed() -> None:
    with stage() as play:
        world = play.world
        customer_id = world.stripe.edit("create", None, {"email": "p0@example.com"}, world.now)
        play.play()
        (contact,) = world.hubspot.records()
        world.hubspot.edit("update", contact["id"], {"email": "p1@example.com"}, world.now)
        play.play()
        world.stripe.edit("update", customer_id, {"email": "p0@example.com"}, world.now)
        play.play()
        world.hubspot.set_target(None)
        world.hubspot.edit("update", contact["id"], {"email": "p2@example.com"}, world.now)
        forget_customers(play)
        world.stripe.edit("update", customer_id, {"business_name": "New"}, world.now)
        play.play()
        assert [row["id"] for row in world.hubspot.records()] == [contact["id"]]
        assert [link.state for link in links_of(play)] == [LinkState.ACTIVE]


@pytest.mark.parametrize("keeps_id", ["true", "false"])
@pytest.mark.parametrize("faults", [Faults(), Faults(lost_answer=1.0)], ids=["answered", "answer lost"])
@pytest.mark.parametrize("held", ["Kept", ""], ids=["a value", "a blank"])
def test_a_write_that_lands_on_the_survivor_of_a_merge_does_not_become_its_value(
    keeps_id: str, faults: Faults, held: str
) -> None:
    with stage("merge", "keepid") as play:
        world = play.world
        kept = world.hubspot.edit("create", None, {"email": "a@example.com", "company": held}, world.now)
        gone = world.hubspot.edit("create", None, {"email": "b@example.com", "company": "Gone"}, world.now)
        play.play()
        of_kept, of_gone = (
            next(row["id"] for row in world.stripe.records() if row["email"] == f"{name}@example.com") for name in "ab"
        )
        # The edit of the other customer is on its way to its contact when the two contacts are merged.
        world.stripe.edit("update", of_gone, {"business_name": "Edit"}, world.now)
        world.facts.drain()
        while not open_writes(play):
            assert play.step()
        world.hubspot.edit("merge", None, {"into": kept, "from": gone, "keeps_id": keeps_id}, world.now)
        world.facts.drain()
        world.hubspot.set_faults(faults)
        while not any(w.new == "Edit" and w.cell[0] is HUBSPOT for w in world.facts.writes) and play.step():
            world.facts.drain()
        world.hubspot.set_faults(Faults())
        play.play()
        rows = {row["id"]: row["business_name"] or "" for row in world.stripe.records()}
        survivor = world.facts.survivor[gone]
        there = world.facts.value((HUBSPOT, survivor), "company")
        assert rows[of_gone] == "Edit"
        assert (there, rows[of_kept]) in ({("Kept", "Kept")} if held else {("Gone", "Gone"), ("Edit", "Edit")})


def open_writes(play: Play) -> int:
    with play.world.store.reading() as tx:
        return tx.pending_writes.count_open()
