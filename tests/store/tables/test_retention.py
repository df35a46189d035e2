"""What is removed with age, and what stays."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.support.lanes import bury
from tests.support.store_fixtures import Clock
from tests.support.store_reads import count_done, count_events, find_write
from wanesync.core.ids import least_id, made_ms
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Change, Conflict, Event, PendingWrite, Side, WriteKind, WriteResult
from wanesync.core.purchases import Purchase
from wanesync.store import Store, Tx
from wanesync.store.tables.retention import DAY_MS, RetentionPolicy
from wanesync.worker.retention import PRUNED_ON, RetentionTask

H, S = Side.HUBSPOT, Side.STRIPE


class Restful:
    """A clock whose every look takes a while, and that counts what was rested."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.rested_ms = clock, 0.0

    def now_ms(self) -> int:
        self.clock.advance(5)
        return self.clock.ms

    def monotonic_ms(self) -> int:
        return self.now_ms()

    def sleep_until(self, at_ms: float) -> None:
        self.rested_ms += at_ms - self.clock.ms


def upkeep(store: Store, clock: Clock) -> RetentionTask:
    return RetentionTask(store, RetentionPolicy(), Restful(clock))


def an_event(key: str, record_id: str = "1", *, read: bool = True, judged: bool = True) -> Event:
    return Event(key, H, "updated", record_id, 5, {"city": "Lyon"}, read=read, judged=judged)


def an_own_write(tx: Tx, target_id: str = "cus_1", kind: WriteKind = WriteKind.UPDATE, **facts: object) -> PendingWrite:
    made = PendingWrite(
        tx._session.make_id(), S, kind, "contact:1", "1", target_id, "key", "{}", {"city": Change("", "Lyon", "Lyon")}
    )
    write = replace(made, **facts)  # type: ignore[arg-type] # a test names the fields it changes
    tx.pending_writes.put(replace(write, result=None))
    if write.result:
        tx.pending_writes.record_result(write.id, write.result)
    return write


def test_an_event_loses_first_what_it_carried_then_itself(store: Store, clock: Clock) -> None:
    store.run(lambda tx: tx.events.put_many([an_event("old")]))
    clock.advance(29 * DAY_MS)
    store.run(lambda tx: tx.events.put_many([an_event("new", "2")]))
    assert not any(upkeep(store, clock).prune().values())
    clock.advance(2 * DAY_MS)
    assert upkeep(store, clock).prune()["event payloads"] == 1
    with store.reading() as tx:
        emptied = tx.events.get("old")
        assert emptied
        assert (emptied.values, emptied.record, emptied.judged) == ({}, None, True)
        kept = tx.events.get("new")
        assert kept
        assert kept.values == {"city": "Lyon"}
    assert store.run(lambda tx: tx.events.put_many([an_event("old")])) == set(), "it is still known when it comes again"
    clock.advance(5 * DAY_MS)
    gone = upkeep(store, clock).prune()
    assert (gone["events"], gone["event payloads"]) == (1, 0)
    with store.reading() as tx:
        assert (tx.events.get("old"), count_events(tx)["total"]) == (None, 1)


def test_what_is_unread_or_unjudged_stays_with_all_that_judges_it(store: Store, clock: Clock) -> None:
    def fill(tx: Tx) -> list[PendingWrite]:
        tx.events.put_many([an_event("unread", "1", read=False), an_event("unjudged", "2", judged=False)])
        tx.events.put_many([an_event("sibling", "2"), an_event("settled", "3")])
        return [
            an_own_write(tx, "2", result=WriteResult.OK, side=H),
            an_own_write(tx, "3", result=WriteResult.OK, side=H),
        ]

    needed, done_with = store.run(fill)
    clock.advance(400 * DAY_MS)
    gone = upkeep(store, clock).prune()
    assert (gone["events"], gone["own writes"]) == (1, 1)
    with store.reading() as tx:
        assert tx.events.get("settled") is None
        kept = [tx.events.get(key) for key in ("unread", "unjudged", "sibling")]
        assert [event.values for event in kept if event] == [{"city": "Lyon"}] * 3
        assert (find_write(tx, needed.id) is None, find_write(tx, done_with.id) is None) == (False, True)
    store.run(lambda tx: tx.events.mark_judged(["unjudged"]))
    assert upkeep(store, clock).prune()["events"] == 2, "once it is judged they go, too"


