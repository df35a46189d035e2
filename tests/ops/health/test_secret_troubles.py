"""Alarms of secrets that a running process could not read again."""

from __future__ import annotations

from tests.support.lanes import start_processes
from tests.support.store_fixtures import Clock
from wanesync.ops.alarms import read_alarms
from wanesync.ops.health.secret_troubles import store_troubles
from wanesync.store import Store

KEYS = ("stripe.api_key", "database")
DENIED = "aws-sm:stripe is denied to this process by AWS Secrets Manager: give it a right"


def note(store: Store, process: str, **troubles: str) -> None:
    found = {key.replace("__", "."): text for key, text in troubles.items()}
    store.run(lambda tx: store_troubles(tx, process, KEYS, found, 600_000))
    start_processes(store)


def test_a_secret_is_named_since_when_it_fails_until_every_process_has_it(store: Store, clock: Clock) -> None:
    note(store, "worker 1", stripe__api_key=DENIED)
    clock.advance(30_000)
    note(store, "worker 1", stripe__api_key=DENIED)
    note(store, "worker 2", stripe__api_key="another text")
    assert read_alarms(store) == [f"stripe.api_key cannot be read again for 30 s, the old value stays: {DENIED}"]
    note(store, "worker 1")
    (alarm,) = read_alarms(store)
    assert alarm.endswith("another text")
    note(store, "worker 2")
    assert read_alarms(store) == []


def test_a_process_that_has_ended_raises_no_alarm_for_long(store: Store, clock: Clock) -> None:
    note(store, "worker 1", stripe__api_key=DENIED)
    clock.advance(600_001)
    start_processes(store)
    assert read_alarms(store) == []
    note(store, "worker 2", database="x is empty: store the value there")
    (alarm,) = read_alarms(store)
    assert alarm.startswith("database cannot be read again")
