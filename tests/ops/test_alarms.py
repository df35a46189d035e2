"""One alarm for each thing that is wrong, with what to do about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import link
from tests.support.lanes import bury, queue, read_lane, start_processes
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.change_guard import HeldValue, HoldKind, HoldState, field_source
from wanesync.core.jobs import MAX_TURNS, DeadClass, JobKind, JobRequest, WaitCode
from wanesync.core.model import Parked, ParkReason, Side
from wanesync.core.purchases import Purchase, PurchaseState
from wanesync.ops.alarms import WEB, read_alarms
from wanesync.ops.pauses import pause_sides
from wanesync.store import Store, Tx
from wanesync.sync.lost_updates import HOT_RECORD

H, S = Side.HUBSPOT, Side.STRIPE
HOUR_MS = 3_600_000
NO_WEB = "no web process runs, so webhooks are not received: start wanesync serve (or up)"


def test_where_everything_runs_there_is_no_alarm(store: Store) -> None:
    start_processes(store)
    assert read_alarms(store) == []


def test_a_lane_without_a_worker_and_a_missing_web_process_raise_alarms(store: Store, clock: Clock) -> None:
    start_processes(store)
    with store.transaction() as tx:
        tx.processes.remove("w1")
        tx.processes.beat("w2", "stripe", 1)
    assert read_alarms(store) == ["hubspot: no worker runs this lane: start wanesync worker"]
    clock.advance(7_000)
    queue(store, S, JobKind.READ, 1)
    with store.transaction() as tx:
        # Postgres has a clock of its own, by which the heartbeats are still fresh.
        for name in ("w2", "d1"):
            tx.processes.remove(name)
    assert read_alarms(store) == [
        "hubspot: no worker runs this lane: start wanesync worker",
        "stripe: 1 job is due and no worker runs this lane: start wanesync worker",
        NO_WEB,
    ]


def test_before_the_first_listing_nothing_needs_to_run(store: Store) -> None:
    (alarm,) = read_alarms(store)
    assert alarm.startswith("first listing missing: no record is created until ")


def test_a_job_that_waits_for_a_later_time_is_not_late(store: Store, clock: Clock) -> None:
    start_processes(store)
    now_ms = store.now_ms()
    store.run(lambda tx: tx.jobs.put(JobRequest(H, JobKind.READ, "1", due_ms=now_ms + 24 * HOUR_MS)))
    clock.advance(20 * HOUR_MS)
    store.run(lambda tx: tx.jobs.put(JobRequest(H, JobKind.READ, "2")))
    start_processes(store)
    assert read_lane(store, H).oldest_s == 0
    assert read_alarms(store) == []
    store.run(lambda tx: tx.jobs.claim(H, None, 5, "w1"))
    clock.advance(61_000)
    start_processes(store)
    state = read_lane(store, H)
    assert (state.due, state.running, state.oldest_s) == (0, 1, 61)
    assert read_alarms(store) == ["hubspot: the oldest job that is due or running is 61 s old"]


def test_a_purchase_without_a_contact_is_listed_and_raises_no_alarm(store: Store) -> None:
    start_processes(store)
    bury(store, JobRequest(H, JobKind.PURCHASE, "pi_1"), DeadClass.UNMATCHED)
    assert read_alarms(store) == []
    assert read_lane(store, H).dead_classes == {"unmatched": 1}
    bury(store, JobRequest(H, JobKind.READ, "1"), DeadClass.GONE)
    assert read_alarms(store) == ["hubspot: 1 dead letter (1 gone): see wanesync jobs --dead, then wanesync retry"]


@pytest.mark.parametrize(
    ("away", "alarm"),
    [(True, "stripe is unreachable: timed out"), (False, "stripe is paused: timed out")],
)
def test_a_side_that_is_unreachable_or_paused_raises_an_alarm(store: Store, away: bool, alarm: str) -> None:
    start_processes(store)
    store.run(lambda tx: tx.pauses.set("stripe", "timed out", away, 0))
    assert read_alarms(store) == [alarm]


def test_a_pause_of_an_operator_names_the_operator(store: Store) -> None:
    start_processes(store)
    pause_sides(store, [S], ADA)
    assert read_alarms(store) == ["stripe is paused by an operator (wanesync resume ends it), for 0 s"]


def test_a_paused_field_and_held_values_raise_an_alarm_each_until_they_are_closed(store: Store) -> None:
    start_processes(store)
    store.run(lambda tx: tx.holds.open(field_source("street"), HoldKind.FIELD))
    assert read_alarms(store) == ["field:street: paused by an operator"]

    def hold_one(tx: Tx) -> str:
        hold_id, _ = tx.holds.open("hubspot:IMPORT/7", HoldKind.BRAKE)
        tx.links.put(link())
        tx.holds.put(link().id, "city", HeldValue(H, "Ulm", "Bonn", hold_id))
        return hold_id

    hold_id = store.run(hold_one)
    held = "hubspot:IMPORT/7: 1 value of 1 person is held: see wanesync hold list"
    assert sorted(read_alarms(store)) == ["field:street: paused by an operator", held]
    store.run(lambda tx: tx.holds.close(hold_id, HoldState.RELEASED))
    assert read_alarms(store) == ["field:street: paused by an operator"]


def test_a_web_process_does_not_replace_a_worker(store: Store) -> None:
    start_processes(store)
    with store.transaction() as tx:
        tx.processes.remove("w1")
        tx.processes.beat("d2", WEB, 1)
    assert read_alarms(store) == [f"{side}: no worker runs this lane: start wanesync worker" for side in Side]


def test_a_batch_that_fails_over_and_over_is_named_from_its_third_failure(store: Store) -> None:
    start_processes(store)
    for _ in range(2):
        store.run(lambda tx: tx.failed_batches.note("stripe.claim", "w1", "25P03"))
        assert read_alarms(store) == []
    store.run(lambda tx: tx.failed_batches.note("stripe.claim", "w1", "25P03"))
    (alarm,) = read_alarms(store)
    assert alarm.startswith("one batch fails over and over at stripe.claim (3 times in 0 s: 25P03): see wanesync jobs")


def test_jobs_given_up_because_of_a_value_are_named_with_the_way_out(store: Store) -> None:
    start_processes(store)
    for number in range(5):
        bury(store, JobRequest(H, JobKind.READ, f"10{number}"), DeadClass.UNSTORABLE)
    bury(store, JobRequest(S, JobKind.WRITE, "contact:7"), DeadClass.DAMAGED)
    alarms = [alarm for alarm in read_alarms(store) if "dead letter" not in alarm]
    assert [alarm.partition(":")[2] for alarm in alarms] != []
    unstorable, damaged = alarms
    assert unstorable.startswith("hubspot 10")
    assert "and 2 more: a value cannot be stored: shorten or correct it there, then wanesync retry" in unstorable
    assert damaged.startswith("stripe contact:7: a stored value cannot be decrypted: see wanesync jobs --dead")


def test_a_job_claimed_twenty_times_without_a_call_is_named(store: Store) -> None:
    start_processes(store)
    queue(store, S, JobKind.WRITE, 1)

    def claim(tx: Tx) -> None:
        (job,) = tx.jobs.claim(S, [JobKind.WRITE], 1, "w1")
        tx.jobs.reschedule(job, tx.now_ms, "its lock is taken", count=False)

    for _ in range(MAX_TURNS):
        store.run(claim)
    (alarm,) = read_alarms(store)
    assert "the write job of contact:0 was claimed 20 times without a call (its lock is taken)" in alarm
    assert "wanesync reconcile" in alarm


def test_a_payment_whose_address_is_on_several_contacts_is_named(store: Store) -> None:
    start_processes(store)

    def wait(tx: Tx) -> None:
        payment = Purchase("pi_1", "ch_1", "", "", "", 500, "eur", 0, created_ms=tx.now_ms - 30_000)
        tx.purchases.put(payment)
        tx.purchases.set_state("pi_1", PurchaseState.WAITING, waits_for=WaitCode.RIVALS)

    store.run(wait)
    (alarm,) = read_alarms(store)
    assert "pi_1" in alarm
    assert "merge them in HubSpot" in alarm


def test_a_record_with_thousands_of_events_is_named_for_ten_minutes(store: Store) -> None:
    start_processes(store)
    store.run(lambda tx: tx.settings.put(HOT_RECORD[H], f"{tx.now_ms} 123"))
    (alarm,) = read_alarms(store)
    assert alarm.startswith("hubspot 123: more than 1,000 changes of one record at once")
    store.run(lambda tx: tx.settings.put(HOT_RECORD[H], f"{tx.now_ms - 600_001} 123"))
    assert read_alarms(store) == []


def test_fields_that_are_refused_are_named_with_the_reason_and_taken_addresses_are_not(store: Store) -> None:
    start_processes(store)
    parked = {"email": Parked(H, "a@example.com"), "city": Parked(H, "Bonn", ParkReason.PORTAL_RULE)}
    store.run(lambda tx: tx.links.put(replace(link(), parked=parked)))
    (alarm,) = read_alarms(store)
    assert alarm.startswith("not written, because it is refused there: contact 1 city (portal_rule): correct the value")


def test_payments_of_accounts_are_named_for_a_day_and_counted_for_ever(store: Store, clock: Clock) -> None:
    start_processes(store)
    with store.transaction() as tx:
        for n, payer in enumerate(("acct_1", "acct_2", "cus_1", "")):
            tx.purchases.put(
                Purchase(f"pi_{n}", f"ch_{n}", payer, "", "", 500, "eur", 0, state=PurchaseState.UNMATCHED)
            )
        tx.purchases.put(Purchase("pi_9", "ch_9", "acct_1", "", "", 500, "eur", 0))
        assert tx.purchases.count_of_accounts() == 2
        assert tx.purchases.count_of_accounts(tx.now_ms + 1) == 0
    [alarm] = read_alarms(store)
    assert alarm.startswith("stripe: 2 payments of the last day were made by an account (acct_…) of Accounts v2")