@pytest.mark.parametrize("answer", [None, WriteResult.LOST, WriteResult.REFUSED])
def test_a_creation_that_came_to_nothing_stays_for_ever(store: Store, clock: Clock, answer: WriteResult | None) -> None:
    create = store.run(lambda tx: an_own_write(tx, "", WriteKind.CREATE, result=answer))
    update = store.run(lambda tx: an_own_write(tx, result=answer))
    clock.advance(400 * DAY_MS)
    upkeep(store, clock).prune()
    with store.reading() as tx:
        assert find_write(tx, create.id)
        assert (find_write(tx, update.id) is None) == (answer is not None), "an open intent is never too old"


def test_own_writes_outlast_what_may_still_be_delivered(store: Store, clock: Clock) -> None:
    write = store.run(lambda tx: an_own_write(tx, result=WriteResult.OK))
    clock.advance(34 * DAY_MS)
    assert upkeep(store, clock).prune()["own writes"] == 0
    clock.advance(2 * DAY_MS)
    assert upkeep(store, clock).prune()["own writes"] == 1
    with store.reading() as tx:
        assert find_write(tx, write.id) is None


def test_jobs_that_are_done_go_and_dead_letters_never(store: Store, clock: Clock) -> None:
    letter = bury(store, JobRequest(H, JobKind.READ, "dead"))

    def work(tx: Tx) -> None:
        tx.jobs.put_many([JobRequest(S, JobKind.WRITE, f"k{number}") for number in range(250)])
        tx.jobs.finish_many(tx.jobs.claim(S, None, 300, "w1"))
        tx.jobs.put(JobRequest(S, JobKind.WRITE, "waits", due_ms=tx.now_ms + 900 * DAY_MS))

    store.run(work)
    clock.advance(6 * DAY_MS)
    assert upkeep(store, clock).prune()["done jobs"] == 0
    clock.advance(2 * DAY_MS)
    assert upkeep(store, clock).prune()["done jobs"] == 250
    clock.advance(400 * DAY_MS)
    upkeep(store, clock).prune()
    with store.reading() as tx:
        assert [job.id for job in tx.dead_letters.latest()] == [letter.id]
        assert tx.jobs.pending_keys(S, JobKind.WRITE, ["waits"]) == {"waits"}


def test_conflicts_go_once_closed_and_what_was_set_aside_with_age(store: Store, clock: Clock) -> None:
    def fill(tx: Tx) -> None:
        tx.conflicts.put(Conflict(H, "1", "city", "Lyon", "policy"), "l1")
        tx.conflicts.put(Conflict(H, "2", "city", "Oslo", "policy"), "l2")
        tx.rejected.put(H, "no id", b"{}")
        tx.conflicts.close([tx.conflicts.of_record(H, "1")[0].id])

    store.run(fill)
    clock.advance(31 * DAY_MS)
    assert {name: n for name, n in upkeep(store, clock).prune().items() if n} == {"webhooks set aside": 1}
    clock.advance(60 * DAY_MS)
    assert upkeep(store, clock).prune()["closed conflicts"] == 1
    with store.reading() as tx:
        assert [row.conflict.record_id for row in tx.conflicts.list()] == ["2"]


def test_what_the_brake_counted_long_ago_goes(store: Store, clock: Clock) -> None:
    def count(tx: Tx) -> None:
        tx.holds.count("hubspot:IMPORT/7", 0, [])
        tx.holds.record_overwrites("hubspot:IMPORT/7", ["l1", "l2"])

    store.run(count)
    assert not any(upkeep(store, clock).prune().values())
    clock.advance(36 * DAY_MS)
    counts = {name: n for name, n in upkeep(store, clock).prune().items() if n}
    assert counts == {"counted overwrites": 2, "counted sources": 1}


def test_the_ledger_and_the_tombstones_stay(store: Store, clock: Clock) -> None:
    def fill(tx: Tx) -> None:
        tx.purchases.put(Purchase("pi_1", "ch_1", "cus_1", "", "", 100, "eur", 1, ""))
        tx.tombstones.put(H, "1", ["h"])

    store.run(fill)
    clock.advance(4_000 * DAY_MS)
    upkeep(store, clock).prune()
    with store.reading() as tx:
        assert tx.purchases.get_many(["pi_1"]).get("pi_1")
        assert tx.tombstones.match(["h"]).keys() == {"h"}


