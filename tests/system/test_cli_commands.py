"""Every command as an operator uses it: what it prints, what it changes, and its exit code."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.forked import ROOT
from tests.support.stage import Stage
from wanesync.cli.main import app
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.sandbox.server import Options
from wanesync.store.database import Tx

COMMANDS = (
    "init", "serve", "worker", "up", "writes", "status", "reconcile", "diff", "catch-up", "jobs", "retry", "history",
    "logs", "conflicts", "webhooks", "pause", "resume", "hold", "limits", "sandbox", "demo", "db", "bench",
)  # fmt: skip
ENV = {name: value for name, value in os.environ.items() if not name.startswith("WANESYNC_")}


def wanesync(*arguments: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    paths = {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "wanesync.cli.main", *arguments]
    return subprocess.run(
        command, cwd=folder, env=ENV | paths | env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A pair, people on one side only, and no worker: nothing changes unless a test changes it."""
    folder = tmp_path_factory.mktemp("commands")
    with Stage(f"sqlite:{folder / 'wanesync.db'}", folder) as made:
        made.edit(Side.HUBSPOT, "create", email="ana@example.com", firstname="Ana", city="Lyon")
        made.edit(Side.STRIPE, "create", email="ANA@example.com", name="Ana", address__city="Oslo")
        made.edit(Side.HUBSPOT, "create", email="tom@example.com", firstname="Tom")
        made.edit(Side.HUBSPOT, "create", firstname="Nobody")
        yield made


@pytest.fixture(name="fresh")
def open_fresh(tmp_path: Path) -> Iterator[Stage]:
    """A sandbox and a database without a record."""
    with Stage(f"sqlite:{tmp_path / 'wanesync.db'}", tmp_path) as made:
        yield made


# -- without a configuration


def test_help_and_version_are_quick_and_name_every_command(tmp_path: Path) -> None:
    helped = wanesync("--help", folder=tmp_path)
    assert helped.returncode == 0
    listed = [line.split()[0] for line in helped.stdout.splitlines() if line.startswith("  ") and line.strip()]
    assert set(COMMANDS) <= set(listed)
    assert wanesync("--version", folder=tmp_path).stdout.startswith("wanesync ")


def test_without_any_configuration_the_advice_is_init(tmp_path: Path) -> None:
    refused = wanesync("status", folder=tmp_path)
    assert refused.returncode == 2
    assert "wanesync init" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_init_writes_a_file_to_fill_in_that_only_its_owner_reads(tmp_path: Path) -> None:
    begun = wanesync("init", folder=tmp_path)
    made = tmp_path / "wanesync.toml"
    assert begun.returncode == 2
    assert "wrote wanesync.toml" in begun.stderr
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    made_text = made.read_text()
    again = wanesync("init", folder=tmp_path)
    assert (again.returncode, made.read_text()) == (2, made_text), "what is there is never overwritten"
    assert "create.customers" in again.stderr


def test_a_bad_configuration_lists_all_its_problems_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('databse = "x"\n[hubspot]\nrate = -1\n[create]\ncustomers = "some"\n')
    refused = wanesync("status", "--config", "bad.toml", folder=tmp_path)
    assert refused.returncode == 2
    for text in ("databse", "database?", "bad.toml:3", "bad.toml:5", "contacts"):
        assert text in refused.stderr, text
    assert "Traceback" not in refused.stderr


def test_a_wrong_option_and_a_missing_file_are_wrong_use(tmp_path: Path) -> None:
    assert wanesync("status", "--nonsense", folder=tmp_path).returncode == 2
    assert wanesync("status", "--config", "none.toml", folder=tmp_path).returncode == 2
    assert wanesync("demo", "--database", "sqlite:x.db", folder=tmp_path).returncode == 2
    assert wanesync("demo", "--contacts", "20", "--overlap", "21", folder=tmp_path).returncode == 2


def test_a_side_that_is_not_there_ends_in_exit_code_4(tmp_path: Path) -> None:
    env = {
        "WANESYNC_DATABASE": f"sqlite:{tmp_path / 'x.db'}",
        "WANESYNC_HUBSPOT__ACCESS_TOKEN": "pat-na1-x",
        "WANESYNC_NETWORK__ALLOW_BASE_URL": "true",
        "WANESYNC_HUBSPOT__BASE_URL": "http://127.0.0.1:9",
        "WANESYNC_STRIPE__API_KEY": "sk_test_x",
        "WANESYNC_STRIPE__BASE_URL": "http://127.0.0.1:9",
    }
    refused = wanesync("init", folder=tmp_path, **env)
    assert refused.returncode == 4
    assert "hubspot cannot be reached" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert wanesync("serve", folder=tmp_path, **env).returncode == 2, "serve needs the webhook secrets"


