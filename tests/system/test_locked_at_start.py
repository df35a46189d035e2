"""A program that runs for long and starts while the database is locked waits for it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.stage import Stage


@pytest.mark.parametrize(("command", "ready"), [("worker", "wanesync worker"), ("up", "wanesync serves")])
def test_it_waits_until_the_lock_is_free(tmp_path: Path, command: str, ready: str) -> None:
    with Stage(f"sqlite:{tmp_path / 'state.db'}", tmp_path) as stage:
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            program = stage.start(command)
            stage.until(lambda: "waiting for the database" in program.log_tail(), "it waits")
            assert program.exit_code is None
            holder.execute("ROLLBACK")
        assert program.first_line().startswith(ready)
