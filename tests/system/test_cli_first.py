"""First contact of two accounts: webhooks before the first listing, differing pairs, a lost database."""

from __future__ import annotations

from pathlib import Path

from tests.support.stage import Stage
from tests.support.store_reads import all_links
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.model import Side
from wanesync.wiring import build_runtime, open_database


def test_webhooks_before_the_first_listing_create_no_record_and_then_none_twice(
    database_url: str, tmp_path: Path
) -> None:
    with Stage(database_url, tmp_path) as stage:
        old = stage.edit(Side.STRIPE, "create", email="Old@example.com", name="Old Hand")
        stage.serve()
        stage.work()
        stage.edit(Side.HUBSPOT, "create", email="old@example.com", firstname="Old", lastname="Hand")
        stage.edit(Side.HUBSPOT, "create", email="new@example.com", firstname="New")
        stage.edit(Side.STRIPE, "create", email="late@example.com", name="Late Comer")
        stage.until(lambda: _known(stage) >= 3, "the webhooks are worked off")
        assert stage.writes(Side.STRIPE, "customer.created") == []
        assert stage.writes(Side.HUBSPOT, "contact.created") == []
        alarms = stage.ask("status", "--check", code=1)["alarms"]
        assert isinstance(alarms, list)
        assert any("first listing missing" in alarm for alarm in alarms)

        done = stage.ask("reconcile", "--wait")
        assert (done["left"], done["dead"], done["trouble"]) == (0, 0, [])
        stage.rest()
        assert stage.customer("old@example.com")["id"] == old
        assert stage.customer("new@example.com")["name"] == "New"
        assert stage.contact("late@example.com")["lastname"] == "Comer"
        assert (len(stage.sandbox.records(Side.STRIPE)), len(stage.sandbox.records(Side.HUBSPOT))) == (3, 3)
        assert stage.compare().actionable == 0
        assert stage.ask("diff")["differences"] == []


def _known(stage: Stage) -> int:
    with stage.store.reading() as tx:
        return sum(tx.records.count(side) for side in Side)


def test_a_pair_that_differs_stays_as_it_is_and_later_edits_flow(database_url: str, tmp_path: Path) -> None:
    with Stage(database_url, tmp_path) as stage:
        contact_id = stage.edit(Side.HUBSPOT, "create", email="kim@example.com", city="Lyon", company="Kim & Co")
        customer_id = stage.edit(Side.STRIPE, "create", email="KIM@example.com", address__city="Oslo")
        stage.live()
        assert (stage.row(Side.HUBSPOT, contact_id)["city"], stage.row(Side.STRIPE, customer_id)["address.city"]) == (
            "Lyon",
            "Oslo",
        )
        assert stage.row(Side.STRIPE, customer_id)["business_name"] == "Kim & Co", "blanks are filled"
        report = stage.compare()
        assert (report.actionable, report.counts[DifferenceClass.CONFLICT]) == (0, 1)

        stage.edit(Side.HUBSPOT, "update", contact_id, city="Paris")
        stage.until(lambda: stage.row(Side.STRIPE, customer_id)["address.city"] == "Paris", "a later edit flows")
        stage.edit(Side.STRIPE, "update", customer_id, address__city="Rome")
        stage.until(lambda: stage.row(Side.HUBSPOT, contact_id)["city"] == "Rome", "and back")
        stage.rest()
        assert stage.compare().counts[DifferenceClass.CONFLICT] == 0


def test_a_lost_database_is_rebuilt_with_the_same_links(tmp_path: Path) -> None:
    with Stage(f"sqlite:{tmp_path / 'first.db'}", tmp_path) as stage:
        for number in range(6):
            stage.edit(Side.HUBSPOT, "create", email=f"c{number}@example.com", firstname=f"C{number}")
            stage.edit(Side.STRIPE, "create", email=f"s{number}@example.com", name=f"Person{chr(97 + number)} Name")
        stage.live()
        links = _links(stage)
        assert len(links) == 12
        written = {side: len(stage.writes(side)) for side in Side}

        fresh = stage.config.model_copy(update={"database": f"sqlite:{tmp_path / 'second.db'}"})
        stage.store.close()
        stage.store = open_database(fresh, migrate=True)
        stage.runtime = build_runtime(fresh, stage.store, tuple(Side))
        stage.file.write_text(stage.file.read_text().replace("first.db", "second.db"))
        report = stage.reconcile()
        assert report.to_link == 12
        stage.work()
        stage.rest()
        assert _links(stage) == links
        assert {side: len(stage.writes(side)) for side in Side} == written, "not one write was needed"


def _links(stage: Stage) -> set[tuple[str, str]]:
    with stage.store.reading() as tx:
        return {(link.hubspot_id, link.stripe_id) for link in all_links(tx)}