@pytest.mark.parametrize(
    "command",
    ["status --check", "jobs", "retry --all --yes", "limits", "limits set stripe 5", "hold list", "pause hubspot",
     "resume", "history ana@example.com", "logs", "conflicts", "webhooks set-aside", "writes on", "db prune", "diff",
     "reconcile"],
)  # fmt: skip
def test_commands_that_need_a_database_do_not_create_one(tmp_path: Path, command: str) -> None:
    (tmp_path / "conf.toml").write_text('[create]\ncustomers = "all"\ncontacts = "all"\n')
    (tmp_path / "sub").mkdir()
    done = CliRunner().invoke(app, [*command.split(), "--config", str(tmp_path / "conf.toml")])
    assert isinstance(done.exception, ConfigError), done.output
    (problem,) = done.exception.problems
    assert f"{tmp_path / 'wanesync.db'} is not set up yet: run `wanesync init`" in problem
    assert {path.name for path in tmp_path.iterdir()} == {"conf.toml", "sub"}


def test_the_database_is_found_from_every_folder(tmp_path: Path) -> None:
    (tmp_path / "conf.toml").write_text('[create]\ncustomers = "all"\ncontacts = "all"\n')
    (tmp_path / "sub").mkdir()
    assert wanesync("db", "migrate", "--config", "conf.toml", folder=tmp_path).returncode == 0
    seen = wanesync("status", "--check", "--config", "../conf.toml", folder=tmp_path / "sub")
    assert (seen.returncode, "first listing missing" in seen.stdout) == (1, True), seen.stderr
    assert list((tmp_path / "sub").iterdir()) == []


# -- reading


def test_diff_prints_exactly_its_document_and_masks_values(stage: Stage) -> None:
    document = stage.ask("diff", code=1)
    assert set(document) == {"version", "counts", "plan", "unlike", "set_aside", "requests", "timing", "differences"}
    counts, differences = document["counts"], document["differences"]
    assert isinstance(counts, dict)
    assert isinstance(differences, list)
    assert set(counts) == {str(kind) for kind in DifferenceClass}
    assert (counts["create_customer"], counts["conflict"], counts["excluded"]) == (1, 1, 1)
    assert all(set(found) == {"class", "hubspot_id", "stripe_id", "fields", "note"} for found in differences)
    conflict = next(found for found in differences if found["class"] == "conflict")
    assert conflict["fields"]["city"]["hubspot"] == "L***"
    assert "tom@example.com" not in json.dumps(document)

    shown = stage.run("diff", "--show-values")
    assert shown.returncode == 1
    assert "tom@example.com" in shown.stdout
    assert "Lyon | Oslo" in shown.stdout


def test_diff_changes_nothing(stage: Stage) -> None:
    before = {side: len(stage.writes(side)) for side in Side}
    stage.run("diff")
    stage.run("reconcile", "--dry-run")
    assert {side: len(stage.writes(side)) for side in Side} == before
    with stage.store.reading() as tx:
        assert tx.links.count_active() == 0


def test_a_dry_run_shows_what_would_be_repaired(stage: Stage) -> None:
    dry = stage.run("reconcile", "--dry-run")
    assert dry.returncode == 1
    assert "create_customer" in dry.stdout
    assert "Next: wanesync reconcile queues these repairs" in " ".join(dry.stdout.split())


def test_status_has_every_part_and_check_exits_1_if_there_is_an_alarm(stage: Stage) -> None:
    document = stage.ask("status")
    assert {"lanes", "limits", "pauses", "records", "links", "purchases", "processes", "alarms", "writes"} <= set(
        document
    )
    shown = stage.run("status")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "first listing missing" in shown.stdout
    checked = stage.run("status", "--check")
    assert (checked.returncode, checked.stdout.count("first listing missing")) == (1, 1)


