"""What a process that holds secrets leaves behind: no core dump, and no memory for others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

WAITS = """
import sys
from pathlib import Path
from wanesync.cli.context import read_config
secret = "sk_test_planted"
read_config(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_process_that_read_its_configuration_leaves_no_core_dump(tmp_path: Path) -> None:
    file = tmp_path / "wanesync.toml"
    file.touch(mode=0o600)
    file.write_text('[create]\ncustomers = "none"\ncontacts = "none"\n')
    command = [sys.executable, "-c", WAITS, str(file)]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
        [core] = [line.split()[4:6] for line in limits if line.startswith("Max core file size")]
        owner = Path(f"/proc/{process.pid}/environ").stat().st_uid
        process.send_signal(signal.SIGABRT)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = status
    assert core == ["0", "0"]
    assert owner == 0, "what may not be dumped belongs to root (proc(5))"
    assert [path.name for path in tmp_path.iterdir()] == ["wanesync.toml"]
    assert (os.WTERMSIG(status), os.WCOREDUMP(status)) == (signal.SIGABRT, False)
