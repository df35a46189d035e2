"""The marker outside the database: an older state of the database creates nothing before both sides were listed."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.ids import make_id
from wanesync.ops.alarms import read_alarms
from wanesync.store import Store
from wanesync.store.tables.settings import GENERATION, LISTED, RESTORED, UNCONFIRMED
from wanesync.sync.restored import confirm, end_listing
from wanesync.worker.generation import GenerationMarker


@pytest.fixture
def marker(store: Store, tmp_path: Path) -> GenerationMarker:
    store.run(lambda tx: tx.settings.put(LISTED, str(tx.now_ms)))
    return GenerationMarker(store, tmp_path / "state.generation", threading.Event())


def setting(store: Store, name: str) -> str | None:
    with store.reading() as tx:
        return tx.settings.get(name)


def restore(store: Store, generation: str | None) -> None:
    """Stands for a backup: the state of another time."""
    store.run(lambda tx: tx.settings.put(GENERATION, generation or ""))


def test_an_older_state_is_recognised_and_the_next_listing_ends_it(
    store: Store, clock: Clock, marker: GenerationMarker
) -> None:
    marker.check()
    backup = setting(store, GENERATION)
    clock.advance(60_000)
    marker.check()
    assert setting(store, LISTED)
    restore(store, backup)
    clock.advance(60_000)
    marker.check()
    assert setting(store, LISTED) is None
    (alarm,) = [alarm for alarm in read_alarms(store) if "restored" in alarm]
    assert "wanesync reconcile" in alarm
    began_ms = store.now_ms()
    store.run(lambda tx: end_listing(tx, str(began_ms - 1_000)))
    assert setting(store, LISTED) is None, "a listing that began before does not show what was forgotten"
    store.run(lambda tx: end_listing(tx, str(began_ms)))
    assert (setting(store, LISTED), setting(store, RESTORED)) == (str(began_ms), None)
    clock.advance(60_000)
    marker.check()
    assert setting(store, LISTED) == str(began_ms)


def test_a_new_database_and_one_that_was_never_listed_are_not_suspected(
    store: Store, clock: Clock, marker: GenerationMarker
) -> None:
    marker.check()
    store.run(lambda tx: tx.settings.drop(GENERATION))
    clock.advance(60_000)
    marker.check()
    assert setting(store, LISTED)
    backup = setting(store, GENERATION)
    clock.advance(60_000)
    marker.check()
    store.run(lambda tx: tx.settings.drop(LISTED))
    restore(store, backup)
    marker.check()
    assert setting(store, RESTORED) is None, "nothing is created there anyway"


def test_a_marker_that_a_wrong_clock_wrote_is_not_believed(
    store: Store, clock: Clock, marker: GenerationMarker
) -> None:
    marker.check()
    clock.advance(3_600_000)
    marker.check()
    clock.advance(-3_600_000)
    restore(store, None)
    store.run(lambda tx: tx.settings.drop(GENERATION))
    marker.check()
    clock.advance(60_000)
    marker.check()
    assert setting(store, LISTED)


@pytest.mark.parametrize("wrong_ms", [3_600_000, 86_400_000, -3_600_000])
def test_a_clock_that_was_wrong_for_a_moment_suspects_nothing_later(
    store: Store, clock: Clock, marker: GenerationMarker, wrong_ms: int
) -> None:
    marker.check()
    clock.advance(wrong_ms)
    marker.check()
    clock.advance(60_000 - wrong_ms)
    # One minute after the other: until the time that was stored by the wrong clock is over.
    for _ in range(3):
        marker.check()
        clock.advance(60_000)
    if wrong_ms > 0:
        clock.advance(wrong_ms - 300_000)
        for _ in range(8):
            marker.check()
            clock.advance(60_000)
    assert setting(store, LISTED)
    assert setting(store, RESTORED) is None


@pytest.mark.parametrize("text", ["", "no id", "\x00"])
def test_a_file_that_holds_no_marker_is_written_anew(store: Store, marker: GenerationMarker, text: str) -> None:
    assert marker.path
    marker.path.write_text(text)
    marker.check()
    assert marker.path.read_text().strip() == setting(store, GENERATION)


def test_a_folder_that_cannot_be_written_and_a_database_in_memory_do_no_harm(store: Store, tmp_path: Path) -> None:
    for path in (None, tmp_path / "missing" / "state.generation"):
        GenerationMarker(store, path, threading.Event()).check()


def start_again(marker: GenerationMarker, *, beside: bool = False) -> None:
    GenerationMarker(marker.store, marker.path, marker.stopping, beside).check()


def let_pass(marker: GenerationMarker, away_ms: int) -> None:
    """Stands for time without a process: on Postgres the time is the database's."""
    text = make_id(marker.store.now_ms() - away_ms, random.Random(1))
    restore(marker.store, text)
    assert marker.path
    marker.path.write_text(text)


def test_a_start_after_a_pause_lets_creations_wait_for_a_catch_up(store: Store, marker: GenerationMarker) -> None:
    let_pass(marker, 60_000)
    start_again(marker)
    assert setting(store, UNCONFIRMED) is None, "a restart costs nothing"
    marker.check()
    let_pass(marker, 3_600_000)
    marker.check()
    assert setting(store, UNCONFIRMED) is None, "the process itself ran"
    let_pass(marker, 3_600_000)
    start_again(marker)
    began_ms = store.now_ms()
    assert "no process ran for" in (setting(store, UNCONFIRMED) or "")
    store.run(lambda tx: tx.settings.put(UNCONFIRMED, f"{began_ms - 61_000} no process ran"))
    (alarm,) = [alarm for alarm in read_alarms(store) if "restored" in alarm]
    assert "wanesync catch-up" in alarm
    store.run(lambda tx: confirm(tx, began_ms - 61_001, too_old=False))
    assert setting(store, UNCONFIRMED), "that catch-up began before"
    store.run(lambda tx: confirm(tx, began_ms, too_old=False))
    assert (setting(store, UNCONFIRMED), setting(store, RESTORED)) == (None, None)


def test_a_file_missing_beside_the_database_is_a_doubt_at_once(
    store: Store, clock: Clock, marker: GenerationMarker
) -> None:
    start_again(marker, beside=True)
    assert setting(store, UNCONFIRMED) is None, "a new database has none"
    clock.advance(1_000)
    assert marker.path
    marker.path.unlink()
    start_again(marker)
    assert setting(store, UNCONFIRMED) is None, "a container starts without one"
    marker.path.unlink()
    start_again(marker, beside=True)
    assert "is missing" in (setting(store, UNCONFIRMED) or "")


def test_a_state_older_than_what_stripe_lists_is_a_suspicion(store: Store, marker: GenerationMarker) -> None:
    let_pass(marker, 40 * 86_400_000)
    start_again(marker)
    store.run(lambda tx: confirm(tx, tx.now_ms, too_old=True))
    assert setting(store, LISTED) is None
    assert setting(store, RESTORED)
    assert setting(store, UNCONFIRMED) is None
