"""The checker of claims: a job that every claim of its lane passes over is named."""

from __future__ import annotations

from tests.simulation.starvation import BOUND, Starvation, list_due
from tests.simulation.test_regressions import stage
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side


def test_a_job_that_every_claim_passes_over_is_named() -> None:
    job = ("read", "1", 0)
    rounds = [Starvation().note(Side.HUBSPOT, {job}, {job}, 1)]
    checker = Starvation()
    rounds = [checker.note(Side.HUBSPOT, {job}, {job}, 1) for _ in range(BOUND)]
    assert (rounds[-2], rounds[-1]) == ([], ["read 1"])


def test_a_lane_that_claims_nothing_passes_over_nothing() -> None:
    job, checker = ("read", "1", 0), Starvation()
    assert not any(checker.note(Side.HUBSPOT, {job}, {job}, 0) for _ in range(2 * BOUND))


def test_a_job_that_was_claimed_begins_anew() -> None:
    job, checker = ("read", "1", 0), Starvation()
    for _ in range(3):
        assert not any(checker.note(Side.HUBSPOT, {job}, {job}, 1) for _ in range(BOUND - 1))
        checker.note(Side.HUBSPOT, {job}, {("read", "1", 1)}, 1)


def test_every_class_is_claimed_within_the_bound_beside_a_flood_of_urgent_jobs() -> None:
    with stage() as play:
        worker, checker = play.world.processes[0].worker, Starvation()
        lane, store = worker.lanes[Side.STRIPE], play.world.store
        with store.transaction() as tx:
            tx.jobs.put_many(
                [
                    JobRequest(Side.STRIPE, kind, f"contact:{priority}{kind}", priority)
                    for priority in list(Priority)[1:]
                    for kind in (JobKind.READ, JobKind.WRITE)
                ]
            )
        for number in range(BOUND):
            with store.transaction() as tx:
                tx.jobs.put(JobRequest(Side.STRIPE, JobKind.WRITE, f"guest:{number}", Priority.PURCHASE))
                before = list_due(tx, Side.STRIPE)
                jobs = lane._claim(tx, 1, alone=False)
                tx.jobs.finish_many(jobs)
                assert checker.note(Side.STRIPE, before, list_due(tx, Side.STRIPE), len(jobs)) == []
        with store.reading() as tx:
            assert not any(key.startswith("contact") for _, key, _ in list_due(tx, Side.STRIPE))


def test_a_change_that_is_late_is_written_beside_a_flood_of_those_that_are_not() -> None:
    with stage() as play:
        worker = play.world.processes[0].worker
        lane, store = worker.lanes[Side.STRIPE], play.world.store
        late_ms = store.now_ms() - 2 * worker.runtime.options.target_ms
        with store.transaction() as tx:
            tx.jobs.put(JobRequest(Side.STRIPE, JobKind.WRITE, "contact:late", Priority.LIVE, arrived_ms=late_ms))
        for number in range(BOUND):
            with store.transaction() as tx:
                tx.jobs.put_many(
                    [JobRequest(Side.STRIPE, JobKind.WRITE, f"contact:{number}.{n}", Priority.LIVE) for n in range(2)]
                )
                tx.jobs.finish_many(lane._claim(tx, 1, alone=False))
        with store.reading() as tx:
            assert "contact:late" not in {key for _, key, _ in list_due(tx, Side.STRIPE)}
