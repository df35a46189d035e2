"""Bulk jobs stay where they are while a limit has nothing for them; live ones go past, and they go on by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.play import Play
from tests.simulation.test_regressions import stage
from tests.support.core_builders import contact
from wanesync.core.jobs import SEND_MS, SHARED_CLAIM_INTERVAL, JobKind, JobRequest, Priority, WaitCode
from wanesync.core.model import Side
from wanesync.core.purchases import Purchase, Sink
from wanesync.core.rate_limits import BULK, DAILY, MONTHLY_READS, SlotRequest
from wanesync.purchases.sender import SINK
from wanesync.ratelimit.pacer import Pacer
from wanesync.sync.calls import Call
from wanesync.sync.record_versions import RecordWriter
from wanesync.worker.lane import Lane

AHEAD = 30


@pytest.fixture
def play() -> Iterator[Play]:
    with stage() as opened:
        yield opened


def parts(play: Play, side: Side) -> tuple[Lane, Pacer]:
    worker = play.world.processes[0].worker
    return worker.lanes[side], worker.pacers[side]


def set_limit(play: Play, pacer: Pacer, scope: str, value: float) -> None:
    with play.world.store.transaction() as tx:
        tx.rates.set_limit(scope, value)
    pacer.budget.refresh()


def queue(play: Play, side: Side, kind: JobKind, key: str, priority: Priority) -> None:
    with play.world.store.transaction() as tx:
        tx.jobs.put(JobRequest(side, kind, key, priority))


def top(play: Play, lane: Lane) -> JobKind | None:
    with play.world.store.reading() as tx:
        best = lane.best(tx)
        return best.kind if best else None


def claimed(play: Play, lane: Lane) -> list[str]:
    """Keys of what the lane makes calls for; then given back."""
    calls = play.world.store.run(lambda tx: lane.fill(tx, AHEAD))
    with play.world.store.transaction() as tx:
        tx.jobs.release(lane.runtime.name)
    return [job.key for call in calls for job in call.jobs]


def test_bulk_reads_of_contacts_wait_for_the_day_and_live_ones_go(play: Play) -> None:
    lane, pacer = parts(play, Side.HUBSPOT)
    set_limit(play, pacer, DAILY, 0.00001)
    contact_id = play.world.hubspot.edit("create", None, {"email": "a@example.com"}, play.world.now)
    queue(play, Side.HUBSPOT, JobKind.READ, contact_id, Priority.BULK)
    for _ in range(3):
        pacer.budget.count(SlotRequest("contacts.batch_read", bulk=True))
    pacer.budget.refresh()
    lane.make_room(pacer, AHEAD)
    assert top(play, lane) is None
    assert claimed(play, lane) == []
    queue(play, Side.HUBSPOT, JobKind.READ, "999", Priority.LIVE)
    assert top(play, lane) is JobKind.READ
    assert claimed(play, lane) == ["999"]

    play.world.leap(play.world.now + 86_400_000)
    pacer.budget.refresh()
    lane.make_room(pacer, AHEAD)
    assert set(claimed(play, lane)) == {"999", contact_id}


def test_without_reads_bulk_writes_go_on(play: Play) -> None:
    lane, pacer = parts(play, Side.STRIPE)
    set_limit(play, pacer, MONTHLY_READS, 1)
    pacer.budget.count(SlotRequest("customers.list"))
    pacer.budget.refresh()
    lane.make_room(pacer, AHEAD)
    queue(play, Side.STRIPE, JobKind.READ, "cus_1", Priority.BULK)
    assert top(play, lane) is None
    queue(play, Side.STRIPE, JobKind.WRITE, "contact:1", Priority.BULK)
    assert top(play, lane) is JobKind.WRITE


def test_no_more_bulk_calls_are_prepared_than_its_rate_takes(play: Play) -> None:
    lane, pacer = parts(play, Side.STRIPE)
    set_limit(play, pacer, "stripe", 100)
    set_limit(play, pacer, BULK, 10)
    queue(play, Side.STRIPE, JobKind.WRITE, "contact:1", Priority.BULK)
    with play.world.store.transaction() as tx:
        jobs = tx.jobs.claim(Side.STRIPE, [JobKind.WRITE], 1, lane.runtime.name)
    call = Call(Side.STRIPE, "customers.create", jobs, lambda: None, lambda _tx, _answer: [])
    for waiting, held in ((2, False), (3, True)):
        lane.waiting.clear()
        lane.waiting.extend([call] * waiting)
        assert lane.make_room(pacer, AHEAD) == AHEAD - waiting
        assert bool(lane.held) is held
    lane.waiting.clear()


def test_jobs_that_make_no_call_do_not_end_the_round_for_other_kinds(play: Play) -> None:
    lane, _ = parts(play, Side.HUBSPOT)
    with play.world.store.transaction() as tx:
        tx.locks.take_all(["contact:1"], "other", lane.runtime.name, tx.now_ms + 60_000)
    queue(play, Side.HUBSPOT, JobKind.WRITE, "contact:1", Priority.PURCHASE)
    queue(play, Side.HUBSPOT, JobKind.READ, "77", Priority.LIVE)
    lane.claim_number = 0
    assert claimed(play, lane) == ["77"]


@pytest.mark.case(1)
def test_a_guest_whose_address_is_on_two_contacts_stops_nothing(play: Play) -> None:
    """Its purchase and its guest job queued each other; each round ended with one of them, and no read was made."""
    lane, _ = parts(play, Side.HUBSPOT)
    store, email = play.world.store, "shared@example.com"
    with store.transaction() as tx, RecordWriter(lane.runtime, tx) as records:
        for contact_id in ("1", "2"):
            records.store_contact(contact(contact_id, email=email))
        tx.settings.put(SINK, Sink.CUSTOM_EVENT)
        hmac = store.hmac(email)
        tx.purchases.put(Purchase("pi_1", "ch_1", "", email, hmac, 500, "eur", tx.now_ms))
        tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.PURCHASE, "pi_1", Priority.PURCHASE))
    turns = 0
    for second in range(60):
        key = str(1000 + second)
        queue(play, Side.HUBSPOT, JobKind.READ, key, Priority.LIVE)
        keys = claimed(play, lane)
        turns += lane.claimed - len(keys)
        assert key in keys
        with store.transaction() as tx:
            tx.jobs.finish_many(tx.jobs.claim(Side.HUBSPOT, [JobKind.READ], 100, lane.runtime.name))
        play.world.leap(play.world.now + 1_000)
    assert turns < 30
    with store.reading() as tx:
        (row,) = tx.purchases.get_many(["pi_1"]).values()
    assert row.waits_for == WaitCode.RIVALS


def test_a_paused_side_is_probed_by_each_job_in_turn(play: Play) -> None:
    """The oldest job made every probe: one record that a side cannot answer kept it paused for ever."""
    lane, _ = parts(play, Side.HUBSPOT)
    for key in ("1", "2", "3"):
        queue(play, Side.HUBSPOT, JobKind.READ, key, Priority.LIVE)
    probed = []
    for _ in range(4):
        with play.world.store.transaction() as tx:
            tx.pauses.set("hubspot", "it does not answer", True, tx.now_ms)
            (call,) = lane.fill(tx, AHEAD)
            (job,) = call.jobs
            probed.append(job.key)
            tx.jobs.reschedule(job, tx.now_ms + 25_000, "", count=False, waits_for="pause:hubspot")
        play.world.leap(play.world.now + 25_000)
    assert set(probed[:3]) == {"1", "2", "3"}


def test_reads_of_many_customers_do_not_keep_writes_from_being_claimed(play: Play) -> None:
    """A hundred bulk reads filled every round of Stripe's lane, so that edits of people waited for the last of them."""
    lane, _ = parts(play, Side.STRIPE)
    for number in range(100):
        queue(play, Side.STRIPE, JobKind.READ, f"cus_{number}", Priority.BULK)
    queue(play, Side.STRIPE, JobKind.WRITE, "contact:1", Priority.LIVE)
    assert len(claimed(play, lane)) == 100
    with play.world.store.reading() as tx:
        assert not tx.jobs.next_claimable(Side.STRIPE, [JobKind.WRITE])


