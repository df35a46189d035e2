"""The status holds the state of everything at one moment, under the keys of its JSON document."""

from __future__ import annotations

import json

from tests.support.lanes import queue, start_processes
from wanesync.core.change_guard import HoldKind
from wanesync.core.jobs import JobKind
from wanesync.core.model import Conflict, Record, Side, StoredRecord
from wanesync.ops.status import read_status
from wanesync.store import Store

KEYS = (
    "database", "writes", "first_listing", "lanes", "limits", "pauses", "records", "missing", "still_held", "links",
    "conflicts", "kept_values",
    "rejected", "open_writes", "purchases", "account_purchases", "processes", "holds", "alarms",
    "alarm_codes", "webhooks", "last_catch_up_s", "last_reconcile_s", "api_version", "timeliness",
)  # fmt: skip


def test_the_document_has_every_key_and_plain_values(store: Store) -> None:
    start_processes(store)
    with store.transaction() as tx:
        tx.rates.set_limit("stripe", 100)
        tx.pauses.set("stripe", "timed out", away=True, probe_at_ms=0)
        tx.holds.open("hubspot:CRM_UI/jane@example.com", HoldKind.BRAKE)
        tx.conflicts.put(Conflict(Side.STRIPE, "cus_1", "city", "Bonn", "differs"), "")
        tx.rejected.put(Side.STRIPE, "no id", b"{}")
    document = read_status(store).as_json()
    assert tuple(document) == KEYS
    found = json.loads(json.dumps(document))
    assert (found["writes"], found["first_listing"], found["conflicts"], found["rejected"]) == ("off", True, 1, 1)
    assert found["limits"] == {"stripe": {"configured_per_s": 100, "effective_per_s": 100}}
    (pause,) = found["pauses"]
    assert {*pause} == {"name", "reason", "away", "for_s"}
    (hold,) = found["holds"]
    assert (hold["source"], hold["kind"], hold["state"]) == ("hubspot:CRM_UI/j***", "brake", "open")
    assert {*hold} == {"id", "source", "kind", "state", "people", "fields", "for_s"}
    assert [{*process} for process in found["processes"]] == [{"name", "lanes", "up_s", "heartbeat_s"}] * 2
    assert len(found["alarms"]) == 3
    empty = {"within": 0, "beyond": 0, "share": None}
    timely = {"target_s": 30.0, "last_hour": empty, "last_day": empty, "waiting": 0, "oldest_s": 0.0, "oldest": ""}
    assert found["timeliness"] == timely


def test_a_due_or_running_job_makes_it_busy(store: Store) -> None:
    assert not read_status(store).busy
    queue(store, Side.STRIPE, JobKind.WRITE, 1)
    assert read_status(store).busy
    store.run(lambda tx: tx.jobs.claim(Side.STRIPE, None, 1, "w1"))
    assert read_status(store).busy


def test_records_that_reads_do_not_find_are_counted_and_named(store: Store) -> None:
    with store.transaction() as tx:
        for record_id in ("1", "2"):
            record = Record(Side.HUBSPOT, record_id)
            tx.records.put_many([StoredRecord(record, 0, 0, 1, absent_ms=1, missing=record_id == "2")])
    missing = read_status(store).missing
    assert (missing.count, missing.first) == (1, ["hubspot:2"])
