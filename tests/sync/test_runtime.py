"""The runtime: ports that may be missing, ids, commits between failpoints, and locks."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from tests.support.live_sync import STRIPE, LiveSync
from wanesync.core.errors import WanesyncError
from wanesync.core.ids import made_ms
from wanesync.sync.runtime import LOCK_MS


def test_a_process_without_a_sides_key_says_how_to_start_it(live: LiveSync) -> None:
    no_hubspot, no_stripe = replace(live.runtime, hubspot_port=None), replace(live.runtime, stripe_port=None)
    with pytest.raises(WanesyncError, match="--side hubspot or --side all"):
        _ = no_hubspot.hubspot
    with pytest.raises(WanesyncError, match="--side stripe or --side all"):
        _ = no_stripe.stripe
    assert (no_hubspot.stripe, no_stripe.hubspot) == (live.runtime.stripe, live.runtime.hubspot)


def test_it_never_changes_after_it_was_built(live: LiveSync) -> None:
    with pytest.raises(FrozenInstanceError):
        live.runtime.options = replace(live.runtime.options, portal_id="2")  # type: ignore[misc] # what is tested


def test_a_process_that_takes_another_name_owns_its_locks_under_it(live: LiveSync) -> None:
    live.runtime.process.name = "w2"
    assert live.runtime.name == "w2"


def test_ids_are_unique_and_carry_their_time(live: LiveSync) -> None:
    ids = [live.runtime.new_id(1_700_000_000_000) for _ in range(3)]
    assert len(set(ids)) == 3
    assert {made_ms(each) for each in ids} == {1_700_000_000_000}


def test_a_commit_passes_a_failpoint_before_and_after_it(live: LiveSync) -> None:
    passed: list[str] = []
    runtime = replace(live.runtime, failpoint=passed.append)
    assert runtime.commit("outcomes", lambda tx: tx.now_ms) == live.clock.ms
    assert passed == ["outcomes.before", "outcomes.after"]


def test_a_job_gets_all_of_its_locks_or_none(live: LiveSync) -> None:
    live.queue(STRIPE, "contact:1")
    (job,) = live.claim(STRIPE)
    runtime = live.runtime
    with live.store.transaction() as tx:
        assert runtime.take_locks(tx, job, {"contact:1", "contact:2"})
        assert runtime.take_locks(tx, job, {"contact:1", "contact:3"}), "its own locks are no obstacle"
        assert runtime.lock_each(tx, {"other": ["contact:3", "contact:4"]}) == set()
        assert runtime.lock_each(tx, {"third": ["contact:4"]}) == {"third"}, "the other one was left without any"
        assert runtime.lock_each(tx, {}) == set()


def test_a_lock_ends_by_itself(live: LiveSync) -> None:
    live.store.run(lambda tx: live.runtime.lock_each(tx, {"first": ["contact:1"]}))
    assert live.store.run(lambda tx: live.runtime.lock_each(tx, {"second": ["contact:1"]})) == set()
    live.advance(LOCK_MS + 1)
    assert live.store.run(lambda tx: live.runtime.lock_each(tx, {"second": ["contact:1"]})) == {"second"}
