"""A privacy deletion in HubSpot, played through the whole program beside the stand-ins."""

from __future__ import annotations

from pathlib import Path

from tests.support.stage import Stage
from tests.support.store_reads import read_everything
from wanesync.core.model import Side
from wanesync.ops.status import read_status

PLANTED = "plantagenet"


def find_planted(stage: Stage) -> dict[str, list[str]]:
    with stage.store.reading() as tx:
        found = read_everything(tx)
    planted = {table: [text for text in texts if PLANTED in text.lower()] for table, texts in found.items()}
    return {table: texts for table, texts in planted.items() if texts}


def test_nothing_of_an_erased_person_is_left_whatever_runs_afterwards(database_url: str, tmp_path: Path) -> None:
    with Stage(database_url, tmp_path) as stage:
        stage.serve(stage.start("up"))
        email = f"{PLANTED}@example.com"
        contact = stage.edit(Side.HUBSPOT, "create", email=email, firstname=PLANTED, city=PLANTED)
        stage.edit(Side.HUBSPOT, "create", email="bob@example.com", firstname="Bob")
        stage.until(lambda: stage.customer(email) and stage.customer("bob@example.com"), "both are synced")
        customer = stage.customer(email)["id"]
        stage.edit(Side.STRIPE, "update", customer, address__city=f"{PLANTED} south", phone="+49 30 1234567")
        stage.until(lambda: stage.contact(email).get("city") == f"{PLANTED} south", "the edit is synced")
        stage.rest()
        assert find_planted(stage).keys() >= {"records", "links", "events", "journal", "pending_writes"}

        stage.edit(Side.HUBSPOT, "erase", contact)
        stage.until(lambda: read_status(stage.store).still_held == [customer], "the customer is named")
        stage.rest()
        assert find_planted(stage) == {}

        # Stripe still shows the customer, and an edit of it arrives.
        assert stage.run("reconcile", "--wait").returncode in (0, 1)
        assert find_planted(stage).keys() <= {"events"}
        assert customer in stage.run("status").stdout
        assert stage.contact(email) == {}, "no contact is created anew"

        stage.edit(Side.STRIPE, "delete", customer)
        stage.until(lambda: read_status(stage.store).still_held == [], "nothing is held any more")
        assert find_planted(stage).keys() <= {"events"}
