"""A command's output is a secret; nothing else of it is shown, and it cannot hold up the program."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from wanesync.config.managers.command import run_command, show_command, split_command
from wanesync.core.errors import ConfigError

ENV = {"PATH": os.environ["PATH"], "WANESYNC_STRIPE__API_KEY": "sk_test_planted", "OP_TOKEN": "seen"}


def refusal(written: str, folder: Path, timeout_s: float = 15) -> str:
    with pytest.raises(ConfigError) as caught:
        run_command(written, ENV, folder, timeout_s)
    (problem,) = caught.value.problems
    assert "planted" not in problem
    return problem


def python(script: str) -> str:
    return f'{sys.executable} -c "{script}"'


def test_a_command_is_run_without_a_shell_in_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk_test_x;$HOME\n")
    assert run_command("cat key", ENV, tmp_path) == "sk_test_x;$HOME"
    assert run_command("printf %s 'a;b $HOME'", ENV, tmp_path) == "a;b $HOME"


def test_a_command_has_the_environment_without_our_variables_and_no_input(tmp_path: Path) -> None:
    script = "import os,sys; print(sorted(k for k in os.environ if k[:3] in ('WAN', 'OP_')), sys.stdin.read())"
    assert run_command(python(script), ENV, tmp_path) == "['OP_TOKEN'] "


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("no-such-program-planted planted", "cannot be run (No such file or directory): install it"),
        ("false planted", "cmd:false … ended with 1: run the command as the user of this process"),
        ("sh -c 'kill -9 $$'", "cmd:sh … was ended by signal 9"),
        ("true", "cmd:true … is empty"),
        ("printf 'planted\\nplanted'", "has several lines"),
        ("printf '\\377planted'", "is binary"),
        ("head -c 70000 /dev/zero", "is larger than 65536 bytes"),
        ("sh -c 'echo planted >&2; exit 3'", "ended with 3"),
        ("yes planted", "is larger than 65536 bytes"),
    ],
)
def test_a_command_that_gives_no_secret_is_named_in_one_line(tmp_path: Path, written: str, text: str) -> None:
    written = written.replace("no-such-program-planted", "no-such-program")
    assert text in refusal(written, tmp_path)


def test_a_program_that_a_command_left_behind_cannot_hold_it_up(tmp_path: Path) -> None:
    """It has a group of its own, and the output open: a refresh would wait for it for ever."""
    left = "import subprocess,sys; print(subprocess.Popen([sys.executable, '-c', WAITS], start_new_session=True).pid)"
    script = left.replace("WAITS", "'import time; time.sleep(30)'")
    (tmp_path / "leaves.py").write_text(f"{script}\nopen('pid', 'w').write('x')\n")
    began_s = time.monotonic()
    assert "did not end within 1 s" in refusal(f"{sys.executable} leaves.py", tmp_path, 1)
    assert (tmp_path / "pid").exists()
    assert time.monotonic() - began_s < 15


def test_a_command_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    began = time.monotonic()
    assert "did not end within 0.3 s" in refusal("sh -c 'sleep 60 & sleep 60'", tmp_path, 0.3)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("written", ["", "  ", "op 'read", "op \u202e"])
def test_what_is_no_command_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match="cmd: must be followed by a command"):
        split_command(written)


def test_only_the_program_of_a_command_is_shown() -> None:
    assert show_command("/usr/bin/op read --token sk_test_planted") == "cmd:op …"
