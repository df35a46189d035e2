"""``wanesync sandbox`` as people use it: a process of its own, edited from the command line."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from wanesync.cli.commands.sandbox import app
from wanesync.sandbox.errors import SandboxUnreachable
from wanesync.sandbox.process import SandboxProcess
from wanesync.sandbox.seed_data import SeedOptions
from wanesync.sandbox.server import Options
from wanesync.sandbox.stand_in import Side


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wanesync.cli.commands.sandbox", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def process() -> Iterator[SandboxProcess]:
    with SandboxProcess(Options(seed=SeedOptions(20, 10, 5), tier="enterprise")) as started:
        yield started


@pytest.fixture
def at(process: SandboxProcess) -> tuple[str, ...]:
    return ("--hubspot", process.hubspot_url, "--stripe", process.stripe_url)


STOPPED_BEFORE_IT_WAITS = """
import os, signal
from wanesync.sandbox.server import Options, serve

def stop(_):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # another thread takes it, which interrupts no wait here
    os.kill(os.getpid(), signal.SIGTERM)

serve(Options(), stop)
"""


def test_a_signal_right_before_it_waits_stops_it() -> None:
    command = [sys.executable, "-c", STOPPED_BEFORE_IT_WAITS]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


def test_it_says_where_it_is_and_stops_when_asked() -> None:
    command = [sys.executable, "-m", "wanesync.cli.commands.sandbox", "--hubspot-port", "0", "--stripe-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        line = child.stdout.readline() + child.stdout.readline()
        os.kill(child.pid, signal.SIGTERM)
        _, errors = child.communicate(timeout=15)

    assert len(re.findall(r"http://127\.0\.0\.1:\d+", line)) == 2
    assert re.search(r"pat-\S+", line)
    assert re.search(r"sk_test_\S+", line)
    assert (errors, child.returncode) == ("", 0)


def test_the_crowd_it_begins_with(process: SandboxProcess) -> None:
    assert len(process.control().records(Side.HUBSPOT)) >= 20
    assert len(process.control().records(Side.STRIPE)) >= 10


def test_a_contact_is_made_edited_and_deleted(process: SandboxProcess, at: tuple[str, ...]) -> None:
    made = run("create", "contact", "email=zoe@example.com", "firstname=Zoë", "lastname=a=b", *at)
    assert (made.returncode, made.stderr) == (0, "")
    contact_id = made.stdout.strip()
    assert run("edit", "contact", contact_id, "city=São Paulo", "firstname=", *at).returncode == 0

    row = next(row for row in process.control().records(Side.HUBSPOT) if row["id"] == contact_id)
    assert (row["city"], row["lastname"], row.get("firstname", "")) == ("São Paulo", "a=b", "")
    assert run("delete", "contact", contact_id, *at).returncode == 0
    assert contact_id not in [row["id"] for row in process.control().records(Side.HUBSPOT)]


def test_a_customer_buys_and_so_does_a_guest(process: SandboxProcess, at: tuple[str, ...]) -> None:
    customer_id = run("create", "customer", "email=buyer@example.com", "name=Buyer", *at).stdout.strip()
    bought = run("purchase", "--customer", customer_id, "--amount", "1999", "--currency", "EUR", *at)
    guest = run("purchase", "--email", "guest@example.com", "--amount", "500", "--currency", "jpy", *at)

    assert (bought.returncode, guest.returncode) == (0, 0)
    kinds = {str(entry["record_id"]): entry["kind"] for entry in process.control().journal(Side.STRIPE)}
    assert kinds[bought.stdout.strip()] == "charge.succeeded"
    assert kinds[guest.stdout.strip()] == "charge.succeeded"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("edit", "contact", "1", "city=x"), "1"),
        (("edit", "customer", "cus_nobody", "name=x"), "cus_nobody"),
        (("create", "contact", "city"), "'city' is not FIELD=VALUE"),
        (("create", "contact", "=x"), "is not FIELD=VALUE"),
        (("create", "contact", "no_such=x"), "no_such"),
    ],
)
def test_a_wrong_edit_is_one_line_and_code_2(at: tuple[str, ...], arguments: tuple[str, ...], said: str) -> None:
    ended = run(*arguments, *at)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("wanesync sandbox: ")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--latency-ms", "400-150"),
        ("--latency-ms", "slow"),
        ("--latency-ms", "1-nan"),
        ("--faults", "chaos"),
        ("--contacts", "1", "--customers", "1", "--overlap", "2"),
        ("--contacts", "-1"),
        ("--tier", "free"),
        ("--hubspot-port", "70000"),
        ("--stripe-limit", "0"),
        ("edit", "company", "1", "name=x"),
        ("purchase", "--amount", "0", "--currency", "eur"),
        ("fly",),
    ],
)
def test_wrong_use_is_code_2_without_a_traceback(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_sandbox_it_is_code_4() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        ended = run("create", "contact", "email=a@example.com", "--hubspot", url)
    assert (ended.returncode, ended.stdout) == (4, "")
    assert "wanesync sandbox" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_code_2(process: SandboxProcess) -> None:
    port = process.hubspot_url.rpartition(":")[2]
    ended = run("--hubspot-port", port, "--stripe-port", "0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"port {port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_process_that_cannot_start_says_why(process: SandboxProcess) -> None:
    port = int(process.hubspot_url.rpartition(":")[2])
    with pytest.raises(SandboxUnreachable, match=f"port {port}"):
        SandboxProcess(Options(hubspot_port=port))


def statuses(url: str, path: str, key: str, count: int) -> list[int]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    found = []
    for _ in range(count):
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        answer.read()
        found.append(answer.status)
    connection.close()
    return found


def test_the_limits_latency_and_faults_it_was_started_with_hold() -> None:
    with SandboxProcess(Options(stripe_limit=7, hubspot_limit=5, latency_ms=(1, 2))) as started:
        assert 429 in statuses(started.stripe_url, "/v1/customers", started.stripe_key, 12)
        assert 429 in statuses(started.hubspot_url, "/crm/v3/objects/contacts", started.hubspot_key, 12)
    with SandboxProcess(Options(fault_profile="rough", stripe_limit=1000)) as started:
        assert 503 in statuses(started.stripe_url, "/v1/customers", started.stripe_key, 400)


def test_json_prints_one_document() -> None:
    command = [
        sys.executable,
        "-m",
        "wanesync.cli.commands.sandbox",
        "--hubspot-port",
        "0",
        "--stripe-port",
        "0",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        started = json.loads(child.stdout.readline())
        os.kill(child.pid, signal.SIGINT)
        rest, _ = child.communicate(timeout=15)
    assert set(started) == {"hubspot_url", "stripe_url", "hubspot_key", "stripe_key"}
    assert (rest, child.returncode) == ("", 0)


def test_it_is_a_group_of_a_larger_program() -> None:
    program = typer.Typer()
    program.add_typer(app, name="sandbox")
    helped = CliRunner().invoke(program, ["sandbox", "--help"])
    assert helped.exit_code == 0
    assert all(name in helped.output for name in ("--latency-ms", "--hubspot-limit", "edit", "purchase"))
    assert CliRunner().invoke(program, ["sandbox", "--faults", "chaos"]).exit_code == 2
