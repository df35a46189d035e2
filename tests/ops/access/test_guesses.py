"""Counted guesses."""

from __future__ import annotations

import threading

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.errors import TooManyGuesses
from wanesync.ops.access.guesses import PER_DEVICE, PER_PAIR, SPAN_MS, count_guess, find_subjects, give_back
from wanesync.store import Store


def test_what_was_typed_is_not_stored(store: Store) -> None:
    subjects = find_subjects(store, "my password in the wrong field", "203.0.113.7")
    assert all("password" not in subject and "203.0" not in subject for subject, _ in subjects)


def test_processes_count_together(store: Store, other_store: Store) -> None:
    subjects = find_subjects(store, "anna", "203.0.113.7")
    looked: list[bool] = []

    def guess(one: Store) -> None:
        for _ in range(PER_PAIR):
            try:
                count_guess(one, subjects)
            except TooManyGuesses:
                continue
            looked.append(True)

    threads = [threading.Thread(target=guess, args=(one,)) for one in (store, other_store)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(looked) == PER_PAIR


def test_the_span_moves_with_the_clock(store: Store, clock: Clock) -> None:
    subjects = find_subjects(store, "anna", "203.0.113.7", device="d")
    for _ in range(PER_DEVICE):
        count_guess(store, subjects)
    clock.advance(SPAN_MS - 1)
    with pytest.raises(TooManyGuesses):
        count_guess(store, subjects)
    clock.advance(SPAN_MS + 60_000)
    for _ in range(PER_DEVICE):
        count_guess(store, subjects)
    with pytest.raises(TooManyGuesses):
        count_guess(store, subjects)


def test_a_right_one_is_taken_back(store: Store) -> None:
    subjects = find_subjects(store, "anna", "203.0.113.7")
    for _ in range(3 * PER_PAIR):
        count_guess(store, subjects)
        store.run(lambda tx: give_back(tx, subjects))
    for _ in range(PER_PAIR):
        count_guess(store, subjects)
    with pytest.raises(TooManyGuesses):
        count_guess(store, subjects)
