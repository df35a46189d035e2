"""A small campaign, as ``make chaos`` runs it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.robustness.chaos import books
from tests.robustness.chaos.campaign import Campaign, Wish, plant
from tests.robustness.chaos.post import Toll
from tests.robustness.chaos.posts import Hunted
from tests.robustness.chaos.recovery import Recoveries
from tests.support.stage import Stage
from wanesync.core.model import Side


def test_a_few_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    result = Campaign(Wish(kills=4, seed=3, check_every=4), tmp_path, lambda _: None).run()
    assert result.violations == []
    assert result.kills >= 4
    assert result.checks == 1
    assert result.happened["edits"] > 0
    assert asdict(result)["by_kind"], "it says who was killed how"


@pytest.fixture
def stage(sqlite_url: str, tmp_path: Path) -> Iterator[Stage]:
    """People on both sides, in order, and no process that could mend what a test breaks."""
    with Stage(sqlite_url, tmp_path) as stage:
        plant(stage)
        yield stage


def found(stage: Stage) -> list[str]:
    """The faults, without those that only say that nobody has linked the people yet."""
    return [fault for fault in books.find_faults(stage) if not fault.startswith("diff")]


def test_the_books_find_nothing_wrong_with_what_is_right(stage: Stage) -> None:
    assert found(stage) == []


def test_the_books_find_who_is_lost(stage: Stage) -> None:
    stage.edit(Side.HUBSPOT, "create", email="alone@example.com")
    assert any(fault.startswith("lost: 1 on hubspot only") for fault in found(stage))


def test_the_books_find_who_is_there_twice(stage: Stage) -> None:
    stage.edit(Side.STRIPE, "create", email="Both1@example.com", name="Tom One", address__city="Lyon")
    stage.edit(Side.STRIPE, "create", email="both1@example.com", name="Tom One", address__city="Lyon")
    assert any(fault.startswith("doubled: ") for fault in found(stage))


def test_the_books_find_an_edit_that_did_not_arrive(stage: Stage) -> None:
    contact = stage.contact("both2@example.com")["id"]
    stage.edit(Side.HUBSPOT, "update", contact, city="Nice")
    faults = found(stage)
    assert any(fault.startswith("not equal: city") for fault in faults)


@pytest.mark.parametrize("name", [{}, {"name": "Nordwind"}], ids=["by Stripe", "by a user"])
def test_the_books_know_a_name_that_was_the_company_of_then(stage: Stage, name: dict[str, str]) -> None:
    email = "firm@example.com"
    customer = stage.edit(Side.STRIPE, "create", email=email, business_name="Nordwind", **name)
    stage.edit(Side.HUBSPOT, "create", email=email, company="Suedwind")
    stage.edit(Side.STRIPE, "update", customer, business_name="Suedwind")
    assert stage.customer(email)["name"] == "Nordwind"
    assert found(stage) == []
    stage.edit(Side.STRIPE, "update", customer, name="Ada Byron")
    assert any(fault.startswith("not equal: name") for fault in found(stage))


def test_the_books_find_an_edit_that_was_undone(stage: Stage) -> None:
    contact = stage.contact("both2@example.com")["id"]
    stage.edit(Side.HUBSPOT, "update", contact, city="Nice")
    with stage.sandbox.lock:
        machine = stage.sandbox.hubspot
        # Nothing of ours undoes an edit: the stand-in is made to.
        machine.portal.contacts.live[int(contact)].properties["city"] = "Lyon"  # type: ignore[index] # the sandbox's rows are plain JSON
    assert any("nobody contested" in fault for fault in found(stage))


def test_the_books_find_a_purchase_that_did_not_arrive(stage: Stage) -> None:
    customer = stage.customer("both3@example.com")["id"]
    stage.edit(Side.STRIPE, "purchase", customer, amount="1999", currency="usd")
    assert any(fault.startswith("purchase: ") for fault in found(stage))


def test_a_worker_with_a_failpoint_in_its_way_comes_again_after_each_rest(stage: Stage) -> None:
    hunted = Hunted(stage, random.Random(1), Toll(Recoveries(stage.store)), calm=True)

    def rests() -> bool:
        hunted.tick()
        return hunted.rests

    stage.until(rests, "a worker that is left alone")
    assert hunted.failpoint == ""
    hunted.calm = False
    for _ in range(2):
        hunted.tick()
    assert hunted.failpoint
    assert hunted.program is not None
    hunted.program.kill()
