"""An alarm before the disk of the database is full."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from wanesync.ops.health.disk import find_disk_alarms
from wanesync.store import open_store


def test_a_disk_that_is_nearly_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"sqlite:{tmp_path / 'state.db'}", migrate=True)
    free = [499 << 20, 500 << 20]
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=free.pop(0)))
    assert [alarm.text for alarm in find_disk_alarms(store)] == [
        f"the disk of the database has 499 MB left ({tmp_path}): make room, or move the database"
    ]
    assert find_disk_alarms(store) == []
    store.close()


def test_a_database_in_memory_has_no_disk() -> None:
    store = open_store("sqlite::memory:", migrate=True)
    assert find_disk_alarms(store) == []
    store.close()
