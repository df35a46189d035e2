"""The queue is read page by page, and the jobs of a person are found by an address or an id."""

from __future__ import annotations

import pytest

from tests.support.core_builders import contact, customer, link
from tests.support.lanes import bury
from wanesync.core.errors import ConfigError
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side, StoredRecord, guest_key
from wanesync.core.operating.queue_filter import QueueFilter, QueueState
from wanesync.core.purchases import Purchase, PurchaseState
from wanesync.ops.queue.queue_lists import find_job_keys, read_queue, read_queue_up_to
from wanesync.store import Store, Tx
from wanesync.store.tables.operating.job_lists import Position

H, S = Side.HUBSPOT, Side.STRIPE


def test_pages_follow_one_another_with_counts_and_suggestions(store: Store) -> None:
    for number in range(5):
        bury(store, JobRequest(S, JobKind.READ, f"cus_{number}"), DeadClass.GONE if number % 2 else DeadClass.REFUSED)
    store.run(lambda tx: tx.jobs.put(JobRequest(H, JobKind.READ, "7")))
    first = read_queue(store, QueueFilter(side=S), limit=3)
    assert (len(first.jobs), first.counts[QueueState.DEAD].count, first.counts[QueueState.DUE].count) == (3, 5, 1)
    assert [(one.value, one.count) for one in first.suggestions["code"]] == [("refused", 3), ("gone", 2)]
    second = read_queue(store, QueueFilter(side=S), first.after, limit=3)
    assert (len(second.jobs), second.after) == (2, None)
    assert len({one.job.id for page in (first, second) for one in page.jobs}) == 5
    due = read_queue(store, QueueFilter(QueueState.DUE))
    assert [one.job.key for one in due.jobs] == ["7"]
    assert due.counts[QueueState.WAITING].count == 0
    found, now_ms = read_queue_up_to(store, QueueFilter(reason="SAID NO"), 2)
    assert (len(found), now_ms > 0) == (2, True)
    assert read_queue(store, QueueFilter(), Position(0, "")).jobs == []


def test_the_jobs_of_a_person_are_found_by_address_and_by_every_id(store: Store) -> None:
    hmac = store.hmac("ann@example.com")

    def put(tx: Tx) -> None:
        rows = [StoredRecord(one, 1, 1, 1, hmacs=frozenset({hmac})) for one in (contact("7"), customer("cus_7"))]
        tx.records.put_many(rows)
        tx.links.put(link("7", "cus_7"))
        tx.purchases.put(Purchase("pi_1", "ch_1", "cus_7", "ann@example.com", hmac, 100, "eur", 1, ""))
        tx.purchases.set_state("pi_1", PurchaseState.WAITING)

    store.run(put)
    bury(store, JobRequest(S, JobKind.WRITE, "contact:7"))
    bury(store, JobRequest(H, JobKind.PURCHASE, "pi_1"))
    bury(store, JobRequest(H, JobKind.READ, "8"))
    for person in ("Ann@Example.com", "7", "cus_7", "pi_1", "ch_1"):
        found = read_queue(store, QueueFilter(person=person))
        assert sorted(one.job.key for one in found.jobs) == ["contact:7", "pi_1"], person
        assert sum(one.count for one in found.suggestions["kind"]) == 2
    with store.reading() as tx:
        assert guest_key(hmac) in find_job_keys(store, tx, "ann@example.com")
    with pytest.raises(ConfigError, match="the history of the person"):
        read_queue(store, QueueFilter(QueueState.DONE, person="7"))
