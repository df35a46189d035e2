"""Exit codes, and what an error of ours prints."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wanesync.cli import main as program
from wanesync.core.errors import (
    CallError,
    ConfigError,
    DatabaseUnavailable,
    Failure,
    GuardError,
    NotFound,
)
from wanesync.core.model import Side


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (NotFound("no such hold"), 2, "wanesync: no such hold\n"),
        (ConfigError(["a is wrong"]), 2, "wanesync: a is wrong\n"),
        (ConfigError(["a is wrong", "b, too"]), 2, "wanesync: 2 problems:\n  - a is wrong\n  - b, too\n"),
        (GuardError("too many"), 3, "wanesync: too many\n"),
        (DatabaseUnavailable("it is locked"), 4, "wanesync: it is locked\n"),
        (
            CallError(Side.STRIPE, Failure.UNREACHED, "connection refused"),
            4,
            "wanesync: stripe: unreached: connection refused: try again later, or see wanesync status\n",
        ),
    ],
)
def test_an_error_ends_with_its_code_and_a_line(
    error: Exception, code: int, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(program, "app", fail)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert (ended.value.code, capsys.readouterr()) == (code, ("", printed))


def test_the_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["wanesync", "--version"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("wanesync ")


@pytest.mark.case(40)
def test_an_output_that_cannot_be_written_ends_with_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a stream, as the shell opens it
        done = subprocess.run([sys.executable, "-m", "wanesync", "--help"], stdout=full, check=False)
    assert done.returncode == 4
    assert capfd.readouterr().err == "wanesync: cannot write the output: No space left on device\n"
