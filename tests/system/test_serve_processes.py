"""``serve --processes``: several processes share the port, and the door survives the crash of any of them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.support.stage import Stage
from wanesync.core.model import Side

DEADLINE_S = 40


def members(pid: int) -> list[int]:
    """The processes that another one started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(holds: object, what: str) -> None:
    end_s = time.monotonic() + DEADLINE_S
    assert callable(holds)
    while not holds():
        assert time.monotonic() < end_s, what
        time.sleep(0.05)


def test_a_door_of_two_processes_survives_the_crash_of_one_and_ends_as_one(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        program = stage.start("serve", "--processes", "2")
        stage.reconcile()
        stage.serve(program)
        first = program.pid
        wait_until(lambda: len(members(first)) == 2, "both run")
        stage.work()
        before = members(first)
        os.kill(before[0], signal.SIGKILL)
        stage.edit(Side.HUBSPOT, "create", email="ada@example.com", firstname="Ada", lastname="L")
        stage.until(lambda: stage.customer("ada@example.com"), "the contact is a customer")
        wait_until(lambda: len(set(members(first)) - set(before)) == 1, "another one was started")
        assert program.stop() == 0
        wait_until(lambda: not [one for one in before if Path(f"/proc/{one}").exists()], "all are gone")


def test_without_the_one_that_started_them_they_end(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        program = stage.start("serve", "--processes", "2")
        stage.serve(program)
        wait_until(lambda: len(members(program.pid)) == 2, "both run")
        left = members(program.pid)
        program.kill()
        wait_until(lambda: not [one for one in left if Path(f"/proc/{one}").exists()], "all are gone")
        assert len(left) == 2
        assert not any(Path(f"/proc/{one}").exists() for one in left)
