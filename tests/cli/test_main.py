"""Exit codes, and what an error of ours prints."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

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
        (
            CallError(Side.HUBSPOT, Failure.FORBIDDEN, "X", 403, scope="read"),
            4,
            "wanesync: hubspot: forbidden (403): X (the key lacks read): wanesync doctor names what the key lacks\n",
        ),
        (
            CallError(Side.STRIPE, Failure.UNAUTHORISED, "unauthorized", 401),
            4,
            "wanesync: stripe: unauthorised (401): unauthorized: wanesync doctor checks the keys\n",
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


CODES = {"unreadable": (["status", "--config", "none.toml"], 2), "help": (["--help"], 0), "version": (["-V"], 0)}


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code(tmp_path: Path, name: str, closed: str) -> None:
    arguments, code = CODES[name]
    done = _run_in_shell(closed, tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (code, done.stdout if ">&-" not in closed.split() else "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path, closed: str) -> None:
    """What a library writes to its standard error would be written into that file."""
    code = (
        "from wanesync.output import prepare_streams; import os, subprocess, sys; prepare_streams(); "
        "number = os.open('file', os.O_CREAT | os.O_RDWR); os.write(2, b'x'); "
        "subprocess.run(['sh', '-c', 'echo x >&2']); "
        "open('seen', 'w').write(f'{number} {os.path.getsize(\"file\")}')"
    )
    subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code], cwd=tmp_path, check=True)
    number, size = map(int, (tmp_path / "seen").read_text().split())
    assert number > 2
    assert size == 0


@pytest.mark.parametrize("place", ["/dev/full", "closed pipe"])
@pytest.mark.parametrize(("arguments", "codes"), [(["status", "--config", "none.toml"], {2}), (["nosuch"], {2, 4, 0})])
def test_a_standard_error_that_takes_nothing_changes_no_exit_code(
    tmp_path: Path, place: str, arguments: list[str], codes: set[int]
) -> None:
    if place == "/dev/full":
        done = _run_in_shell("2>/dev/full", tmp_path, *arguments)
        assert done.returncode in codes
        return
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([sys.executable, "-m", "wanesync", *arguments], stderr=writer, cwd=tmp_path, check=False)
    os.close(writer)
    assert ended.returncode in codes


def _run_in_shell(redirections: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", "wanesync", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=60)


@pytest.mark.parametrize("module", ["typer", "wanesync.output", "wanesync.cli.command_table"])
def test_ctrl_c_while_the_program_is_loaded_prints_nothing(module: str) -> None:
    code = f"""
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
sys.argv = ["wanesync", "--help"]
from wanesync.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    # As a shell shows it: 128 and the number of the signal.
    assert (128 - done.returncode, done.stdout, done.stderr) == (130, "", "")


INTERRUPTS = {
    "while a class is made": """
class Meeting:
    def __set_name__(self, owner, name):
        signal.raise_signal(signal.SIGINT)
class Made:
    field = Meeting()
""",
    "in a destructor": """
class Ending:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
Ending()
signal.pause()
""",
}


@pytest.mark.parametrize("when", INTERRUPTS)
def test_ctrl_c_where_python_makes_another_error_of_it_ends_with_130(when: str) -> None:
    code = f"""
import signal
from wanesync.cli import main as program
def app():
    exec({INTERRUPTS[when]!r}, {{"signal": signal}})
program.app = app
program.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_question_without_an_answer_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asking = typer.Typer()
    asking.command()(lambda: typer.confirm("Sure?", abort=True))
    monkeypatch.setattr(program, "app", asking)
    monkeypatch.setattr(sys, "argv", ["wanesync"])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("wanesync: a question has no answer")
