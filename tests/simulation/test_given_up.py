"""Calls that a process gives up go back to the table: their jobs never stay running without a process."""

from __future__ import annotations

from typing import NoReturn
from unittest.mock import patch

from tests.simulation.parts import Flight
from tests.simulation.play import Play
from tests.simulation.steps import fill
from tests.simulation.test_regressions import stage
from wanesync.core.model import Side
from wanesync.store.tables.processes import LEASE_MS
from wanesync.worker import committer


def _fail(*_: object) -> NoReturn:
    raise RuntimeError("a defect of ours")


def send_off(play: Play) -> Flight:
    """A contact is created; the first call for it is on its way, and its answer is ours to bring."""
    world = play.world
    world.hubspot.edit("create", None, {"email": "p0@example.com", "company": "Co"}, world.now)
    while not world.flights:
        play.step()
        fill(world, world.processes[0], Side.HUBSPOT)
    (flight,), world.flights = world.flights, []
    return flight


def test_jobs_whose_answers_cannot_be_committed_are_had_again() -> None:
    with stage() as play:
        world = play.world
        (process,) = world.processes
        store, worker = process.worker.runtime.store, process.worker
        flight = send_off(play)
        with patch.object(committer, "commit_answers", _fail), patch.object(committer, "reschedule_all", _fail):
            worker.committer.commit([(flight.call, flight.call.send())])
        with store.reading() as tx:
            assert tx.jobs.still_held(flight.call.jobs), "they run under our name, and no thread has them"
        world.beat(process)
        with store.reading() as tx:
            assert not tx.jobs.still_held(flight.call.jobs)
        play.play()
        assert [row["email"] for row in world.stripe.records()] == ["p0@example.com"]


def test_an_answer_that_breaks_its_commit_counts_an_attempt() -> None:
    with stage() as play:
        world = play.world
        (process,) = world.processes
        flight = send_off(play)
        with patch.object(committer, "commit_answers", _fail):
            process.worker.committer.commit([(flight.call, flight.call.send())])
        with process.worker.runtime.store.reading() as tx:
            (job,) = [tx.jobs.get(job.id) for job in flight.call.jobs]
        assert job is not None
        assert (job.state, job.attempts, job.reason) == ("ready", 1, "RuntimeError")
        assert world.violations == ["error RuntimeError: a defect of ours"]
        world.violations.clear()


def test_jobs_refused_in_a_gap_that_a_heartbeat_ended_unacknowledged_are_had_again() -> None:
    with stage() as play:
        world = play.world
        (process,) = world.processes
        store, worker = process.worker.runtime.store, process.worker
        flight = send_off(play)
        world.clock.now += LEASE_MS + 1
        # Its clock was set back meanwhile: it does not know that the lease is over.
        worker.lease.ends_ms += LEASE_MS + 1
        worker.committer.commit([(flight.call, flight.call.send())])
        with patch.object(store, "_trouble", lambda point: point == "committed"):
            world.beat(process)
        with store.reading() as tx:
            assert tx.jobs.still_held(flight.call.jobs), "they run under our name, and no thread has them"
        world.beat(process)
        with store.reading() as tx:
            assert not tx.jobs.still_held(flight.call.jobs)
        play.play()
        assert [row["email"] for row in world.stripe.records()] == ["p0@example.com"]