def test_status_watch_ends_with_ctrl_c(stage: Stage) -> None:
    # A runner in the background of a shell ignores SIGINT, and so would its children.
    heed = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program = f"{heed}runpy.run_module('wanesync.cli.main', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", program, "status", "--watch", "--config", str(stage.file)]
    with subprocess.Popen(command, cwd=ROOT, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        stage.until(lambda: _holds_lock(child.pid), "it looks at the database")
        assert child.poll() is None, "it keeps running"
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=10)
    assert b"Traceback" not in errors


@pytest.mark.parametrize("other", ["--check", "--json"])
def test_status_watch_goes_with_nothing_else(stage: Stage, other: str) -> None:
    done = CliRunner().invoke(app, ["status", "--watch", other, "--config", str(stage.file)])
    assert isinstance(done.exception, ConfigError)
    assert f"leave out {other}" in str(done.exception)


def _holds_lock(pid: int) -> bool:
    """Whether a process has a lock on a file, as each with an open SQLite database does."""
    return any(line.split()[4] == str(pid) for line in Path("/proc/locks").read_text().splitlines() if "->" not in line)


# -- changing


def test_writes_are_switched_and_remembered(stage: Stage) -> None:
    assert stage.ask("writes") == {"version": 1, "writes": "on", "woken": 0}
    assert stage.ask("writes", "off")["writes"] == "off"
    assert stage.ask("writes", "status")["writes"] == "off"
    assert "Writes are on." in stage.run("writes", "on").stdout
    assert stage.run("writes", "maybe").returncode == 2


def test_dead_letters_are_listed_and_retried(stage: Stage) -> None:
    def bury(key: str) -> None:
        stage.store.run(lambda tx: tx.jobs.put(JobRequest(Side.STRIPE, JobKind.READ, key)))
        jobs = stage.store.run(lambda tx: tx.jobs.claim(Side.STRIPE, [JobKind.READ], 10, "test"))
        for job in jobs:
            stage.store.run(lambda tx, job=job: tx.jobs.mark_dead(job, DeadClass.REFUSED, "it said no"))  # type: ignore[misc] # a bound name in a lambda

    bury("cus_one")
    dead = stage.ask("jobs", "--dead")["dead"]
    assert isinstance(dead, list)
    assert [(job["key"], job["class"], job["reason"]) for job in dead if job["key"] == "cus_one"] == [
        ("cus_one", "refused", "it said no")
    ]
    assert "it said no" in stage.run("jobs").stdout
    document = stage.ask("status")
    assert document["lanes"]["stripe"]["dead_classes"] == {"refused": 1}  # type: ignore[index] # plain JSON
    assert document["lanes"]["stripe"]["flow"]["read"]["given_up_in_60_min"] == 1  # type: ignore[index] # plain JSON
    assert "1 refused" in stage.run("status", "--check").stdout
    unasked = stage.run("retry", dead[0]["id"])
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True), "there is no terminal to answer on"
    retried_one = stage.ask("retry", dead[0]["id"], "--yes")
    assert (retried_one["retried"], retried_one["kept"], retried_one["classes"]) == (1, 0, {"refused": 1})
    missing = stage.run("retry", "nothing", "--yes")
    assert (missing.returncode, "no dead job" in missing.stderr) == (2, True)
    assert stage.run("retry").returncode == 2
    assert stage.run("retry", "--all", "--class", "gone").returncode == 2
    bury("cus_two")
    assert stage.ask("retry", "--class", "gone", "--yes") == {"version": 1, "retried": 0, "classes": {}}
    retried = stage.ask("retry", "--all", "--yes")["retried"]
    assert isinstance(retried, int)
    assert retried >= 1
    assert stage.ask("jobs", "--dead")["dead"] == []
    with stage.store.reading() as tx:
        assert "retried" in {row.kind for row in tx.journal.latest(10)}


