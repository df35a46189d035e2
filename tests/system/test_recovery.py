"""What becomes of the work of a process that is killed, stands still past its lease, or is asked to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.robustness.chaos.recovery import Recoveries, find_running
from tests.support.program import Program
from tests.support.stage import LATER_MS, Stage
from tests.support.store_reads import all_links
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.jobs import POISON_ALONE_RESCUES, POISON_DEAD_RESCUES, DeadClass, Job
from wanesync.core.model import Side
from wanesync.wiring import build_reconcile

PROMISED_S = 10.0
SLOW_MACHINE_S = 90.0
"""Longest wait where how long it takes is not looked at: 12 s on two free cores."""
PEOPLE = 12


def meet(stage: Stage, people: int = PEOPLE) -> list[str]:
    """People who stand on both sides and are linked: their contacts' ids."""
    ids = []
    for number in range(people):
        email = f"both{number}@example.com"
        ids.append(stage.edit(Side.HUBSPOT, "create", email=email, firstname="Ana", lastname="One", city="Lyon"))
        stage.edit(Side.STRIPE, "create", email=email, name="Ana One", address__city="Lyon")
    return ids


def owner_of(worker: Program) -> str:
    """The name a worker gave itself when it was up."""
    return worker.first_line().split()[2].rstrip(":")


def running(stage: Stage, owner: str) -> list[Job]:
    """The jobs leased to a process."""
    return find_running(stage.store, owner)


def alive(stage: Stage) -> set[str]:
    """The names of the processes with a fresh heartbeat."""
    with stage.store.reading() as tx:
        return {process.name for process in tx.processes.alive()}


def committed(stage: Stage) -> list[object]:
    """Everything a late process could have changed: the journal, the links, the jobs, both sides."""
    with stage.store.reading() as tx:
        links = [(link.id, link.version, link.base) for link in all_links(tx)]
        journal = [(row.id, row.kind) for row in tx.journal.latest(1000)]
        return [
            links,
            journal,
            tx.jobs.depth(),
            tx.pending_writes.count_open(),
            *(stage.sandbox.records(s) for s in Side),
        ]


def open_writes(stage: Stage) -> int:
    """How many calls were begun and not answered."""
    with stage.store.reading() as tx:
        return tx.pending_writes.count_open()


def end_lease(stage: Stage, owner: str) -> None:
    """Now rather than in six seconds."""
    stage.store.run(lambda tx: tx.processes.remove(owner))


def read_everything(stage: Stage, side: Side) -> None:
    """What a side's list of events names is read: later it would be news, and news revives what was given up."""
    reader = stage.start("worker", "--side", side)
    stage.until(lambda: "caught up" in reader.log.read_text(), "it has caught up")
    stage.until(lambda: not _has_work(stage, side), "everything is read")
    assert reader.stop() == 0


def _has_work(stage: Stage, side: Side) -> bool:
    with stage.store.reading() as tx:
        due_ms = tx.jobs.next_due_ms(side)
        running = any(row["running"] for row in tx.jobs.depth() if row["lane"] == side)
        return running or (due_ms is not None and due_ms < tx.now_ms + LATER_MS)


def stand_still(stage: Stage, failpoint: str, act: Callable[[], object] | None = None) -> tuple[Program, str]:
    """A worker that is stopped in the middle of a call, and its name. ``act``: the edits that make it call.

    One that happened to be in the middle of a transaction too is killed, and the next one begins where it was: it
    would hold the database's lock for as long as it stands, which is not what is looked at here.
    """
    for attempt in range(POISON_ALONE_RESCUES):
        late = stage.start("worker", failpoint=f"{failpoint}:1:stop")
        owner = owner_of(late)
        if attempt == 0:
            stage.until(partial(_is_settled, late), "it has caught up with both sides")
            # One person only: nothing else is being committed when it is stopped.
            side = Side.HUBSPOT if failpoint.startswith("customers") else Side.STRIPE
            (act or partial(stage.edit, side, "create", email="ana@example.com"))()
        stage.until(partial(_stands, late), "it stands still in the middle of a call")
        try:
            stage.store.run(lambda tx: tx.settings.put("free", "yes"))
        except DatabaseUnavailable:
            late.kill()
            end_lease(stage, owner)
            continue
        return late, owner
    raise AssertionError("it was in the middle of a transaction every time")


def _is_settled(worker: Program) -> bool:
    return worker.log.read_text().count("caught up") == len(Side)


def _stands(worker: Program) -> bool:
    return worker.stopped


def test_the_jobs_of_a_killed_worker_run_again_within_ten_seconds(database_url: str, tmp_path: Path) -> None:
    with Stage(database_url, tmp_path) as stage:
        contacts = meet(stage)
        stage.live()
        stage.sandbox._latency._bounds = (100, 200)
        doomed = stage.start("worker", failpoint="customers.update.before:2")
        owner, number = owner_of(doomed), 0
        recoveries, began_s = Recoveries(stage.store), time.monotonic()
        while doomed.exit_code is None:
            number += 1
            assert time.monotonic() - began_s < 60, "it never came by its failpoint"
            stage.edit(Side.HUBSPOT, "update", contacts[number % PEOPLE], city=f"Town {number}")
            time.sleep(0.02)
        assert doomed.exit_code == -signal.SIGKILL
        assert recoveries.begin("killed", owner) > 0, "it held jobs when it died"

        def all_run_again() -> bool:
            recoveries.look(possible=True)
            return not recoveries.left

        stage.until(all_run_again, "its jobs run again")
        assert max(recoveries.spans_s) <= PROMISED_S
        stage.rest()
        assert (stage.compare().actionable, running(stage, owner)) == (0, [])


