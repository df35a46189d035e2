"""Settings and pauses in the store."""

from __future__ import annotations

import pytest

from tests.support.store_fixtures import Clock
from tests.support.store_reads import all_settings
from wanesync.core.model import Side
from wanesync.store import Store, TransactionConflict
from wanesync.store.tables.settings import operator_pause


def test_settings_and_pauses_are_kept(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        assert tx.settings.get("writes") is None
        tx.settings.put("writes", "off")
        tx.settings.put("writes", "on")
        assert all_settings(tx) == {"writes": "on"}
        tx.pauses.set("stripe", "401", False, tx.now_ms + 60_000)
        began_ms = tx.now_ms
    clock.advance(1_000)
    with store.transaction() as tx:
        tx.pauses.set("stripe", "refused", True, 7)
        tx.pauses.set("hubspot:events", "403", False, 8)
    with store.transaction() as tx:
        pause = tx.pauses.get_all()["stripe"]
        assert (pause.reason, pause.away, pause.since_ms, pause.probe_ms) == ("refused", True, began_ms, 7)
        tx.pauses.clear("stripe")
        assert set(tx.pauses.get_all()) == {"hubspot:events"}


def test_a_setting_is_added_once_and_swapped_only_from_its_value(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        assert tx.settings.add("portal", "1") == "1"
    with other_store.transaction() as tx:
        assert tx.settings.add("portal", "2") == "1", "the first value stays"
        assert not tx.settings.swap("portal", "2", "3")
        assert tx.settings.swap("portal", "1", "3")
        assert tx.settings.get_shared("portal") == "3"
        assert tx.settings.get_shared("absent") is None


def test_pauses_of_an_operator_have_a_name_of_their_own() -> None:
    assert len({operator_pause(side) for side in Side} | set(map(str, Side))) == 4


def test_what_was_made_of_a_value_that_another_transaction_changed_is_not_set(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        tx.settings.change("field_definitions", None, "1")
        tx.settings.change("field_definitions", "1", "2")
    for before in (None, "1"):
        with pytest.raises(TransactionConflict, match="field_definitions"), other_store.transaction() as tx:
            tx.settings.change("field_definitions", before, "3")
    with store.reading() as tx:
        assert tx.settings.get("field_definitions") == "2"
