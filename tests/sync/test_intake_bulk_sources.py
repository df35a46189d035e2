"""A crowd's changes give way to those that people make one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wanesync.core.change_guard import BulkSources
from wanesync.core.jobs import JobKind, Priority
from wanesync.core.model import Event, Side
from wanesync.store import Store, open_store
from wanesync.sync.intake import store_events


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("sqlite::memory:", migrate=True)
    yield opened
    opened.close()


def event(record_id: str, source: str) -> Event:
    return Event(f"{record_id} {source}", Side.HUBSPOT, "updated", record_id, 1, {"city": "Ulm"}, source=source)


def test_reads_of_a_crowd_come_after_those_of_a_person(store: Store) -> None:
    bulk_sources = BulkSources(max_records=3)
    crowd = [event(str(n), "user:IMPORT/7") for n in range(10)]
    with store.transaction() as tx:
        store_events(tx, crowd, bulk_sources)
        store_events(tx, [event("77", "user:CRM_UI/userId:1"), event("5", "user:CRM_UI/userId:1")], bulk_sources)
        assert tx.jobs.next_claimable(Side.HUBSPOT) == (JobKind.READ, Priority.LIVE, 0)
        jobs = tx.jobs.claim(Side.HUBSPOT, [JobKind.READ], 100, "me")
    by_key = {job.key: job.priority for job in jobs}
    assert {key for key, priority in by_key.items() if priority == Priority.LIVE} == {"77", "5"}
    assert {priority for key, priority in by_key.items() if key not in ("77", "5")} == {Priority.LIVE_BULK}


def test_without_a_crowd_everything_is_live(store: Store) -> None:
    with store.transaction() as tx:
        store_events(tx, [event(str(n), "user:IMPORT/7") for n in range(10)], BulkSources(max_records=10))
        jobs = tx.jobs.claim(Side.HUBSPOT, [JobKind.READ], 100, "me")
    assert {job.priority for job in jobs} == {Priority.LIVE}


def test_a_crowd_that_comes_through_several_doors_is_one(store: Store) -> None:
    doors = [BulkSources(max_records=100), BulkSources(max_records=100)]
    first, second, later = (
        [event(str(n), "user:IMPORT/7") for n in numbers] for numbers in (range(60), range(60, 120), range(120, 121))
    )
    with store.transaction() as tx:
        store_events(tx, first, doors[0])
        store_events(tx, second, doors[1])
        store_events(tx, later, doors[1])
        jobs = tx.jobs.claim(Side.HUBSPOT, [JobKind.READ], 200, "me")
    by_key = {int(job.key): job.priority for job in jobs}
    assert {by_key[n] for n in range(60)} == {Priority.LIVE}
    assert {by_key[n] for n in range(60, 121)} == {Priority.LIVE_BULK}
