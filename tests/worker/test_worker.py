"""What a worker does with a call that must not leave, or that nobody can give a slot to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty

import pytest

from tests.simulation.parts import LocalClock
from tests.simulation.play import Play
from tests.simulation.test_regressions import stage
from wanesync.core.errors import CallError, DatabaseUnavailable, Failure, FieldMapChanged
from wanesync.core.jobs import POISON_ALONE_RESCUES, Job, JobKind, JobRequest, JobState, Priority
from wanesync.core.model import Side
from wanesync.ratelimit.pacer import MAX_SLOT_DELAY_MS, Pacer
from wanesync.store.tables.jobs import ClaimableJob, Jobs
from wanesync.store.tables.processes import LEASE_MS
from wanesync.store.tables.rates import SlotAssignment
from wanesync.sync.calls import AnyCall, Call
from wanesync.worker.committer import commit_answers
from wanesync.worker.in_flight import InFlight
from wanesync.worker.lane import Lane
from wanesync.worker.lease import Lease
from wanesync.worker.worker import HEARTBEAT_INTERVAL_MS, PREPARE_MS, SWEEP_INTERVAL_MS, Worker

STRIPE = Side.STRIPE


@dataclass
class Sleeper(LocalClock):
    """A clock whose sleeps take no time but what they were asked for, the first one ``frozen_ms`` more."""

    frozen_ms: int = 0

    def sleep_until(self, at_ms: float) -> None:
        frozen_ms, self.frozen_ms = self.frozen_ms, 0
        self.true.now += max(0, int(at_ms) - self.monotonic_ms()) + frozen_ms


@dataclass
class Bench:
    """A worker of which one call is in hand, with a real pacer."""

    play: Play
    clock: Sleeper
    worker: Worker
    sent: list[int] = field(default_factory=list)

    @property
    def pacer(self) -> Pacer:
        return self.worker.pacers[STRIPE]

    def make_call(self, send: Callable[[], object], key: str = "contact:1") -> AnyCall:
        store, runtime = self.play.world.store, self.worker.runtime
        with store.transaction() as tx:
            tx.jobs.put(JobRequest(STRIPE, JobKind.WRITE, key))
            jobs = tx.jobs.claim(STRIPE, [JobKind.WRITE], 1, runtime.name)
        call = Call(STRIPE, "customers.create", jobs, send, lambda _tx, _answer: [])
        self.worker.in_flight.begin_claim(STRIPE)
        self.worker.in_flight.end_claim(STRIPE, [call])
        return call

    def send(self, call: AnyCall, slot_ms: int) -> None:
        self.worker.calls_under_way[STRIPE] = 1
        self.worker._send(call, slot_ms)
        assert self.worker.calls_under_way[STRIPE] == 0

    def leave(self) -> object:
        self.pacer.pass_gate()
        self.sent.append(self.clock.now_ms())
        return None

    def get_outcome(self) -> object:
        try:
            return self.worker.committer.answers.get_nowait()[1]
        except Empty:
            return "none"

    def get_job(self, call: AnyCall) -> Job:
        with self.play.world.store.reading() as tx:
            job = tx.jobs.get(call.jobs[0].id)
        assert job
        return job


@pytest.fixture
def bench() -> Iterator[Bench]:
    with stage() as play:
        (process,) = play.world.processes
        clock, worker = Sleeper(play.world.clock), process.worker
        worker.clock = worker.lease.clock = clock
        worker.pacers = {side: Pacer(play.world.store, clock, side) for side in Side}
        worker.lease.ends_ms = clock.now_ms() + LEASE_MS
        yield Bench(play, clock, worker)


def test_who_stood_still_past_the_lease_while_waiting_for_its_slot_sends_nothing(bench: Bench) -> None:
    call = bench.make_call(bench.leave)
    bench.clock.frozen_ms = LEASE_MS
    bench.send(call, bench.clock.now_ms() + 100)
    assert (bench.sent, bench.get_outcome()) == ([], "none")
    job = bench.get_job(call)
    assert (job.state, job.attempts) == (JobState.RUNNING, 0), "it is left to whoever takes it"
    assert bench.worker.lease.claim_lost
    with bench.worker.in_flight.no_claims() as known:
        assert known == set()


def test_with_its_lease_a_call_leaves_when_its_slot_is_due(bench: Bench) -> None:
    slot_ms = bench.clock.now_ms() + 100
    bench.send(bench.make_call(bench.leave), slot_ms)
    assert (bench.sent, bench.get_outcome()) == ([slot_ms], None)


def is_away(*_: object) -> None:
    raise DatabaseUnavailable("away")


def test_a_call_without_a_slot_is_not_sent_and_waits_for_another(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def send() -> object:
        bench.clock.true.now += MAX_SLOT_DELAY_MS + 1
        return bench.leave()

    call = bench.make_call(send)
    monkeypatch.setattr(bench.pacer.store, "assign", is_away)
    bench.send(call, bench.clock.now_ms())
    assert (bench.sent, bench.get_outcome()) == ([], "none")
    assert list(bench.worker.lanes[STRIPE].waiting) == [call]
    assert bench.get_job(call).attempts == 0


def test_once_a_first_request_left_the_outcome_is_unknown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def send() -> object:
        bench.leave()
        return bench.leave()

    monkeypatch.setattr(bench.pacer.store, "assign", is_away)
    bench.send(bench.make_call(send), bench.clock.now_ms())
    outcome = bench.get_outcome()
    assert len(bench.sent) == 1
    assert isinstance(outcome, CallError)
    assert outcome.failure is Failure.NO_ANSWER


def test_calls_stay_in_hand_whatever_goes_wrong_with_their_slots(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    call = bench.make_call(bench.leave)
    bench.worker.lanes[STRIPE].waiting.append(call)

    def break_off(*_: object) -> None:
        raise RuntimeError("the connection was reset")

    monkeypatch.setattr(bench.pacer.store, "assign", break_off)
    with pytest.raises(RuntimeError):
        bench.worker._hand_out(STRIPE, None)
    assert list(bench.worker.lanes[STRIPE].waiting) == [call]


def test_slots_are_handed_out_while_a_claim_takes_long(bench: Bench) -> None:
    worker, call = bench.worker, bench.make_call(bench.leave)
    worker.lanes[STRIPE].waiting.append(call)
    with worker._claims[STRIPE].measured(bench.clock):
        worker._hand_out_during_claim(STRIPE)
    assert worker.committer.answers.get(timeout=10)[0] is call
    assert len(bench.sent) == 1
    assert not worker.lanes[STRIPE].waiting


def test_what_was_claimed_in_vain_is_given_back_and_what_can_be_in_time_has_the_slot(bench: Bench) -> None:
    worker, clock = bench.worker, bench.clock
    send_time, waiting = worker.lanes[STRIPE].send_time, worker.lanes[STRIPE].waiting
    old = bench.make_call(bench.leave, "contact:1")
    clock.true.now += 1_000
    young = bench.make_call(bench.leave, "contact:2")
    targets = {"to_monotonic_ms": clock.monotonic_ms() - clock.now_ms(), "target_ms": 3_000}
    send_time.begin([old, young], clock.monotonic_ms(), is_first=True, **targets)
    waiting.extend([old, young])
    clock.true.now += 2_000 - send_time.call_ms + 1
    worker._hand_out(STRIPE, None)
    assert worker.committer.answers.get(timeout=10)[0] is young
    assert not waiting
    assert worker.in_flight.begin_claim(STRIPE)
    worker._claim(STRIPE, 0)
    with worker.in_flight.no_claims() as known:
        assert known == {young.jobs[0].id}
    assert (bench.get_job(old).state, bench.get_job(old).attempts) == (JobState.READY, 0)
    assert bench.get_job(young).state is JobState.RUNNING


def claimed_in_vain(bench: Bench) -> AnyCall:
    call = bench.make_call(bench.leave)
    bench.worker.lanes[STRIPE].late.append(call)
    return call


@pytest.mark.parametrize("alone", [False, True], ids=["a suspect is next", "it is the suspect itself"])
def test_what_was_claimed_in_vain_keeps_no_suspect_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, alone: bool
) -> None:
    worker = bench.worker
    worker.in_flight.note_next(STRIPE, suspect=alone)
    call = claimed_in_vain(bench)
    suspect = None if alone else ClaimableJob(JobKind.WRITE, Priority.LIVE, POISON_ALONE_RESCUES)
    monkeypatch.setattr(Lane, "next_claimable", lambda _lane, _tx: suspect)
    worker.run_round(STRIPE)
    worker.lease.beat()
    assert (bench.get_job(call).state, bench.get_job(call).attempts) == (JobState.READY, 0)
    assert worker.in_flight.begin_claim(STRIPE)


def test_a_heartbeat_right_after_a_claim_that_failed_gives_back_what_was_claimed_in_vain(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, call = bench.worker, claimed_in_vain(bench)
    end_claim = InFlight.end_claim

    def end_and_beat(in_flight: InFlight, side: Side, calls: Sequence[AnyCall] = ()) -> None:
        end_claim(in_flight, side, calls)
        monkeypatch.undo()
        worker.lease.beat()

    def is_cut_off(_tx: object, _jobs: object) -> None:
        raise DatabaseUnavailable("the connection was lost")

    assert worker.in_flight.begin_claim(STRIPE)
    monkeypatch.setattr(InFlight, "end_claim", end_and_beat)
    monkeypatch.setattr(Jobs, "give_back", is_cut_off)
    with pytest.raises(DatabaseUnavailable):
        worker._claim(STRIPE, 0)
    assert bench.get_job(call).state is JobState.READY
    assert not worker.lease.claim_lost


def test_a_clock_set_back_puts_no_heartbeat_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, beats, waits = bench.worker, list[int](), list[float]()

    def wait(timeout_s: float) -> None:
        waits.append(timeout_s)
        if len(waits) == 1:
            bench.clock.offset_ms -= 60_000
        else:
            bench.clock.true.now += SWEEP_INTERVAL_MS
        if len(waits) == 6:
            worker._finished.set()

    monkeypatch.setattr(worker.stopping, "wait", wait)
    monkeypatch.setattr(Lease, "beat", lambda _lease: beats.append(bench.clock.monotonic_ms()))
    began_ms = bench.clock.monotonic_ms()
    worker._heartbeat_loop()
    assert [at_ms - began_ms for at_ms in beats] == [HEARTBEAT_INTERVAL_MS, 2 * HEARTBEAT_INTERVAL_MS]


def test_a_clock_set_back_does_not_change_the_wait_for_a_slot(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    began_ms = bench.clock.monotonic_ms()

    def reserve_and_set_back(_pacer: Pacer) -> int:
        bench.clock.offset_ms -= 600_000
        return began_ms + 200

    monkeypatch.setattr(Pacer, "reserve_slot", reserve_and_set_back)
    bench.worker._await_slot(STRIPE)
    assert bench.clock.monotonic_ms() == began_ms + 200 - PREPARE_MS


@pytest.mark.parametrize(
    ("waiting", "next_ms", "handed_out", "rests"),
    [
        (0, 0, 1, (0, 0)),
        (0, 0, 0, (10, 10)),
        (15, 0, 0, (100, 300)),
        (15, 0, 12, (70, 210)),
        (15, 500, 0, (100, 300)),
        (15, 60, 0, (30, 30)),
        (1, 60, 0, (30, 30)),
        (1, 500, 0, (40, 40)),
    ],
)
def test_with_a_backlog_slots_are_reserved_seldom_many_at_once_and_by_chance(
    bench: Bench, waiting: int, next_ms: int, handed_out: int, rests: tuple[int, int]
) -> None:
    call = bench.make_call(bench.leave)
    bench.worker.lanes[STRIPE].waiting.extend([call] * waiting)
    rested = []
    for _ in range(100):
        began_ms = bench.clock.monotonic_ms()
        given = SlotAssignment(next_ms=began_ms + next_ms if next_ms else 0)
        bench.worker._rest(STRIPE, call, given, handed_out, reserved=False)
        rested.append(bench.clock.monotonic_ms() - began_ms)
    least_ms, most_ms = rests
    assert least_ms <= min(rested) <= least_ms * 1.2
    assert most_ms * 0.8 <= max(rested) <= most_ms


def test_wake_ups_that_find_no_work_delay_the_next_look(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, woken = bench.worker, [True] * 10 + [False, True]
    monkeypatch.setattr(worker.runtime.store, "wait_for_work", lambda _ms, _lane: woken.pop(0))
    rested = []
    while woken:
        began_ms = bench.clock.monotonic_ms()
        assert not worker._has_work(STRIPE)
        worker._wait_for_work(STRIPE)
        rested.append(bench.clock.monotonic_ms() - began_ms)
    assert rested == [0, 0, 10, 20, 30, 40, 50, 60, 60, 60, 0, 0]
    worker.lanes[STRIPE].idle_wakes = 9
    with bench.play.world.store.transaction() as tx:
        tx.jobs.put(JobRequest(STRIPE, JobKind.WRITE, "contact:1"))
    assert worker._has_work(STRIPE)
    assert worker.lanes[STRIPE].idle_wakes == 0


def test_every_class_has_its_turn_whatever_else_waits(bench: Bench) -> None:
    lane, store = bench.worker.lanes[STRIPE], bench.play.world.store
    keys = {Priority.LIVE: "contact:1", Priority.LIVE_BULK: "contact:2", Priority.BULK: "contact:3"}
    with store.transaction() as tx:
        tx.jobs.put_many([JobRequest(STRIPE, JobKind.WRITE, key, priority) for priority, key in keys.items()])
    taken = []
    with store.transaction() as tx:
        for _ in range(400):
            taken += [job.key for job in lane._claim(tx, 1, alone=False)]
            tx.jobs.release(lane.runtime.name)
    assert all(taken.count(keys[low]) >= 4 for low in (Priority.LIVE_BULK, Priority.BULK))
    assert taken.count(keys[Priority.LIVE]) > 350


def test_items_refused_for_their_rate_lower_the_limit_like_whole_calls(bench: Bench) -> None:
    refused = CallError(STRIPE, Failure.RATE_LIMITED, "rate_limit", status=429, scope="global-rate")
    unread = CallError(STRIPE, Failure.NO_ANSWER, "written, but not read afterwards")
    unread.__cause__ = refused
    store, runtime = bench.play.world.store, bench.worker.runtime
    with store.transaction() as tx:
        tx.rates.set_limit("stripe", 100)
    for answer, after in (({"a": refused, "b": refused, "c": None}, 95), ({"a": unread}, 47.5)):
        call = bench.make_call(lambda: None)
        store.run(lambda tx, c=call, a=answer: commit_answers(runtime, tx, [(c, a)]))  # type: ignore[misc] # binds the loop's values
        with store.reading() as tx:
            assert tx.rates.all()["stripe"].effective == after
        bench.play.world.leap(bench.play.world.now + 2_000)


def test_a_worker_whose_field_map_was_replaced_sends_nothing_more_and_ends(bench: Bench) -> None:
    call = bench.make_call(bench.leave)
    bench.worker._end(FieldMapChanged())
    bench.send(call, bench.clock.now_ms() + 100)
    assert bench.sent == []
    assert bench.worker.stopping.is_set()
    with pytest.raises(FieldMapChanged):
        bench.worker.run()