def test_dead_letters_are_filtered(fresh: Stage) -> None:
    def bury(tx: Tx) -> None:
        tx.jobs.put_many([JobRequest(Side.HUBSPOT, kind, f"contact:{kind}") for kind in JobKind])
        for job in tx.jobs.claim(Side.HUBSPOT, None, 10, "test"):
            tx.jobs.mark_dead(job, DeadClass.GONE if job.kind is JobKind.READ else DeadClass.VALIDATION, "it said no")

    def keys(*arguments: str) -> list[str]:
        dead = fresh.ask("jobs", "--dead", *arguments)["dead"]
        assert isinstance(dead, list)
        return sorted(job["key"] for job in dead)

    fresh.store.run(bury)
    assert keys("--class", "gone") == keys("--kind", "read") == ["contact:read"]
    assert keys("--side", "hubspot", "--since", "1h") == ["contact:purchase", "contact:read", "contact:write"]
    assert keys("--side", "stripe") == keys("--since", "2999-01-01") == []
    assert len(keys("--limit", "1")) == 1
    assert fresh.run("jobs", "--since", "yesterday").returncode == 2
    assert fresh.run("jobs", "--class", "nonsense").returncode == 2
    shown = fresh.run("jobs", "--dead", "--kind", "write").stdout
    for text in ("write hubspot", "contact:write", "validation", "it said no", "ago"):
        assert text in shown, text
    assert fresh.ask("retry", "--class", "validation", "--kind", "write", "--yes")["retried"] == 1
    assert keys() == ["contact:purchase", "contact:read"]
    assert fresh.ask("retry", "--side", "hubspot", "--yes")["classes"] == {"gone": 1, "validation": 1}


def test_on_a_terminal_retry_shows_how_many_and_asks(fresh: Stage) -> None:
    def bury(tx: Tx) -> None:
        tx.jobs.put_many([JobRequest(Side.STRIPE, JobKind.READ, f"cus_{number}") for number in range(3)])
        for job in tx.jobs.claim(Side.STRIPE, [JobKind.READ], 10, "test"):
            tx.jobs.mark_dead(job, DeadClass.EXHAUSTED, "it said nothing")

    def answer(word: str) -> tuple[int, str]:
        near, far = os.openpty()
        arguments = ["retry", "--class", "exhausted", "--config", str(fresh.file)]
        command = [sys.executable, "-m", "wanesync.cli.main", *arguments]
        with subprocess.Popen(command, cwd=ROOT, env=ENV, stdin=far, stdout=subprocess.PIPE, stderr=far) as child:
            os.close(far)
            os.write(near, f"{word}\n".encode())
            child.communicate(timeout=60)
            said = os.read(near, 100_000).decode()
        os.close(near)
        return child.returncode, said

    fresh.store.run(bury)
    code, said = answer("n")
    assert (code, "3 dead letters" in said, "Nothing was changed" in said) == (1, True, True), said
    with fresh.store.reading() as tx:
        assert len(tx.dead_letters.latest()) == 3
    assert answer("y")[0] == 0
    with fresh.store.reading() as tx:
        assert tx.dead_letters.latest() == []


def test_db_prune_lists_what_would_be_removed_and_what_was(stage: Stage) -> None:
    names = {"events", "event_payloads", "done_jobs", "webhooks_set_aside", "own_writes", "closed_conflicts"}
    names |= {"counted_overwrites", "counted_sources", "journal", "webhook_counts"}
    names |= {"figures_by_minute", "figures_by_hour", "traces_of_jobs"}
    names |= {"failed_attempts", "jobs_of_bulk_runs", "bulk_runs", "reconcile_plans", "reconcile_runs"}
    names |= {"API_answers", "alerts", "counts_of_crowds", "log_lines", "notices", "silences"}
    names |= {"samples_of_queues"}
    for arguments in (["--dry-run"], []):
        document = stage.ask("db", "prune", *arguments)
        assert document["dry_run"] == bool(arguments)
        assert document["rows"] == dict.fromkeys(names, 0)
    assert "done jobs" in stage.run("db", "prune").stdout


def test_db_migrate_may_run_again(stage: Stage) -> None:
    assert stage.ask("db", "migrate")["state"] == "up to date"


def test_catch_up_reports_each_side(stage: Stage) -> None:
    document = stage.ask("catch-up")
    assert set(document) == {"version", "hubspot", "stripe"}


# -- from init to history


