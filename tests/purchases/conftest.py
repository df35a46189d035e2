"""One process of live sync over scripted ports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.live_sync import LiveSync


@pytest.fixture
def live() -> Iterator[LiveSync]:
    """Live sync whose HubSpot and Stripe answer what the test scripts."""
    made = LiveSync()
    yield made
    made.close()
