"""README's first day in the sandbox, played as it is written: its three terminals are three shells, in an empty folder.

Only the ports are others, so that nothing else on the machine is in the way.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import pytest

from tests.support.ports import free_port
from tests.support.run_main import TERMINAL_CODES
from wanesync.child_process import clean_environment
from wanesync.core.setup.permissions import list_scopes
from wanesync.sandbox.control_client import ControlClient

README = Path(__file__).parents[2] / "README.md"
DEADLINE_S = 60.0
COLUMNS = 80
CODES = "codes"
"""File to which a shell writes the line and the exit code of each command that does not end with 0."""


def read_terminals() -> list[list[str]]:
    """The commands of each of the three terminals, a line each."""
    section = README.read_text(encoding="utf-8").split("## A first day in the sandbox\n")[1].split("\n## ")[0]
    blocks: list[str] = re.findall(r"(?s)```\n(.*?)```", section)
    return [block.replace("\\\n", "").splitlines() for block in blocks]


class Desk:
    """An empty folder, free ports, and shells in which ``wanesync`` is this checkout's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {port: str(free_port()) for port in ("7101", "7102", "8787")}
        self.urls = [f"http://127.0.0.1:{self.ports[port]}" for port in ("7101", "7102")]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # The port of the sandbox's webhooks is in the configuration, which README has no need to change.
        self.env = clean_environment() | {"PATH": path, "WANESYNC_SERVER__PORT": self.ports["8787"]}
        self.control = ControlClient(*self.urls)
        self.running: list[tuple[subprocess.Popen[str], IO[str]]] = []

    def adapt(self, line: str) -> str:
        """A command of README with the ports of this desk."""
        for written, free in self.ports.items():
            line = re.sub(rf"(?<=127\.0\.0\.1:){written}\b", free, line)
        at = f"--hubspot {self.urls[0]} --stripe {self.urls[1]}"
        line = re.sub(r"(wanesync sandbox (?:create|edit|purchase))", rf"\1 {at}", line)
        ports = f"--hubspot-port {self.ports['7101']} --stripe-port {self.ports['7102']}"
        return re.sub(r"wanesync sandbox (?=--)", f"wanesync sandbox {ports} ", line)

    def start(self, line: str, ready: str) -> subprocess.Popen[str]:
        """Start a command that keeps running, and wait for the line in which it says that it is ready."""
        output = (self.folder / f"output-{len(self.running)}").open("w+", encoding="utf-8")
        process = subprocess.Popen(
            ["/bin/bash", "-c", f"exec {self.adapt(line)}"], cwd=self.folder, env=self.env, stdout=output,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.running.append((process, output))

        def is_ready() -> bool:
            assert process.poll() is None, self.printed(output)
            return ready in self.printed(output)

        until(is_ready, ready)
        return process

    def printed(self, output: IO[str]) -> str:
        return Path(output.name).read_text(encoding="utf-8")

    def type(self, lines: Sequence[str]) -> tuple[str, Mapping[str, int]]:
        """Type lines into one shell in a terminal: the words that it shows, and exit codes other than 0 by line."""
        (self.folder / CODES).write_text("")
        script = "\n".join(
            f'{self.adapt(line)}\ncode=$?; [ $code = 0 ] || echo "$code {number}" >> {CODES}'
            for number, line in enumerate(lines)
        )
        text = run_in_terminal(["/bin/bash", "-c", script], self.folder, self.env)
        ended = [row.split() for row in (self.folder / CODES).read_text().splitlines()]
        return text, {lines[int(number)].split("#")[0].strip(): int(code) for code, number in ended}

    def ask(self, *arguments: str) -> dict[str, object]:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("wanesync")), *arguments, "--json"], cwd=self.folder, env=self.env,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    def find(self, side: str, email: str) -> dict[str, str]:
        (found,) = [row for row in self.control.records(side) if row.get("email") == email] or [{}]
        return found

    def close(self) -> None:
        for process, output in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            output.close()


def run_in_terminal(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> str:
    """Run a command in a terminal of 80 columns: its words, blanks between them. A question would never be answered."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (50, COLUMNS))
    process = subprocess.Popen(command, cwd=folder, env=env, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = bytearray()
    end = time.monotonic() + 2 * DEADLINE_S
    try:
        poll = select.poll()
        poll.register(master, select.POLLIN)
        while poll.poll(max(end - time.monotonic(), 0) * 1000):
            try:
                shown += os.read(master, 1 << 16)
            except OSError:  # the end of a terminal (EIO)
                break
        # A progress bar returns to the start of its line.
        text = TERMINAL_CODES.sub("", shown.decode().replace("\r", "\n"))
        assert time.monotonic() < end, text
        process.wait(DEADLINE_S)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert [line for line in text.splitlines() if len(line) > COLUMNS] == []
    assert "Traceback" not in text
    return " ".join(text.split())


def until(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < end, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.1)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


def test_the_scopes_in_readme_are_those_that_init_prints() -> None:
    (sandbox,), _, _ = read_terminals()
    (scopes,) = re.findall(r"--hubspot-scopes (\S+)", sandbox)
    assert sorted([*scopes.split(","), "oauth"]) == sorted(right.name for right in list_scopes(None))


def test_readmes_first_day_ends_with_writes_on_and_both_sides_the_same(desk: Desk) -> None:
    (sandbox,), second, third = read_terminals()
    desk.start(sandbox, "Ctrl-C ends the sandbox")

    *set_up, up = second
    printed, codes = desk.type(set_up)
    assert codes == {"wanesync diff": 1}, printed
    assert "created: http://127.0.0.1" in printed
    assert "A reconcile would repair" in printed
    assert up == "wanesync up"
    running = desk.start(up, "first listing done")

    start = third.index("wanesync writes on")
    printed, codes = desk.type(third[:start])
    assert codes == {}, printed
    assert "fail" not in printed
    before = [len(desk.control.records(side)) for side in ("hubspot", "stripe")]
    assert before == [20, 20], "nothing is written before writes are on"

    printed, codes = desk.type(third[start:])
    assert codes == {}, printed
    until(lambda: desk.find("hubspot", "ada@maths.example").get("city") == "London", "a customer's edit in HubSpot")
    until(lambda: desk.find("stripe", "grace@navy.example").get("phone") == "+12025550123", "a contact's in Stripe")

    def purchases() -> object:
        found = desk.ask("history", "ada@maths.example")["purchases"]
        assert isinstance(found, list)
        return [(row["state"], row["sink"], row["contact_id"]) for row in found]

    contact = desk.find("hubspot", "ada@maths.example")["id"]
    until(lambda: purchases() == [("sent", "custom_event", contact)], "the purchase on the contact")
    assert desk.ask("status")["alarms"] == []
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 0, "as README says of programs that keep running"
