"""What is written beside a SQLite database is private, whatever the mask of the process."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from wanesync.reconcile.atomic_file import write_text_atomically
from wanesync.reconcile.snapshot.file import Snapshot
from wanesync.store import open_store
from wanesync.worker.generation import GenerationMarker


@pytest.fixture
def _open_mask() -> Iterator[None]:
    """Whatever a process makes without saying how is open to all."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_open_mask")
def test_every_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "wanesync.db"
    with closing(open_store(f"sqlite:{path}", migrate=True)) as store:
        store.run(lambda tx: tx.settings.put("mark", "1"))
        snapshot = Snapshot(f"{path}.snapshot", store.encryption)
        GenerationMarker(store, tmp_path / "wanesync.db.generation", threading.Event()).check()
        with write_text_atomically(tmp_path / "plan") as plan:
            plan.write("{}")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        snapshot.close()
    assert set(modes.values()) == {0o600}, modes
    assert modes.keys() >= {f"wanesync.db{end}" for end in ("", "-wal", "-shm", ".keys", ".snapshot", ".generation")}
    assert "plan" in modes
