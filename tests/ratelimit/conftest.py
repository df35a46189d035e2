"""A store on a virtual clock, with limits for both sides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.virtual_clock import VirtualClock
from wanesync.core.rate_limits import DAILY, MONTHLY_READS
from wanesync.store import Store, open_store


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> Iterator[Store]:
    opened = open_store("sqlite::memory:", migrate=True, clock=clock.as_database_clock())
    with opened.transaction() as tx:
        for scope, value in (("hubspot", 15.0), (DAILY, 0.5), ("stripe", 100.0), (MONTHLY_READS, 1000.0)):
            tx.rates.set_limit(scope, value)
    yield opened
    opened.close()
