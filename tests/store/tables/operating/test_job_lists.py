"""The queue is listed by state, page by page, and its values are counted."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.jobs import DeadClass, JobKind, JobRequest, WaitCode
from wanesync.core.model import Side
from wanesync.core.operating.queue_filter import FAR_MS, JobSelection, ListedJob, QueueState
from wanesync.store import Store, Tx
from wanesync.store.tables.operating.job_lists import Position, position_of

H, S = Side.HUBSPOT, Side.STRIPE
STATES = list(QueueState)


JOB = (
    "id, lane, kind, key, state, priority, due_ms, due_is_fixed, arrived_ms, attempts, rescues, token, owner, "
    "waits_for, reason, dead_class, run_id, turns, superseded, ended_ms"
)


@pytest.fixture
def filled(store: Store) -> Store:
    """A queue with two jobs of one moment for each state, side and kind."""
    made = enumerate(itertools.product(Side, JobKind, STATES, range(2)))
    rows = [f"({describe(store.now_ms(), number, what)})" for number, what in made]
    store.run(lambda tx: tx._session.execute(f"INSERT INTO jobs ({JOB}) VALUES {', '.join(rows)}"))
    return store


def describe(now_ms: int, number: int, what: tuple[Side, JobKind, QueueState, int]) -> str:
    """The values of a job."""
    side, kind, state, copy = what
    at_ms = now_ms - 100_000 + number // 2 * 1_000
    due_ms = now_ms + number // 2 if state in {QueueState.WAITING, QueueState.RETRYING} else at_ms
    stored = {QueueState.RUNNING: "running", QueueState.DEAD: "dead"}.get(state, "ready")
    ended = state in {QueueState.DEAD, QueueState.DONE, QueueState.DISCARDED}
    stored = "done" if ended and state is not QueueState.DEAD else stored
    attempts = int(state is QueueState.RETRYING)
    wait = {QueueState.RETRYING: "backoff", QueueState.DISCARDED: "discarded"}.get(state, "")
    reason = {QueueState.RETRYING: "Timed out 50%", QueueState.DONE: ""}.get(state, "It said No_")
    dead_class = ("refused" if copy else "gone") if state in {QueueState.DEAD, QueueState.DISCARDED} else ""
    identity = f"'{number:04}', '{side}', '{kind}', '{state}_{copy}_{number}', '{stored}'"
    times = f"10, {due_ms + (state is QueueState.WAITING)}, 0, {at_ms}, {attempts}, 0"
    texts = f"'', '', '{wait}', '{reason}', '{dead_class}', ''"
    return f"{identity}, {times}, {texts}, 0, {int(state is QueueState.DISCARDED)}, {at_ms if ended else 0}"


def every(tx: Tx) -> list[ListedJob]:
    """All jobs of the table."""
    ids = [row[0] for row in tx._session.execute("SELECT id FROM jobs").fetchall()]
    return list(tx.job_lists.get_many(ids).values())


SELECTIONS: list[dict[str, object]] = [
    {},
    {"side": H},
    {"kind": JobKind.WRITE},
    {"reason": "IT SAID"},
    {"reason": "no_"},
    {"reason": "50%"},
    {"reason": "5%"},
    {"dead_class": "gone"},
    {"waits_for": "backoff"},
]


def test_each_page_holds_what_matches_and_no_job_twice(filled: Store) -> None:
    with filled.reading() as tx:
        stored = every(tx)
        early_ms = tx.now_ms - 80_000
        more: list[dict[str, object]] = [
            {"keys": frozenset(one.job.key for one in stored[::5])},
            {"since_ms": early_ms},
            {"until_ms": early_ms, "side": S},
        ]
        for state, which in itertools.product(STATES, [*SELECTIONS, *more]):
            selection = JobSelection(state, **which)  # type: ignore[arg-type] # fields of a selection
            expected = {one.job.id for one in stored if selection.matches(one, tx.now_ms)}
            if "keys" in which and state in {QueueState.DONE, QueueState.DISCARDED}:
                continue  # no index finds them
            if "waits_for" in which and state is QueueState.DISCARDED:
                expected = set()
            found = walk(tx, selection)
            assert len(found) == len({one.job.id for one in found})
            assert {one.job.id for one in found} == expected, (state, which)
            order = [position_of(selection, one) for one in found]
            ended = state in {QueueState.DEAD, QueueState.DONE, QueueState.DISCARDED}
            assert order == sorted(order, reverse=ended)


def walk(tx: Tx, selection: JobSelection) -> list[ListedJob]:
    """The jobs of every page."""
    found: list[ListedJob] = []
    while page := tx.job_lists.page(selection, position_of(selection, found[-1]) if found else None, 3):
        found += page
    return found


def test_values_are_counted_by_state_and_age(filled: Store) -> None:
    with filled.reading() as tx:
        for state in STATES:
            rows, is_more = tx.job_lists.values(state)
            assert not is_more
            counted = [row for row in rows if row.state is state]
            assert sum(row.count for row in counted) == (0 if state is QueueState.DONE else 12), state
            listed = [] if state is QueueState.DONE else walk(tx, JobSelection(state))
            assert {replace(row, count=1) for row in counted} == {tx.job_lists.count_one(one) for one in listed}


def test_dead_letters_are_counted_and_walked_in_the_order_of_their_end(filled: Store) -> None:
    with filled.reading() as tx:
        selection = JobSelection(QueueState.DEAD)
        assert sum(tx.job_lists.count_dead(selection).values()) == 12
        assert tx.job_lists.count_dead(JobSelection(QueueState.DEAD, H, dead_class="gone")).keys() == {"gone"}
        walked: list[Position] = []
        while part := tx.job_lists.dead_slice(selection, walked[-1] if walked else Position(0, ""), 5):
            walked += part
        assert walked == sorted(walked)
        assert len(walked) == 12
        some = frozenset({walked[3].id, walked[7].id, "unknown"})
        marked = JobSelection(QueueState.DEAD, ids=some, until_ms=FAR_MS)
        assert tx.job_lists.dead_slice(marked, Position(0, ""), 5) == [walked[3], walked[7]]
        assert sum(tx.job_lists.count_dead(marked).values()) == 2


def test_failed_attempts_and_crashes_are_kept_in_order(store: Store, clock: Clock) -> None:
    store.run(lambda tx: tx.jobs.put(JobRequest(S, JobKind.READ, "cus_1")))
    for reason in ("timed out", "server error"):
        with store.transaction() as tx:
            (job,) = tx.jobs.claim(S, None, 1, "w1")
            tx.jobs.reschedule(job, tx.now_ms, reason, count=True, waits_for=WaitCode.BACKOFF)
        clock.advance(10)
    with store.transaction() as tx:
        (job,) = tx.jobs.claim(S, None, 1, "w1")
    clock.advance(60_000)
    assert [one.id for one in store.run(lambda tx: tx.jobs.requeue_abandoned())] == [job.id]
    with store.transaction() as tx:
        (job,) = tx.jobs.claim(S, None, 1, "w1")
        tx.jobs.reschedule(job, tx.now_ms, "rate limited", count=False, waits_for=WaitCode.VENDOR)
        (job,) = tx.jobs.claim(S, None, 1, "w1")
        tx.jobs.mark_dead(job, DeadClass.REFUSED, "it said no")
    with store.reading() as tx:
        kept = [(row.outcome, row.attempt, row.code, row.reason) for row in tx.job_lists.attempts(job.id)]
        assert kept[:2] == [("retry", 1, "backoff", "timed out"), ("retry", 2, "backoff", "server error")]
        assert kept[2][:2] == ("crash", 1)
        assert kept[3] == ("dead", 3, "refused", "it said no")
        assert tx.job_lists.get_many([job.id])[job.id].claimed_ms == tx.now_ms
