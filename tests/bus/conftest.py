"""A broker, a database and the parts between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bus_parts import file_store
from tests.support.mosquitto import Mosquitto, running
from wanesync.store.database import Store


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with running(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def bus_store(tmp_path: Path) -> Iterator[Store]:
    with file_store(tmp_path) as store:
        yield store
