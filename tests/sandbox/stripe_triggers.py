"""``python -m tests.sandbox.stripe_triggers``: every trigger of Stripe's own command line against the sandbox.

Fetches the command line from npm (``npm`` is needed) into a scratch folder, or takes the program named by ``--cli``,
runs ``stripe trigger NAME`` for each name that it lists, and prints a table. A trigger passes when the program exits
with 0 and the sandbox has made an event of that name; ``--record FILE`` keeps the requests it sent, which
``stripe/test_triggers.py`` replays without it: ``{2:id}`` in a request stands for the ``id`` of answer 2.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from wanesync.sandbox.server import STRIPE_KEY, Options, Sandbox
from wanesync.sandbox.stand_in import Request, Response

PACKAGE = "@stripe/cli"
SOURCE = "requests of the triggers of @stripe/cli, (c) Stripe, Apache License 2.0 (github.com/stripe/stripe-cli)"
WAIT_S = 3.0  # longer than a bank debit or an advance of a test clock takes in the sandbox
# These names stand for a chain of calls; the event they end with has another name.
ENDS_WITH = {
    "subscription.payment_failed": "invoice.payment_failed",
    "subscription.payment_succeeded": "invoice.payment_succeeded",
}
REGION = re.compile(r"\.(eu|gb)$")


@dataclass
class Result:
    """The outcome of one trigger; ``requests``: method, path, query and body of each call."""

    name: str
    exit_code: int
    emitted: bool
    reason: str
    requests: list[list[str]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the program and the event agree."""
        return self.exit_code == 0 and self.emitted


def fetch_cli(folder: Path) -> Path:
    """Install the command line from npm: its path."""
    subprocess.run(["npm", "install", "--silent", "--prefix", str(folder), PACKAGE], check=True)
    return folder / "node_modules" / ".bin" / "stripe"


def list_triggers(cli: Path) -> list[str]:
    """The names that the command line offers."""
    text = subprocess.run([str(cli), "trigger", "--help"], capture_output=True, text=True, check=True).stdout
    body = text.partition("Supported events:")[2].partition("Usage:")[0]
    return body.split()


def run_trigger(cli: Path, name: str, home: Path) -> Result:
    """Run one trigger against a sandbox of its own."""
    with Sandbox(Options(stripe_limit=10_000)) as sandbox:
        recorder = Recorder(sandbox.stripe.handle)
        sandbox.stripe.handle = recorder.handle  # type: ignore[method-assign] # a probe of this run only
        command = [str(cli), "trigger", name, "--api-base", sandbox.stripe_url, "--api-key", STRIPE_KEY]
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "STRIPE_CLI_TELEMETRY_OPTOUT": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
        wanted = ENDS_WITH.get(name, REGION.sub("", name))
        deadline_s = time.monotonic() + (WAIT_S if done.returncode == 0 else 0)
        while not (emitted := has_event(sandbox, wanted)) and time.monotonic() < deadline_s:
            time.sleep(0.2)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return Result(name, done.returncode, emitted, "" if done.returncode == 0 else summarize(lines), recorder.requests)


class Recorder:
    """Keeps the requests of one trigger, with places instead of the ids that earlier answers gave."""

    def __init__(self, handle: Callable[[Request, int], Response]) -> None:
        self.requests: list[list[str]] = []
        self._handle = handle
        self._places: dict[str, str] = {}

    def handle(self, request: Request, now_ms: int) -> Response:
        """Pass a request on and keep it."""
        answer = self._handle(request, now_ms)
        if request.path.startswith("/v1/"):
            path = "/".join(self._places.get(part, part) for part in request.path.split("/"))
            self.requests.append([request.method, path, self._write(request.query), self._read(request.body)])
            self._learn(json.loads(answer.body), f"{len(self.requests)}:")
        return answer

    def _read(self, body: bytes) -> str:
        return self._write(tuple(parse_qsl(body.decode(), keep_blank_values=True)))

    def _write(self, pairs: tuple[tuple[str, str], ...]) -> str:
        return "&".join(f"{name}={self._places.get(value, value)}" for name, value in pairs)

    def _learn(self, value: Any, place: str) -> None:
        if isinstance(value, str) and re.search(r"[0-9A-Z]", value) and 8 <= len(value) <= 70:
            self._places.setdefault(value, f"{{{place}}}")
        elif isinstance(value, dict):
            for name, part in value.items():
                self._learn(part, f"{place}{'' if place.endswith(':') else '.'}{name}")
        elif isinstance(value, list):
            for at, part in enumerate(value):
                self._learn(part, f"{place}.{at}")


def has_event(sandbox: Sandbox, name: str) -> bool:
    """Whether an event of this type was made."""
    with sandbox.lock:
        sandbox.stripe.take_deliveries(time.time_ns() // 1_000_000)
        return sandbox.stripe.account.events.count("type", name) > 0


def write_lines(recorded: dict[str, Any]) -> str:
    """JSON with a line for each request."""
    text = json.dumps(recorded, indent=1, ensure_ascii=False)
    return re.sub(
        r"\[\s+((?:\"(?:[^\"\\\\]|\\\\.)*\",?\s+)+)\]",
        lambda found: "[" + " ".join(found[1].split("\n" + " " * 4)).strip() + "]",
        text,
    )


def summarize(lines: list[str]) -> str:
    """The message of a failure in one line."""
    for line in lines:
        found = re.search(r'"message": "([^"]*)"', line)
        if found:
            return found[1][:90]
    return lines[-1][:90] if lines else ""


def main(arguments: list[str]) -> int:
    """Run all: 0 when at least 60 pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="default: all")
    parser.add_argument("--cli", type=Path, help="the stripe program, instead of one from npm")
    parser.add_argument("--record", type=Path, help="write the requests of what passed as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        cli = options.cli or fetch_cli(Path(scratch))
        results = [run_trigger(cli, name, Path(scratch)) for name in options.names or list_triggers(cli)]
    for result in results:
        state = "pass" if result.passed else "fail" if result.exit_code else "no event"
        sys.stdout.write(f"{state:8} {result.name:52} {result.reason}\n")
    passed = [result for result in results if result.passed]
    sys.stdout.write(f"{len(passed)} of {len(results)} triggers pass\n")
    if options.record:
        recorded = {"source": SOURCE, "triggers": {result.name: result.requests for result in passed}}
        options.record.write_text(write_lines(recorded) + "\n", encoding="utf-8")
    return 0 if len(passed) >= min(60, len(results)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
