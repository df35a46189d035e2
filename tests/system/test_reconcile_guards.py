"""What ``diff`` and ``reconcile`` refuse, with which exit code, and that nothing is written then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.reconcile.lock import RUN_LOCK
from wanesync.sandbox.seed_data import SeedOptions
from wanesync.sandbox.server import Options
from wanesync.sandbox.stand_in import Request, Response

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
PEOPLE = 6


@pytest.fixture
def linked(sqlite_url: str, tmp_path: Path) -> Iterator[Stage]:
    """People who are linked and in sync; no worker runs, and no webhook comes."""
    options = Options(
        seed=SeedOptions(PEOPLE, PEOPLE, PEOPLE), tier="enterprise", hubspot_limit=1000, stripe_limit=1000
    )
    with Stage(sqlite_url, tmp_path, options) as stage:
        stage.sandbox.hubspot.portal.search_index.lag_ms = 0
        working = stage.work()
        stage.reconcile()
        stage.rest()
        working.stop()
        yield stage


@pytest.fixture
def empty(sqlite_url: str, tmp_path: Path) -> Iterator[Stage]:
    """Contacts, and a Stripe account in which there is nobody."""
    options = Options(seed=SeedOptions(250, 0), tier="enterprise", hubspot_limit=1000, stripe_limit=1000)
    with Stage(sqlite_url, tmp_path, options) as stage:
        stage.sandbox.hubspot.portal.search_index.lag_ms = 0
        yield stage


def written(stage: Stage) -> int:
    return sum(len(stage.writes(side)) for side in Side)


def waiting(stage: Stage) -> int:
    with stage.store.reading() as tx:
        return sum(int(str(row["ready"])) for row in tx.jobs.depth())


def refused(stage: Stage, code: int, *command: str) -> str:
    """What it says, having queued and written nothing."""
    before = (written(stage), waiting(stage))
    done = stage.run(*command)
    assert done.returncode == code, (done.returncode, done.stderr, done.stdout)
    assert (written(stage), waiting(stage)) == before
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def fail_page(stage: Stage, side: Side) -> None:
    """Every page of a listing but the first answers 503 for ever."""
    machine = stage.sandbox.machines[side]
    handle = machine.handle

    def spoilt(request: Request, now_ms: int) -> Response:
        if request.method == "GET" and "after" in dict(request.query):
            return Response(503, {}, b"")
        return handle(request, now_ms)

    machine.handle = spoilt  # type: ignore[method-assign] # the fault


@pytest.mark.parametrize("command", ["diff", "reconcile"])
@pytest.mark.parametrize("left", [0, 2])
def test_a_side_that_shows_less_than_half_is_not_believed(linked: Stage, command: str, left: int) -> None:
    for row in linked.sandbox.records(STRIPE)[left:]:
        linked.edit(STRIPE, "delete", row["id"])
    said = refused(linked, 3, command)
    assert f"stripe listed only {left} of the" in said
    again = refused(linked, 3, command)
    assert f"stripe listed only {left} of the" in again, "it was listed anew"


def test_a_page_that_fails_for_ever_ends_the_run(empty: Stage) -> None:
    fail_page(empty, HUBSPOT)
    said = refused(empty, 4, "reconcile")
    assert "the listing is incomplete and was not used" in said


def test_another_portal_is_refused(linked: Stage) -> None:
    linked.store.run(lambda tx: tx.settings.put("pin_portal", "1"))
    said = refused(linked, 2, "diff")
    assert "belongs to HubSpot portal" in said


def test_a_first_run_is_confirmed_by_the_number_of_creations_and_nothing_else(empty: Stage) -> None:
    report = empty.ask("diff", code=1)
    plan = report["plan"]
    assert isinstance(plan, dict)
    creations = plan["created"]
    said = refused(empty, 3, "reconcile", "--max-creates", str(creations - 1))
    assert f"{creations} people would be created" in said
    working = empty.work()
    done = empty.run("reconcile", "--max-creates", str(creations), "--wait")
    assert done.returncode == 0, done.stderr + done.stdout
    empty.rest()
    working.stop()
    assert len(empty.writes(STRIPE, "customer.created")) == creations == len(empty.sandbox.records(STRIPE))


def test_a_canary_writes_exactly_so_many_people(empty: Stage) -> None:
    working = empty.work()
    assert empty.run("reconcile", "--limit", "3", "--wait").returncode == 0
    empty.rest()
    working.stop()
    assert len(empty.sandbox.records(STRIPE)) == 3


def test_only_one_class_is_written(linked: Stage) -> None:
    contact = linked.sandbox.records(HUBSPOT)[0]["id"]
    customer = linked.sandbox.records(STRIPE)[-1]["id"]
    linked.edit(HUBSPOT, "update", contact, city="Oslo")
    linked.edit(STRIPE, "update", customer, phone="+12025550199")
    linked.edit(HUBSPOT, "create", email="new@example.com")
    said = linked.ask("reconcile", "--only", "update_customer", code=1)
    assert (said["jobs"], said["counts"]["update_customer"], said["counts"]["update_contact"]) == (1, 1, 1)  # type: ignore[index] # a mapping


def test_only_a_class_on_first_contact_where_pairs_are_to_be_linked(sqlite_url: str, tmp_path: Path) -> None:
    options = Options(seed=SeedOptions(4, 3, 3), tier="enterprise", hubspot_limit=1000, stripe_limit=1000)
    with Stage(sqlite_url, tmp_path, options) as stage:
        said = stage.ask("reconcile", "--only", "create_customer", code=1)
        assert said["jobs"] == said["counts"]["create_customer"]  # type: ignore[index] # a mapping


def test_a_mark_that_does_not_exist_is_refused_before_anything_is_queued(empty: Stage) -> None:
    said = refused(empty, 2, "reconcile", "--quiet-property", "no_such_property=yes")
    assert "no_such_property" in said


def test_requests_used_up_the_next_run_goes_on(empty: Stage) -> None:
    assert "the next run goes on" in refused(empty, 3, "diff", "--max-requests", "2").lower()
    done = empty.run("diff", "--max-requests", "3", "--json")
    assert done.returncode == 1, done.stderr


def test_a_second_run_at_the_same_time_is_refused(empty: Stage) -> None:
    empty.store.run(lambda tx: tx.settings.put(RUN_LOCK, f"another {tx.now_ms + 60_000}"))
    assert "another diff or reconcile is running" in refused(empty, 3, "reconcile")


def test_edited_created_and_deleted_while_it_lists_nothing_is_lost_or_doubled(linked: Stage) -> None:
    contacts = [row["id"] for row in linked.sandbox.records(HUBSPOT)]
    customers = [row["id"] for row in linked.sandbox.records(STRIPE)]
    linked.edit(HUBSPOT, "update", contacts[0], city="Before")
    machine = linked.sandbox.machines[STRIPE]
    handle = machine.handle
    asked: list[Request] = []

    def meddle(request: Request, now_ms: int) -> Response:
        answer = handle(request, now_ms)
        if request.path == "/v1/customers" and not asked:
            asked.append(request)
            linked.edit(HUBSPOT, "update", contacts[0], city="After")
            linked.edit(STRIPE, "update", customers[1], phone="+12025550147")
            linked.edit(HUBSPOT, "create", email="young@example.com", firstname="Yo")
            linked.edit(STRIPE, "create", email="newcomer@example.com", name="New Comer")
            linked.edit(STRIPE, "delete", customers[2])
        return answer

    machine.handle = meddle  # type: ignore[method-assign] # the hook between two pages
    working = linked.work()
    done = linked.run("reconcile", "--wait")
    assert done.returncode == 0, done.stderr + done.stdout
    linked.rest()
    assert asked
    assert linked.run("reconcile", "--wait").returncode == 0
    linked.rest()
    working.stop()
    assert "After" in {row.get("address.city") for row in linked.sandbox.records(STRIPE)}
    assert "+12025550147" in {row.get("phone") for row in linked.sandbox.records(HUBSPOT)}
    assert linked.customer("young@example.com")
    assert linked.contact("newcomer@example.com")
    assert len(linked.sandbox.records(HUBSPOT)) == PEOPLE + 2
    assert len(linked.sandbox.records(STRIPE)) == PEOPLE + 1, "who was deleted is not made again"
    assert linked.ask("diff")["counts"]["orphaned"] == 1  # type: ignore[index] # a mapping
