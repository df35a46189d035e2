"""The property that a reconcile sets on the contacts it creates."""

from __future__ import annotations

from typing import cast

import pytest

from tests.support.live_sync import LiveSync, ScriptedPort
from wanesync.core.errors import ConfigError
from wanesync.core.ports import HubSpotPort
from wanesync.sync.writes.run_property import find_mark, mark_name, read_mark


def test_it_is_stored_for_its_run_and_found_by_it(live: LiveSync) -> None:
    live.store.run(lambda tx: tx.settings.put(mark_name("r1"), "source=a=b"))
    assert live.store.run(lambda tx: find_mark(tx, "r1")) == {"source": "a=b"}
    assert live.store.run(lambda tx: find_mark(tx, "r2")) == {}


def test_it_must_be_a_property_of_the_portal() -> None:
    port = ScriptedPort()
    port.answer("has_property", True, False)
    assert read_mark(cast("HubSpotPort", port), "source=import") == "source=import"
    with pytest.raises(ConfigError, match="no contact property source"):
        read_mark(cast("HubSpotPort", port), "source=import")
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        read_mark(cast("HubSpotPort", port), "Source")
