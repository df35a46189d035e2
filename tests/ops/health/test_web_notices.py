"""What web processes report about themselves: each its own line, until it ends or reports nothing."""

from __future__ import annotations

from functools import partial

from tests.support.store_fixtures import Clock
from wanesync.ops.health.web_notices import FRESH_MS, find_notice_alarms, put_notice
from wanesync.store import Store
from wanesync.store.database import Tx


def note(process: str, text: str, tx: Tx) -> None:
    put_notice(tx, process, text)


def find(store: Store) -> list[str]:
    with store.reading() as tx:
        return [alarm.text for alarm in find_notice_alarms(tx)]


def test_each_process_has_its_own_line_and_equal_ones_are_one(store: Store) -> None:
    for process, text in (("a", "one"), ("b", "two"), ("c", "two")):
        store.run(partial(note, process, text))
    assert find(store) == ["one", "two"]
    store.run(lambda tx: put_notice(tx, "b", ""))
    assert find(store) == ["one", "two"]
    store.run(lambda tx: put_notice(tx, "c", ""))
    assert find(store) == ["one"]
    store.run(lambda tx: put_notice(tx, "a", ""))
    assert find(store) == []


def test_a_process_that_was_killed_is_forgotten(store: Store, clock: Clock) -> None:
    store.run(lambda tx: put_notice(tx, "a", "one"))
    clock.advance(FRESH_MS + 1)
    assert find(store) == []