def test_a_bulk_call_that_waits_is_sent_beside_a_flood_of_urgent_ones(play: Play) -> None:
    lane, _ = parts(play, Side.STRIPE)
    queue(play, Side.STRIPE, JobKind.WRITE, "contact:old", Priority.BULK)
    play.world.leap(play.world.now + 1_000)
    queue(play, Side.STRIPE, JobKind.WRITE, "contact:new", Priority.LIVE)
    with play.world.store.transaction() as tx:
        jobs = tx.jobs.claim(Side.STRIPE, [JobKind.WRITE], 2, lane.runtime.name)
    first = []
    for _ in range(SHARED_CLAIM_INTERVAL):
        lane.waiting.extend(Call(Side.STRIPE, "customers.update", [j], lambda: None, lambda _tx, _a: []) for j in jobs)
        first.append(lane.take_waiting()[0].jobs[0].key)
    assert (first.count("contact:old"), first.count("contact:new")) == (1, SHARED_CLAIM_INTERVAL - 1)


def test_a_prepared_change_that_can_be_in_time_goes_before_a_late_one(play: Play) -> None:
    lane, _ = parts(play, Side.STRIPE)
    for key in ("contact:late", "contact:new"):
        queue(play, Side.STRIPE, JobKind.WRITE, key, Priority.LIVE)
        play.world.leap(play.world.now + 40_000)
    with play.world.store.transaction() as tx:
        jobs = tx.jobs.claim(Side.STRIPE, [JobKind.WRITE], 2, lane.runtime.name)
    calls = [Call(Side.STRIPE, "customers.update", [j], lambda: None, lambda _tx, _a: []) for j in jobs]
    lane.send_time.begin(calls, jobs[0].arrived_ms + 61_000, is_first=True, target_ms=60_000)
    lane.waiting.extend(calls)
    lane.hand_out_number = 0
    assert [one.jobs[0].key for one in lane.take_waiting()] == ["contact:new", "contact:late"]


def test_changes_that_can_still_be_in_time_go_before_late_ones_and_one_of_the_oldest_now_and_then(play: Play) -> None:
    lane, _ = parts(play, Side.STRIPE)
    keys = [f"contact:{number:03}" for number in range(200)]
    for key in keys:
        queue(play, Side.STRIPE, JobKind.WRITE, key, Priority.LIVE)
        play.world.leap(play.world.now + 300)
    limit_ms = lane.runtime.options.target_ms - SEND_MS
    taken: list[str] = []
    with play.world.store.transaction() as tx:
        late = [key for at, key in enumerate(keys) if (len(keys) - at) * 300 > limit_ms]
        while len(taken) < len(keys) - len(late):
            taken += [job.key for job in lane._claim(tx, 4, alone=False)]
    ahead = [key for key in taken if key in late]
    in_time = [key for key in taken if key not in late]
    assert late
    assert in_time == sorted(in_time)
    assert in_time[0] == keys[len(late)]
    # The oldest of all in about one claim of sixteen, and no more than one of them in each.
    assert ahead == late[: len(ahead)]
    assert 1 <= len(ahead) <= len(taken) // 4 // SHARED_CLAIM_INTERVAL + 1
