"""A benchmark has a database of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanesync.accounts import PORTAL
from wanesync.bench.environment import open_environment
from wanesync.config.model import load
from wanesync.core.errors import ConfigError
from wanesync.wiring import open_database


def test_a_database_that_is_in_use_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'used.db'}"
    with open_environment(url) as environment:
        store = open_database(load(None, environment.env))
        store.run(lambda tx: tx.settings.put(PORTAL, "1"))
        store.close()
    with pytest.raises(ConfigError, match="empty database"), open_environment(url):
        pass
