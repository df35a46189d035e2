"""An installation whose webhooks are received by a serverless door."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.serverless_door import CONFIG, Installed
from wanesync.accounts import Pins, store_pins
from wanesync.store import open_store


@pytest.fixture
def installed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """A database that is set up, and the environment of a function that names it."""
    store = open_store(database_url, [CONFIG["WANESYNC_SECURITY__KEYS"]], migrate=True)
    store.run(lambda tx: store_pins(tx, Pins("3", "", "test")))
    for name, value in (CONFIG | {"WANESYNC_DATABASE": database_url}).items():
        monkeypatch.setenv(name, value)
    yield Installed(store)
    store.close()
