"""``python -m tests.sandbox.stripe_triggers``: every trigger of Stripe's own command line against the sandbox.

Fetches the command line from npm (``npm`` is needed) into a scratch folder, or takes the program named by ``--cli``,
runs ``stripe trigger NAME`` for each name that it lists, and prints a table. A trigger passes when the program exits
with 0 and the sandbox has made an event of that name; ``--record FILE`` keeps the requests it sent, as
``test_triggers.py`` replays them.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wanesync.sandbox.server import STRIPE_KEY, Options, Sandbox
from wanesync.sandbox.stand_in import Request

PACKAGE = "@stripe/cli"
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
        sent = record_requests(sandbox)
        command = [str(cli), "trigger", name, "--api-base", sandbox.stripe_url, "--api-key", STRIPE_KEY]
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "STRIPE_CLI_TELEMETRY_OPTOUT": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
        wanted = ENDS_WITH.get(name, REGION.sub("", name))
        deadline_s = time.monotonic() + (WAIT_S if done.returncode == 0 else 0)
        while not (emitted := has_event(sandbox, wanted)) and time.monotonic() < deadline_s:
            time.sleep(0.2)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return Result(name, done.returncode, emitted, "" if done.returncode == 0 else summarize(lines), sent)


def record_requests(sandbox: Sandbox) -> list[list[str]]:
    """Keep what the sandbox is asked from now on."""
    sent: list[list[str]] = []
    handle = sandbox.stripe.handle

    def keep(request: Request, now_ms: int) -> Any:
        if request.path.startswith("/v1/") and request.headers.get("user-agent", "").startswith("Stripe/v1 stripe-cli"):
            query = "&".join(f"{name}={value}" for name, value in request.query)
            sent.append([request.method, request.path, query, request.body.decode()])
        return handle(request, now_ms)

    sandbox.stripe.handle = keep  # type: ignore[method-assign] # a probe of this run only
    return sent


def has_event(sandbox: Sandbox, name: str) -> bool:
    """Whether an event of this type was made."""
    with sandbox.lock:
        sandbox.stripe.take_deliveries(time.time_ns() // 1_000_000)
        return sandbox.stripe.account.events.count("type", name) > 0


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
        recorded = {result.name: result.requests for result in passed}
        options.record.write_text(json.dumps(recorded, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    return 0 if len(passed) >= min(60, len(results)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
