"""Reads after a lost answer: each answer, each error, and jobs that another process took meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, customer_answer, page, refused
from wanesync.core.errors import Failure
from wanesync.core.jobs import DeadClass, JobState
from wanesync.core.model import Change, LinkState, PendingWrite, Side, WriteKind
from wanesync.core.normalize import NAME_PARTS
from wanesync.core.ports import Authors, SetAside
from wanesync.sync.calls import DONE, AnyCall, Intent, PlanJobs, PlanningRound
from wanesync.sync.writes.recovery import (
    FORGOTTEN_MS,
    _is_author,
    find_created_customer,
    queue_forgotten,
    read_authors,
    read_existing_contact,
    reread_targets,
)

ANN = contact("1", other_id="cus_1", email="ann@example.com", city="Lyon")
CUS = customer("cus_1", other_id="1", email="ann@example.com", city="Lyon")
KEY = "contact:1"


def lose_update(live: LiveSync, side: Side) -> None:
    """An update of a side whose answer does not arrive."""
    live.link(ANN, CUS)
    paris = {"email": "ann@example.com", "city": "Paris"}
    live.know(replace(CUS, values=paris) if side is HUBSPOT else replace(ANN, values=paris, modified_ms=5))
    live.queue(side, KEY)
    port, method = (live.hubspot, "update_contacts") if side is HUBSPOT else (live.stripe, "update_customer")
    port.answer(method, refused(side, Failure.NO_ANSWER))
    live.work(side)
    live.advance(60_000)


def test_nothing_lost_is_nothing_to_read(live: LiveSync) -> None:
    assert live.store.run(lambda tx: reread_targets(live.runtime, tx, HUBSPOT, [], {})) == []


@pytest.mark.parametrize(("side", "method"), [(HUBSPOT, "read_contacts"), (STRIPE, "read_customer")])
def test_a_target_that_cannot_be_read_leaves_the_write_open(live: LiveSync, side: Side, method: str) -> None:
    lose_update(live, side)
    (live.hubspot if side is HUBSPOT else live.stripe).answer(method, refused(side, Failure.NO_ANSWER))
    (job,) = live.work(side)
    assert (job.state, job.attempts, len(live.open_writes(KEY))) == (JobState.READY, 2, 1)


def test_a_customer_that_is_gone_orphans_its_link(live: LiveSync) -> None:
    lose_update(live, STRIPE)
    live.stripe.answer("read_customer", replace(customer_answer(None), deleted=True))
    live.work(STRIPE)
    assert (live.links("1")[0].state, live.open_writes(KEY)) == (LinkState.ORPHANED, [])


def test_an_update_that_arrived_is_committed_as_seen(live: LiveSync) -> None:
    lose_update(live, HUBSPOT)
    arrived = replace(ANN, values={"email": "ann@example.com", "city": "Paris"}, modified_ms=9)
    live.hubspot.answer("read_contacts", {"1": arrived})
    (job,) = live.work(HUBSPOT)
    assert (job.state, live.open_writes(KEY)) == (JobState.DONE, [])
    assert live.links("1")[0].base["city"] == ("Paris", "Paris")


Make = Callable[[LiveSync, Intent], AnyCall]
CALLS: dict[str, tuple[Make, object]] = {
    "existing contact": (lambda live, intent: read_existing_contact(live.runtime, intent, "7"), {"7": ANN}),
    "created customer": (
        lambda live, intent: find_created_customer(live.runtime, intent.job, intent.pending),
        customer_answer(None),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_job_that_another_process_took_is_left_alone(live: LiveSync, name: str) -> None:
    live.know(replace(ANN, other_id=""))
    live.queue(STRIPE, KEY)
    (job,) = live.claim(STRIPE)
    live.prepare([job])
    (pending,) = live.open_writes(KEY)
    make, answer = CALLS[name]
    call = make(live, Intent(job, pending))
    live.clock.advance(60_000)
    assert live.store.run(lambda tx: call.then(tx, answer)) == DONE
    assert live.open_writes(KEY) == [pending]


def test_a_listing_that_cannot_be_read_leaves_the_create_open(live: LiveSync) -> None:
    live.know(replace(ANN, other_id=""))
    live.queue(STRIPE, KEY)
    live.stripe.answer("create_customer", refused(STRIPE, Failure.SERVER))
    live.stripe.answer("list_customers", refused(STRIPE, Failure.NO_ANSWER))
    (job,) = live.work(STRIPE)
    assert (job.attempts, len(live.open_writes(KEY))) == (1, 1)


def test_the_listing_is_searched_page_by_page(live: LiveSync) -> None:
    live.know(replace(ANN, other_id=""))
    live.queue(STRIPE, KEY)
    live.stripe.answer("create_customer", refused(STRIPE, Failure.SERVER))
    live.stripe.answer("list_customers", page(replace(CUS, id="cus_0", other_id="9"), after="more"), page(CUS))
    (job,) = live.work(STRIPE)
    assert job.reason == "its customer was found"
    assert [arguments[0] for method, arguments in live.stripe.requests if method == "list_customers"] == ["", "more"]


def test_a_customer_of_the_listing_that_cannot_be_used_is_read_by_itself_before_the_search_found_nothing(
    live: LiveSync,
) -> None:
    live.know(replace(ANN, other_id=""))
    live.queue(STRIPE, KEY)
    live.stripe.answer("create_customer", refused(STRIPE, Failure.SERVER))
    damaged = [SetAside("cus_1", "without metadata")]
    live.stripe.answer("list_customers", replace(page(), set_aside=damaged))
    live.stripe.answer("read_customer", customer_answer(CUS))
    (job,) = live.work(STRIPE)
    assert job.reason == "its customer was found"


@pytest.mark.parametrize("customer_id", ["cus_1", ""])
def test_while_a_customer_of_the_listing_cannot_be_read_the_create_stays_open(live: LiveSync, customer_id: str) -> None:
    live.know(replace(ANN, other_id=""))
    live.queue(STRIPE, KEY)
    live.stripe.answer("create_customer", refused(STRIPE, Failure.SERVER))
    live.stripe.answer("list_customers", replace(page(), set_aside=[SetAside(customer_id, "without metadata")]))
    live.stripe.answer("read_customer", refused(STRIPE, Failure.UNUSABLE))
    live.work(STRIPE)
    assert len(live.open_writes(KEY)) == 1


@pytest.mark.parametrize("ours", [True, False])
def test_authors_are_stored_with_the_write_and_the_job_is_planned_again(live: LiveSync, *, ours: bool) -> None:
    lose_update(live, HUBSPOT)
    (job,) = live.claim(HUBSPOT)
    planning = PlanningRound({job.id: KEY})
    call = read_authors(live.runtime, job, frozenset({(HUBSPOT, "1", "city")}), planning)
    steps = live.store.run(lambda tx: call.then(tx, Authors(0, {"city": ours})))
    assert steps == [PlanJobs([job], planning)]
    spot = (HUBSPOT, "1", "city")
    assert (spot in planning.origins.ours, spot in planning.origins.theirs) == (ours, not ours)
    (pending,) = live.open_writes(KEY)
    assert pending.authorship["city"] == (0, ours)


def test_of_a_name_only_the_part_that_was_written_counts() -> None:
    change = Change(f"Ann{NAME_PARTS}Li", f"Ann{NAME_PARTS}Lee", "")
    pending = PendingWrite("w", HUBSPOT, WriteKind.UPDATE, KEY, "cus_1", "1", "w", "{}", {"name": change})
    parts = ("firstname", "lastname")
    assert _is_author(pending, "name", parts, Authors(0, {"lastname": True}))
    assert not _is_author(pending, "name", parts, Authors(0, {"firstname": True}))


@pytest.mark.parametrize(
    ("side", "method", "answer"),
    [(HUBSPOT, "read_contacts", {"1": ANN}), (STRIPE, "read_customer", customer_answer(CUS))],
)
def test_a_target_read_for_a_job_that_another_process_took_sends_nothing(
    live: LiveSync, side: Side, method: str, answer: object
) -> None:
    lose_update(live, side)
    calls = live.prepare(live.claim(side))
    live.clock.advance(60_000)
    (live.hubspot if side is HUBSPOT else live.stripe).answer(method, answer)
    live.carry_out(calls)
    assert len(live.open_writes(KEY)) == 1


def test_history_says_nothing_about_a_write_of_other_fields(live: LiveSync) -> None:
    lose_update(live, HUBSPOT)
    (job,) = live.claim(HUBSPOT)
    planning = PlanningRound({job.id: KEY})
    call = read_authors(live.runtime, job, frozenset({(HUBSPOT, "1", "phone")}), planning)
    live.store.run(lambda tx: call.then(tx, Authors(0, {"phone": True})))
    assert live.open_writes(KEY)[0].authorship == {}
    assert planning.origins.theirs == {(HUBSPOT, "1", "phone")}


def test_a_write_that_no_job_settles_gets_one_once_it_is_forgotten(live: LiveSync) -> None:
    lose_update(live, HUBSPOT)
    live.advance(FORGOTTEN_MS)
    assert live.store.run(queue_forgotten) == 0, "its job waits"
    (job,) = live.claim(HUBSPOT)
    assert live.store.run(queue_forgotten) == 0, "its job runs"
    live.store.run(lambda tx: tx.jobs.mark_dead(job, DeadClass.EXHAUSTED, "no answer"))
    assert live.store.run(queue_forgotten) == 0, "a person decides about it"
    live.store.run(lambda tx: tx.dead_letters.retry([job.id]))
    (job,) = live.claim(HUBSPOT)
    live.store.run(lambda tx: tx.jobs.finish(job))
    assert live.store.run(queue_forgotten) == 1
    assert live.is_queued(HUBSPOT, KEY)
    live.hubspot.answer("read_contacts", {"1": replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=9)})
    live.work(HUBSPOT)
    assert live.open_writes(KEY) == []


def test_a_young_write_without_a_job_is_left(live: LiveSync) -> None:
    lose_update(live, HUBSPOT)
    (job,) = live.claim(HUBSPOT)
    live.store.run(lambda tx: tx.jobs.finish(job))
    assert live.store.run(queue_forgotten) == 0
