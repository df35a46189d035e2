"""The installation that the tests of commands share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Configured and migrated; nothing runs."""
    made = Installation(tmp_path)
    yield made
    made.store.close()
