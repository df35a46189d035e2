"""Notices for a command: JSON on its standard input, no shell, no secrets of ours in its environment."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from wanesync.adapters.notices import commands
from wanesync.adapters.notices.commands import run_command
from wanesync.core.errors import DeliveryFailed
from wanesync.core.operating.alarms import Level
from wanesync.core.operating.alerts import Message, Notice, NoticeKind

MESSAGE = Message("id-1", 0, Notice(NoticeKind.RAISED, Level.WARN, "dead_letters", "stripe", "title", "text; $(id)"))


def script(folder: Path, text: str) -> Path:
    path = folder / "page me"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_it_gets_the_message_as_json_and_its_arguments_as_they_are(tmp_path: Path) -> None:
    path = script(tmp_path, f'cat > "{tmp_path}/in.json"; echo "$1" > "{tmp_path}/argument"')
    run_command(f"'{path}' '$HOME; two words'", MESSAGE)
    assert json.loads((tmp_path / "in.json").read_text()) == MESSAGE.as_json()
    assert (tmp_path / "argument").read_text() == "$HOME; two words\n"


def test_it_gets_no_variable_that_may_hold_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANESYNC_STRIPE__API_KEY", "sk_test_1")
    monkeypatch.setenv("SLACK_WEBHOOK", "secret")
    run_command(f"'{script(tmp_path, f'env > {tmp_path}/env')}'", MESSAGE)
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names - {"PWD", "SHLVL", "_"} <= set(commands.PASSED)


def test_one_that_reads_nothing_counts_by_its_exit_status() -> None:
    run_command("true", MESSAGE)
    with pytest.raises(DeliveryFailed, match="ended with 1"):
        run_command("false", MESSAGE)


def test_one_that_cannot_be_run_is_named_without_its_arguments() -> None:
    with pytest.raises(DeliveryFailed, match="cannot be run") as caught:
        run_command("/no/such/program --token secret", MESSAGE)
    assert "secret" not in str(caught.value)


def test_one_that_does_not_end_is_ended_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "TIMEOUT_S", 0.3)
    path = script(tmp_path, f'sleep 60 & echo $! > "{tmp_path}/child"; wait')
    with pytest.raises(DeliveryFailed, match="did not end within"):
        run_command(f"'{path}'", MESSAGE)
    child = int((tmp_path / "child").read_text())
    stat_file = Path(f"/proc/{child}/stat")
    assert not stat_file.exists() or stat_file.read_text().split()[2] == "Z"
    assert os.getpgrp() != child