def test_a_dry_run_counts_the_same_and_changes_nothing(store: Store, clock: Clock) -> None:
    def fill(tx: Tx) -> None:
        tx.events.put_many([an_event(f"e{number}", str(number)) for number in range(150)])
        tx.jobs.put_many([JobRequest(S, JobKind.WRITE, f"k{number}") for number in range(150)])
        tx.jobs.finish_many(tx.jobs.claim(S, None, 300, "w1"))
        an_own_write(tx, result=WriteResult.OK)

    store.run(fill)
    clock.advance(40 * DAY_MS)
    seen: list[tuple[str, int]] = []
    would = upkeep(store, clock).prune(dry=True, progress=lambda name, rows: seen.append((name, rows)))
    with store.reading() as tx:
        assert (count_events(tx)["total"], count_done(tx, S, 0)) == (150, 150)
    assert sum(rows for name, rows in seen if name == "done jobs") == would["done jobs"] == 150
    assert upkeep(store, clock).prune() == would
    with store.reading() as tx:
        assert [row.kind for row in tx.journal.latest(5)] == ["pruned"]


def test_it_works_in_stretches_and_rests_between_them(store: Store, clock: Clock) -> None:
    def work(tx: Tx) -> None:
        tx.jobs.put_many([JobRequest(S, JobKind.WRITE, "k")])
        tx.jobs.finish_many(tx.jobs.claim(S, None, 1, "w1"))

    for _ in range(450):
        clock.advance(1)
        store.run(work)
    clock.advance(8 * DAY_MS)
    keeper = upkeep(store, clock)
    seen: list[int] = []
    assert (
        keeper.prune(progress=lambda name, rows: seen.append(rows) if name == "done jobs" else None)["done jobs"] == 450
    )
    assert max(seen) <= 200, "never much more at once than went well before"
    assert isinstance(keeper.clock, Restful)
    assert keeper.clock.rested_ms >= 2 * 5


def test_once_a_day_by_one_process(store: Store, other_store: Store, clock: Clock) -> None:
    one, other = upkeep(store, clock), upkeep(other_store, clock)
    assert one.run_if_due() is not None
    assert other.run_if_due() is None
    assert one.run_if_due() is None
    clock.advance(DAY_MS)
    assert other.run_if_due() is not None
    assert one.run_if_due() is None
    with store.reading() as tx:
        today = tx.settings.get(PRUNED_ON)
    assert store.run(lambda tx: tx.settings.swap(PRUNED_ON, "another day", "x")) is False
    assert store.run(lambda tx: tx.settings.swap(PRUNED_ON, str(today), "x")) is True


def test_it_stops_when_told(store: Store, clock: Clock) -> None:
    keeper = upkeep(store, clock)
    keeper.stopping = threading.Event()
    keeper.stopping.set()
    bury(store, JobRequest(H, JobKind.READ, "dead"))
    keeper.run()
    assert not any(keeper.prune().values())
    with store.reading() as tx:
        assert tx.settings.get(PRUNED_ON) is None


def test_the_least_id_parts_what_was_made_before_from_what_was_made_later(store: Store, clock: Clock) -> None:
    early = store.run(lambda tx: tx._session.make_id())
    clock.advance(1)
    late = store.run(lambda tx: tx._session.make_id())
    assert early < least_id(made_ms(late)) < late


def test_the_journal_is_kept_as_long_as_configured(store: Store, clock: Clock) -> None:
    for number in range(3):
        store.run(lambda tx, n=number: tx.journal.add("linked", H, str(n), "", {}))  # type: ignore[misc] # binds the loop's value
        clock.advance(150 * DAY_MS)
    assert upkeep(store, clock).prune()["journal"] == 1
    with store.reading() as tx:
        assert [row.record_id for row in tx.journal.latest(9) if row.kind == "linked"] == ["2", "1"]
    task = RetentionTask(store, RetentionPolicy(journal_days=200), Restful(clock))
    assert task.prune()["journal"] == 1
