"""A store over each database, and the clock it uses."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from wanesync.store import Store, make_key, open_store
from wanesync.store.clock import DatabaseClock


class Clock:
    """A clock that stands still until ``advance``."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms

    def advance(self, ms: int) -> None:
        self.ms += ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_again(database_url: str, clock: Clock) -> Iterator[Callable[[], Store]]:
    """Opens the same database once more, as another process would."""
    keys = [make_key("k001")]
    # One offset for all of them: on Postgres each would measure its own, which depends on how busy the machine is.
    database_clock = DatabaseClock(clock, clock)
    seeds = count()
    with ExitStack() as stack:

        def opened() -> Store:
            store = open_store(database_url, keys, migrate=True, clock=database_clock, rng=random.Random(next(seeds)))
            stack.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(open_again: Callable[[], Store]) -> Store:
    return open_again()


@pytest.fixture
def other_store(store: Store, open_again: Callable[[], Store]) -> Store:
    """A second process on the same database."""
    return open_again()
