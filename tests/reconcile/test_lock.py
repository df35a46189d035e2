"""Only one comparison runs at a time, and a killed one does not block the others for ever."""

from __future__ import annotations

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.errors import GuardError
from wanesync.reconcile.lock import LOCK_MS, RUN_LOCK, RunLock
from wanesync.store.database import Store


def test_the_second_is_refused(store: Store, other_store: Store) -> None:
    with (
        RunLock(store, "first"),
        pytest.raises(GuardError, match=r"another diff or reconcile .* ends by itself in 60 s"),
    ):
        RunLock(other_store, "second").__enter__()
    with RunLock(other_store, "second"):
        pass


def test_a_killed_one_holds_it_for_a_minute(store: Store, other_store: Store, clock: Clock) -> None:
    # As a killed process leaves it: taken, and never given back.
    store.run(RunLock(store, "killed")._take)
    # Two processes measure the database's time, a little apart.
    clock.advance(LOCK_MS - 2000)
    with pytest.raises(GuardError, match=r"in [123] s"):
        RunLock(other_store, "next").__enter__()
    clock.advance(4000)
    with RunLock(other_store, "next"):
        pass


def test_renewed_it_lasts_on(store: Store, other_store: Store, clock: Clock) -> None:
    with RunLock(store, "first") as lock:
        for _ in range(5):
            clock.advance(LOCK_MS - 2000)
            assert lock.renew()
        with pytest.raises(GuardError):
            RunLock(other_store, "second").__enter__()


def test_what_ran_out_and_was_taken_is_neither_renewed_nor_given_back(
    store: Store, other_store: Store, clock: Clock
) -> None:
    with RunLock(store, "slow") as slow:
        clock.advance(LOCK_MS + 2000)
        other_store.run(RunLock(other_store, "next")._take)
        assert not slow.renew()
    with store.reading() as tx:
        assert (tx.settings.get(RUN_LOCK) or "").startswith("next ")
