"""The lock on a folder."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from wanesync.core.errors import ConfigError
from wanesync.folder_lock import lock_folder

WAIT_S = 20
HOLDER = """
import sys
from pathlib import Path
from wanesync.folder_lock import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_and_freed_by_its_death(tmp_path: Path) -> None:
    entered = threading.Event()

    def enter() -> None:
        with lock_folder(tmp_path):
            entered.set()

    arguments = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        waiting = threading.Thread(target=enter)
        waiting.start()
        waiting.join(0.1)
        assert not entered.is_set()
        holder.kill()
    waiting.join(WAIT_S)
    assert entered.is_set()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none cannot be opened \(No such file"), lock_folder(tmp_path / "none"):
        pass
