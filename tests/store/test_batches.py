"""Batches of the store: what goes to the database together, and what that must not change."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.store.tables.test_pending_writes import a_create, an_update
from tests.store.tables.test_records import a_link, a_seen
from tests.support.store_reads import held_locks
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Note, NoteCode, Side, WriteResult
from wanesync.store import LinkMoved, Store
from wanesync.store.database import Tx
from wanesync.store.notify import WorkSubscription
from wanesync.store.postgres import PostgresDatabase

H, S = Side.HUBSPOT, Side.STRIPE


def note_and_fail(tx: Tx) -> None:
    tx.journal.add("lost", H, "1", "", {})
    raise ZeroDivisionError


def test_what_waits_is_seen_by_whoever_reads_its_table(store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put_many([a_create("w1", "h1"), a_create("w2", "h2")])
        assert tx.pending_writes.open_ids(["w1", "w2"]) == {"w1", "w2"}
        tx.pending_writes.record_result("w1", WriteResult.OK)
        tx.pending_writes.record_result("w2", WriteResult.LOST)
        tx.pending_writes.mark_sent("w2")
        assert tx.pending_writes.open_ids(["w1", "w2"]) == set()
        assert tx.pending_writes.open_for_hmacs(["h1", "h2"]) == {}
        tx.journal.add("linked", H, "1", "", {"n": 1})
        assert [entry.kind for entry in tx.journal.of(["1"], 9)] == ["linked"]
    with store.reading() as tx:
        found = [tx.pending_writes.get(write_id) for write_id in ("w1", "w2")]
        assert [(own.result, own.sent_ms > 0) for own in found if own] == [
            (WriteResult.OK, False),
            (WriteResult.LOST, True),
        ]


def test_what_waits_keeps_its_order_on_one_row(store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put(an_update("w1"))
        tx.pending_writes.mark_sent("w1")
        tx.pending_writes.record_result("w1", WriteResult.OK)
        tx.pending_writes.put(replace(an_update("w1"), target_id="cus_9"))
    with store.reading() as tx:
        own = tx.pending_writes.get("w1")
        assert own is not None
        assert (own.target_id, own.result) == ("cus_9", None), "the last one said so"


def test_a_savepoint_takes_back_what_waits_in_it_and_nothing_else(store: Store) -> None:
    with store.transaction() as tx:
        tx.journal.add("before", H, "1", "", {})
        with pytest.raises(ZeroDivisionError), tx.savepoint():
            note_and_fail(tx)
        with tx.savepoint():
            tx.journal.add("after", H, "1", "", {})
    with store.reading() as tx:
        assert [entry.kind for entry in tx.journal.of(["1"], 9)] == ["after", "before"]


def test_nothing_that_waits_survives_its_transaction(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        note_and_fail(tx)
    with store.reading() as tx:
        assert tx.journal.of(["1"], 9) == []


def test_creates_of_a_batch_that_find_an_address_taken_are_not_stored(store: Store) -> None:
    with store.transaction() as tx:
        tx.pending_writes.put(a_create("w0", "h0"))
        taken = tx.pending_writes.put_many([a_create("w1", "h1", "h0"), a_create("w2", "h1"), an_update("w3")])
        assert set(taken) == {"w1", "w2"}, "w1 met w0; w2 came behind w1"
        assert taken["w1"] == "w0"
    with store.reading() as tx:
        assert tx.pending_writes.open_for_hmacs(["h0", "h1"]) == {"h0": "w0"}
        assert tx.pending_writes.open_ids(["w0", "w1", "w2", "w3"]) == {"w0", "w3"}


def test_links_of_a_batch_are_changed_and_added_or_none_is(store: Store) -> None:
    with store.transaction() as tx:
        tx.links.put_many([a_link("l1", "1", "a"), a_link("l2", "2", "b")])
        demoted = replace(a_link("l1", "1", "a", version=2), primary=False)
        tx.links.put_many([demoted, a_link("l3", "1", "c")])
    with pytest.raises(LinkMoved), store.transaction() as tx:
        tx.links.put_many([a_link("l2", "2", "b", version=2), a_link("l1", "1", "a", version=2)])
    with pytest.raises(LinkMoved), store.transaction() as tx:
        tx.links.put_many([a_link("l2", "2", "b", version=2), a_link("l2", "2", "b", version=2)])
    with store.reading() as tx:
        found = {link.id: (link.version, link.primary) for link in tx.links.get_many(["l1", "l2", "l3"])}
    assert found == {"l1": (2, False), "l2": (1, True), "l3": (1, True)}


def test_locks_of_a_batch_are_whole_or_gone(store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w", "all", 1)
        until_ms = tx.now_ms + 9_000
        assert tx.locks.take("b", "t0", "w", until_ms)
        assert tx.locks.take("x", "t1", "w", until_ms)
        assert tx.locks.take_each({"t1": ["a", "b"], "t2": ["c"], "t3": ["c", "d"]}, "w", until_ms) == {"t2"}
        assert held_locks(tx, "t1") == set(), "its job stands back with nothing"
        assert held_locks(tx, "t2") == {"c"}
        assert tx.locks.take_each({"t2": ["c", "d"], "t4": ["a"]}, "w", until_ms) == {"t2", "t4"}


def test_records_are_noted_before_they_are_read(store: Store) -> None:
    with store.transaction() as tx:
        tx.records.put_many([a_seen(H, "1"), a_seen(H, "2")])
        for record_id in ("1", "2"):
            tx.records.set_note(H, record_id, Note(NoteCode.AMBIGUOUS, record_id))
        assert tx.records.noted_ids(NoteCode.AMBIGUOUS)[H] == ["1", "2"]


def test_a_glance_sees_what_is_committed_and_writes_nothing(store: Store) -> None:
    with store.transaction() as tx:
        tx.jobs.put(JobRequest(H, JobKind.READ, "k"))
    with store.read_statementwise() as tx:
        assert tx.jobs.next_claimable(H) is not None
        assert tx.jobs.next_claimable(S) is None
        with pytest.raises(Exception, match="only reads"):
            tx.jobs.put(JobRequest(H, JobKind.READ, "other"))


def test_work_wakes_those_who_wait_for_its_lane(store: Store) -> None:
    with store.transaction() as tx:
        tx.jobs.put(JobRequest(H, JobKind.READ, "k"))
    store.wait_for_work(0)
    if isinstance(store._database, PostgresDatabase):
        # A listener signals once when it starts: wait for that before what follows.
        assert store._database.notifier.wait(WorkSubscription("no lane", seen=1), 20)
    heard: dict[str, list[bool]] = {}

    def wait(lane: str) -> None:
        while store.wait_for_work(0, lane):
            pass
        with store.transaction() as tx:
            tx.jobs.put(JobRequest(S, JobKind.READ, lane))
        heard[lane] = [store.wait_for_work(0, lane)]

    # One after the other, each in a thread of its own: a watch belongs to a thread.
    for lane in ("", S, H):
        thread = threading.Thread(target=wait, args=(lane,))
        thread.start()
        thread.join(20)
    assert heard[""] == [True]
    assert heard[S] == [True]
    if store.dialect == "postgres":
        assert heard[H] == [False], "a stripe job is no news there"


def test_only_what_waits_for_that_reason_under_those_keys_is_hurried(store: Store) -> None:
    with store.transaction() as tx:
        tx.processes.beat("w", "all", 1)
        tx.jobs.put_many([JobRequest(S, JobKind.READ, key) for key in ("a", "b", "c", "d")])
        for job in tx.jobs.claim(S, [JobKind.READ], 9, "w"):
            reason = "other" if job.key == "b" else "echo"
            tx.jobs.reschedule(job, tx.now_ms + 9_000, reason, count=False, fixed=job.key == "d", waits_for=reason)
    with store.transaction() as tx:
        assert tx.jobs.make_keys_due(S, JobKind.READ, ["a", "b", "d", "x"], "echo") == 1
        assert tx.jobs.make_keys_due(H, JobKind.READ, ["c"], "echo") == 0
        assert tx.jobs.make_keys_due(S, JobKind.READ, [], "echo") == 0
        assert [job.key for job in tx.jobs.claim(S, [JobKind.READ], 9, "w")] == ["a"]