def test_init_reconcile_history(tmp_path: Path) -> None:
    with Stage(f"sqlite:{tmp_path / 'wanesync.db'}", tmp_path) as stage:
        contact_id = stage.edit(Side.HUBSPOT, "create", email="eve@example.com", firstname="Eve", lastname="Stone")
        prepared = stage.run("init", "--hubspot")
        assert prepared.returncode == 0, prepared.stderr
        assert "portal 4242" in prepared.stdout
        assert "wanesync diff" in prepared.stdout

        alone = stage.ask("reconcile", code=1)
        assert alone["jobs"] == 1
        assert alone["trouble"] == ["No worker runs the stripe lane: start wanesync worker."]
        worker = stage.work()
        done = stage.ask("reconcile", "--wait")
        assert (done["left"], done["dead"]) == (0, 0)
        stage.rest()
        again = stage.ask("reconcile", "--wait")
        assert (again["jobs"], stage.ask("diff")["differences"]) == (0, [])
        assert worker.stop() == 0, "SIGTERM ends it cleanly"

        customer_id = stage.customer("eve@example.com")["id"]
        told = stage.ask("history", "EVE@example.com")
        assert told == stage.ask("history", contact_id) == stage.ask("history", customer_id)
        kinds = [entry["kind"] for entry in told["journal"]]  # type: ignore[attr-defined] # plain JSON
        assert "created" in kinds
        assert "linked" in kinds
        assert "eve@example.com" not in json.dumps(told)
        assert "Eve Stone" in stage.run("history", contact_id, "--show-values").stdout
        unknown = stage.run("history", "unknown@example.com")
        assert (unknown.returncode, unknown.stdout) == (2, "")


def test_writes_off_writes_nothing_and_writes_on_continues(tmp_path: Path) -> None:
    with Stage(f"sqlite:{tmp_path / 'wanesync.db'}", tmp_path) as stage:
        stage.edit(Side.HUBSPOT, "create", email="eve@example.com", firstname="Eve")
        assert stage.ask("writes", "off")["writes"] == "off"
        stage.reconcile()
        stage.work()
        stage.until(lambda: _would_write(stage), "the worker says what it would write")
        assert stage.writes(Side.STRIPE, "customer.created") == []
        assert stage.ask("writes", "on")["woken"] == 1
        stage.until(lambda: stage.customer("eve@example.com"), "then it is written")
        assert len(stage.writes(Side.STRIPE, "customer.created")) == 1


def _would_write(stage: Stage) -> bool:
    with stage.store.reading() as tx:
        return any(row.kind == "would write" for row in tx.journal.latest(20))


def test_a_guard_stops_a_reconcile_that_would_overwrite_too_many(tmp_path: Path) -> None:
    more = '[first_contact]\ndiffer = "owner"\n'
    with Stage(f"sqlite:{tmp_path / 'wanesync.db'}", tmp_path, more=more) as stage:
        for number in range(20):
            stage.edit(Side.HUBSPOT, "create", email=f"p{number}@example.com", company="One Ltd")
            stage.edit(Side.STRIPE, "create", email=f"p{number}@example.com", business_name="Two Ltd")
        stopped = stage.run("reconcile")
        assert stopped.returncode == 3
        assert "--force 20" in stopped.stderr
        assert stage.run("reconcile", "--force", "19").returncode == 3
        with stage.store.reading() as tx:
            assert tx.jobs.next_due_ms(Side.STRIPE) is None, "nothing was queued"
        assert stage.run("reconcile", "--force", "20").returncode == 1, "queued, and no worker runs"


def test_up_does_everything_by_itself(database_url: str, tmp_path: Path) -> None:
    options = Options(tier="professional", stripe_limit=1000, hubspot_limit=1000)
    with Stage(database_url, tmp_path, options, "[admin]\nport = 0\n") as stage:
        old = stage.edit(Side.STRIPE, "create", email="Old@example.com", name="Old Hand")
        stage.edit(Side.HUBSPOT, "create", email="old@example.com", city="Lyon")
        program = stage.start("up")
        stage.aim(next(word for word in program.first_line().split() if word.startswith("http")))
        stage.until(lambda: stage.row(Side.STRIPE, old).get("address.city") == "Lyon", "the first listing is done")
        stage.edit(Side.STRIPE, "purchase", old, amount="1999", currency="usd")
        stage.until(lambda: stage.writes(Side.HUBSPOT, "note.created"), "a purchase becomes a note")
        assert len(stage.sandbox.records(Side.STRIPE)) == len(stage.sandbox.records(Side.HUBSPOT)) == 1
        assert stage.run("status", "--check").returncode == 0
        # The admin page runs in it, too, and prints its address in any order with the rest.
        while "wanesync admin is at http://127.0.0.1:" not in program.first_line():
            pass
        assert program.stop() == 0
