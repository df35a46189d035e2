"""A stored value that cannot be decrypted: the run names its record and goes on, and a read replaces a copy."""

from __future__ import annotations

import pytest

from tests.support.damage import damage
from tests.support.reconcile_harness import Sides, compare, make_reconcile, make_runtime
from tests.support.store_rows import a_link
from wanesync.core.errors import DecryptionFailed
from wanesync.core.jobs import Job, JobKind
from wanesync.core.model import Side
from wanesync.ops.alarms import read_alarms
from wanesync.store.database import Store
from wanesync.sync.bad_rows import note_damaged
from wanesync.sync.reader import Reader
from wanesync.sync.runtime import Runtime

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


@pytest.fixture
def sides(store: Store) -> Sides:
    made = Sides(store.now_ms())
    for number in range(1, 6):
        made.add_contact(str(number), email=f"p{number}@example.com", city="Lyon")
        made.add_customer(f"cus_{number}", email=f"p{number}@example.com")
    return made


@pytest.fixture
def runtime(store: Store, sides: Sides) -> Runtime:
    """Every record is stored; the pairs 1 and 2 are linked."""
    made = make_runtime(store, sides)
    make_reconcile(made).queue(compare(made))
    with store.transaction() as tx:
        for number in "12":
            tx.links.put(a_link(f"k{number}", number, f"cus_{number}"))
        for side in Side:
            tx.jobs.claim(side, None, 99, "gone")
    return made


@pytest.mark.case(8)
@pytest.mark.parametrize(
    ("value", "condition", "named"),
    [
        ("records content", "side = 'hubspot' AND id = '3'", (HUBSPOT, "3")),
        ("records content", "side = 'stripe' AND id = 'cus_2'", (STRIPE, "cus_2")),
        ("links base", "id = 'k1'", (HUBSPOT, "1")),
    ],
)
def test_a_run_names_the_record_and_compares_the_others(
    store: Store, runtime: Runtime, value: str, condition: str, named: tuple[Side, str]
) -> None:
    table, column = value.split()
    damage(store, table, column, condition)
    report = compare(runtime, fresh=True)
    assert {(side, record_id) for side, record_id, _ in report.set_aside} == {named}
    assert all("altered or moved" in reason for _, _, reason in report.set_aside)
    others = {one.hubspot_id for one in report.differences() if one.hubspot_id} | {
        one.stripe_id.removeprefix("cus_") for one in report.differences() if one.stripe_id
    }
    assert {"4", "5"} <= others
    make_reconcile(runtime).queue(report)


@pytest.mark.case(8)
def test_a_damaged_copy_is_named_by_an_alarm_and_replaced_by_a_read(store: Store, runtime: Runtime) -> None:
    damage(store, "records", "content", "side = 'hubspot' AND id = '3'")
    damage(store, "records", "content", "side = 'stripe' AND id = 'cus_4'")
    report = compare(runtime, fresh=True)
    named = [alarm for alarm in read_alarms(store) if "cannot be decrypted" in alarm]
    assert named == ["hubspot 3, stripe cus_4: the stored copy cannot be decrypted: wanesync reconcile reads it again"]
    make_reconcile(runtime).queue(report)
    for side, key in ((HUBSPOT, "3"), (STRIPE, "cus_4")):
        (job,) = take(runtime, side)
        assert (job.kind, job.key) == (JobKind.READ, key)
        with store.transaction() as tx:
            (call,) = Reader(runtime).prepare(tx, [job])
        answer = call.send()
        store.run(lambda tx, call=call, answer=answer: call.then(tx, answer))  # type: ignore[misc] # binds the loop's values
    with store.reading() as tx:
        healed = tx.records.get_many([(HUBSPOT, "3"), (STRIPE, "cus_4")])
    assert [(one.record.values["email"], one.stale, one.note) for one in healed.values()] == [
        ("p3@example.com", False, None),
        ("p4@example.com", False, None),
    ]
    assert [alarm for alarm in read_alarms(store) if "cannot be decrypted" in alarm] == []


def take(runtime: Runtime, side: Side) -> list[Job]:
    with runtime.store.transaction() as tx:
        tx.processes.beat(runtime.name, "all", 1)
        return tx.jobs.claim(side, [JobKind.READ], 99, runtime.name)


def test_only_a_record_has_a_copy_that_a_read_replaces(store: Store) -> None:
    with store.transaction() as tx:
        note_damaged(tx, DecryptionFailed("altered", "links", "k1"))
        note_damaged(tx, DecryptionFailed("altered", "records", "stripe:cus_1"))
        assert tx.jobs.pending_keys(STRIPE, JobKind.READ, ["cus_1"]) == {"cus_1"}
        assert sum(row["ready"] for row in tx.jobs.depth()) == 1