@pytest.mark.parametrize(
    ("database", "failpoint"),
    [("sqlite_url", "customers.create.after"), ("postgres_url", "contacts.batch_create.after")],
)
def test_a_process_that_stood_still_past_its_lease_commits_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, failpoint: str
) -> None:
    with Stage(request.getfixturevalue(database), tmp_path) as stage:
        stage.reconcile()
        stage.serve()
        late, owner = stand_still(stage, failpoint)
        held = running(stage, owner)
        assert held
        stage.work()
        stage.until(lambda: owner not in alive(stage), "its lease is over")
        stage.rest()
        assert [len(stage.sandbox.records(side)) for side in Side] == [1, 1], "the next one settled what was open"
        with stage.store.reading() as tx:
            ended = [job for job in map(tx.jobs.get, [job.id for job in held]) if job]
            assert [(j.state, j.rescues) for j in ended] == [("done", job.rescues + 1) for job in held]
        before, others = committed(stage), alive(stage)
        late.signal(signal.SIGCONT)
        stage.until(lambda: alive(stage) - others, "it goes on under a new name")
        stage.rest()
        assert committed(stage) == before
        assert owner not in alive(stage)
        report = stage.compare()
        assert (report.actionable, report.to_link) == (0, 0)


def test_of_several_writes_that_a_stopped_process_held_each_is_made_once(database_url: str, tmp_path: Path) -> None:
    """Stopped right before a request, which leaves when it goes on: the next process has had its jobs by then."""
    people = 6
    towns: dict[str, str] = {}

    def edit_all() -> None:
        stage.rest()  # all are linked, which writes nothing to Stripe
        for number, contact_id in enumerate(contacts):
            towns[f"both{number}@example.com"] = f"Town {number}"
            stage.edit(Side.HUBSPOT, "update", contact_id, city=f"Town {number}")
        for number in range(people):
            stage.edit(Side.HUBSPOT, "create", email=f"new{number}@example.com", city="New")

    with Stage(database_url, tmp_path) as stage:
        contacts = meet(stage, people)
        stage.reconcile()
        stage.serve()
        late, owner = stand_still(stage, "customers.update.before", edit_all)
        assert len(running(stage, owner)) > 1
        stage.work()
        stage.until(lambda: owner not in alive(stage), "its lease is over")
        stage.rest(SLOW_MACHINE_S)
        others = alive(stage)
        late.signal(signal.SIGCONT)
        stage.until(lambda: alive(stage) - others, "it goes on under a new name")
        stage.rest()
        written = [changes for _, _, changes in stage.writes(Side.STRIPE, "customer.updated")]
        cities = [changes["address.city"] for changes in written if "address.city" in changes]
        assert sorted(cities) == sorted(towns.values())
        assert {email: stage.customer(email)["address.city"] for email in towns} == towns
        assert len(stage.writes(Side.STRIPE, "customer.created")) == people
        assert [len(stage.sandbox.records(side)) for side in Side] == [2 * people, 2 * people]
        report = stage.compare()
        assert (report.actionable, report.to_link, open_writes(stage)) == (0, 0, 0)


@pytest.mark.parametrize(("call_ms", "finishes"), [(1_500, True), (15_000, False)])
def test_asked_to_end_it_finishes_or_releases_within_ten_seconds(
    sqlite_url: str, tmp_path: Path, call_ms: int, finishes: bool
) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        stage.edit(Side.HUBSPOT, "create", email="contact@example.com", firstname="Ana", lastname="One")
        worker = stage.start("worker")
        owner = owner_of(worker)
        rounds = build_reconcile(stage.runtime)
        found = rounds.compare(lambda _side, _count: None, lambda _count: None)
        stage.sandbox._latency._bounds = (call_ms, call_ms)
        rounds.queue(found)
        stage.until(lambda: running(stage, owner) and open_writes(stage), "its call is under way")
        asked_s = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - asked_s <= PROMISED_S
        assert (running(stage, owner), alive(stage)) == ([], set())
        assert open_writes(stage) == (0 if finishes else 1)
        stage.sandbox._latency._bounds = (0, 0)
        stage.work()
        stage.rest()
        assert open_writes(stage) == 0
        assert [len(stage.sandbox.records(side)) for side in Side] == [1, 1]


def test_poison_runs_alone_is_dead_at_the_fifth_and_the_others_go_on(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        # The one contact to be made kills whoever makes it; everybody else needs an update on the same lane.
        poison = stage.edit(Side.STRIPE, "create", email="poison@example.com", name="Poi Son")
        meet(stage)
        for row in stage.sandbox.records(Side.STRIPE)[1:]:
            stage.edit(Side.STRIPE, "update", row["id"], phone="+12025550100")
        stage.reconcile()
        read_everything(stage, Side.STRIPE)
        held = []
        for _ in range(POISON_DEAD_RESCUES):
            doomed = stage.start("worker", failpoint="contacts.batch_create.before:1")
            owner = owner_of(doomed)
            assert doomed.wait() == -signal.SIGKILL
            held.append([job.key for job in running(stage, owner) if job.lane is Side.HUBSPOT])
            end_lease(stage, owner)
        assert held[POISON_ALONE_RESCUES:] == [[f"customer:{poison}"]] * (POISON_DEAD_RESCUES - POISON_ALONE_RESCUES)
        stage.work()
        stage.rest()
        with stage.store.reading() as tx:
            assert [(job.key, job.dead_class) for job in tx.dead_letters.latest()] == [
                (f"customer:{poison}", DeadClass.POISON)
            ]
        phones = [row.get("phone") for row in stage.sandbox.records(Side.HUBSPOT)]
        assert phones == ["+12025550100"] * PEOPLE
        assert stage.ask("retry", "--all", "--yes")
        stage.rest()
        assert stage.contact("poison@example.com")
