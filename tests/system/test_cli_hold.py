"""``hold``, ``pause`` and ``resume`` on a running program: an import is stopped, listed, and released or discarded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.store.tables.holds import HoldRow

PEOPLE, LIMIT = 6, 2
COMPANY = "Northwind Traders"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(f"sqlite:{tmp_path / 'state.db'}", tmp_path, more=f"[brake]\npeople = {LIMIT}") as made:
        for number in range(PEOPLE):
            email = f"p{number}@example.com"
            # With a name of its own on both sides: a customer without one is called like its company by Stripe.
            made.edit(Side.HUBSPOT, "create", email=email, company="Old", firstname="Ann", lastname="Lee")
            made.edit(Side.STRIPE, "create", email=email, business_name="Old", name="Ann Lee")
        made.live()
        yield made


def companies(stage: Stage) -> list[str]:
    return sorted(row.get("business_name", "") for row in stage.sandbox.records(Side.STRIPE))


def import_all(stage: Stage, company: str) -> None:
    for row in stage.sandbox.records(Side.HUBSPOT):
        stage.edit(Side.HUBSPOT, "import", row["id"], company=company)
    stage.rest()


def holds(stage: Stage) -> list[HoldRow]:
    with stage.store.reading() as tx:
        return tx.holds.all()


def test_an_import_is_stopped_and_released_or_discarded(stage: Stage) -> None:
    import_all(stage, COMPANY)
    assert companies(stage) == [COMPANY] * LIMIT + ["Old"] * (PEOPLE - LIMIT)
    found = stage.ask("hold", "list")["holds"]
    assert isinstance(found, list)
    (hold,) = found
    assert COMPANY not in str(hold)
    assert (hold["source"], hold["people"], hold["fields"]) == ("hubspot:IMPORT/importId:7", PEOPLE - LIMIT, 4)
    assert str(hold["first"]).count("N***") == PEOPLE - LIMIT
    checked = stage.run("status", "--check")
    assert checked.returncode == 1
    assert "4 people are held" in checked.stdout
    assert COMPANY in stage.run("hold", "list", "--show-values").stdout
    # A diff shows them as conflicts, which a reconcile does not repair.
    diff = stage.ask("diff")
    assert isinstance(diff["counts"], dict)
    assert {name: n for name, n in diff["counts"].items() if n} == {"conflict": PEOPLE - LIMIT, "in_sync": LIMIT}

    asked = stage.run("hold", "release", str(hold["id"]))
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
    assert stage.ask("hold", "release", str(hold["id"]), "--yes")["released"] == {"holds": 1, "people": 4, "fields": 4}
    stage.rest()
    assert companies(stage) == [COMPANY] * PEOPLE
    assert holds(stage) == []

    import_all(stage, "Second")
    before = companies(stage)
    assert stage.ask("hold", "discard", "all", "--yes")["discarded"] == {"holds": 1, "people": 4, "fields": 4}
    stage.rest()
    assert companies(stage) == before
    assert holds(stage) == []


def test_a_paused_side_and_a_paused_field_wait_for_resume(stage: Stage) -> None:
    contact_id = stage.contact("p0@example.com")["id"]
    assert stage.ask("pause", "stripe") == {"version": 1, "paused": ["stripe"]}
    assert "stripe is paused by an operator" in stage.run("status", "--check").stdout
    stage.edit(Side.HUBSPOT, "update", contact_id, company="New")

    def waits() -> bool:
        with stage.store.reading() as tx:
            return any(row["lane"] == "stripe" and row["due"] for row in tx.jobs.depth())

    stage.until(waits, "the write is queued")
    for command in (("reconcile", "--dry-run"), ("diff",), ("catch-up",)):
        stopped = stage.run(*command)
        assert (stopped.returncode, "stripe is paused by an operator: wanesync resume stripe" in stopped.stderr) == (
            3,
            True,
        )
    assert stage.customer("p0@example.com")["business_name"] == "Old"
    assert stage.ask("resume") == {"version": 1, "resumed": ["stripe"]}
    stage.until(lambda: stage.customer("p0@example.com")["business_name"] == "New", "the write went on")

    assert stage.ask("pause", "--field", "company") == {"version": 1, "field": "company"}
    stage.edit(Side.HUBSPOT, "update", contact_id, company="Newer", city="Ulm")
    stage.until(lambda: stage.customer("p0@example.com").get("address.city") == "Ulm", "other fields flow")
    stage.rest()
    assert stage.customer("p0@example.com")["business_name"] == "New"
    assert stage.ask("resume", "--field", "company") == {"version": 1, "field": "company", "people": 1}
    stage.until(lambda: stage.customer("p0@example.com")["business_name"] == "Newer", "the field is resumed")
    assert stage.run("pause", "stripe", "--field", "company").returncode == 2
