"""Commands of an operator without a running worker: wrong input, dry runs, limits, holds and the journal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.core_builders import link
from tests.support.forked import ROOT, run_forked
from tests.support.lanes import bury
from tests.support.stage import Stage
from wanesync.core.change_guard import HeldValue, HoldKind, field_source
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side, contact_key
from wanesync.core.rate_limits import cap
from wanesync.store.database import Store, Tx

FLOW = "hubspot:AUTOMATION_PLATFORM/enrollmentId:1234567890123;actionExecutionIndex:0"
TOO_MANY = "99999999999999999999"


@pytest.fixture(name="stage", scope="module")
def open_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("operator")
    with Stage(f"sqlite:{folder / 'wanesync.db'}", folder) as made:
        yield made


@pytest.fixture(name="fresh")
def open_fresh(tmp_path: Path) -> Iterator[Stage]:
    """A database without a journal entry."""
    with Stage(f"sqlite:{tmp_path / 'wanesync.db'}", tmp_path) as made:
        yield made


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command exactly as it is typed."""
    return run_forked(arguments, env, 60)


def count_entries(store: Store, kind: str) -> int:
    """How many journal entries of a kind there are."""
    with store.reading() as tx:
        return sum(entry.kind == kind for entry in tx.journal.latest(1000))


def configured(store: Store) -> float:
    with store.reading() as tx:
        return tx.rates.all()["hubspot"].configured


def hold_name(tx: Tx, source: str = FLOW) -> str:
    """Open a hold that keeps back one name; its id."""
    hold_id, _ = tx.holds.open(source, HoldKind.BRAKE)
    tx.links.put(link("a", "cus_a"))
    tx.holds.put(link("a", "cus_a").id, "name", HeldValue(Side.HUBSPOT, "Ada\x1fLovelace", "Ada\x1fByron", hold_id))
    return hold_id


# -- limits


def test_the_file_named_before_a_command_of_limits_is_the_one_it_acts_on(fresh: Stage, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.touch(mode=0o600)
    other.write_text(fresh.file.read_text().replace("wanesync.db", "other.db"))
    env = {"WANESYNC_CONFIG": str(other)}
    named = ("--config", str(fresh.file))
    assert run("db", "migrate", **env).returncode == 0
    assert run("limits", "set", "hubspot", "20/s", **env).returncode == 0
    for arguments, per_s in (
        (("limits", *named, "set", "hubspot", "9/s"), 9),
        (("limits", "set", "hubspot", "8/s", *named), 8),
        (("limits", "--config", str(other), "set", "hubspot", "7/s", *named), 7),
        (("limits", *named, "reset", "hubspot"), 90),
    ):
        done = run(*arguments, **env)
        assert (done.returncode, configured(fresh.store)) == (0, per_s), done.stderr
    with_json = run("limits", "--json", "set", "hubspot", "6/s", **env)
    assert json.loads(with_json.stdout)["configured"] == 6
    listed = json.loads(run("limits", "--json", **env).stdout)["limits"]
    assert next(row["configured"] for row in listed if row["scope"] == "hubspot") == 6
    assert configured(fresh.store) == 90


def test_what_hubspot_allows_is_the_reason_shown_and_no_setting_passes_it(fresh: Stage) -> None:
    assert fresh.run("limits", "set", "hubspot", "15/s").returncode == 0
    fresh.store.run(lambda tx: tx.rates.put(cap(tx.rates.all()["hubspot"], 190, 10_000)))
    refused = fresh.run("limits", "set", "hubspot", "18/s")
    assert refused.returncode == 2
    assert "17.1/s is what HubSpot's answers allow this app; that rises as soon as they allow more" in refused.stderr
    assert "--force keeps 18/s for then" in refused.stderr
    forced = fresh.run("limits", "set", "hubspot", "18/s", "--force")
    reason = "HubSpot's answers allow this app 17.1/s"
    assert f"hubspot is 18/s from now on; in effect 17.1/s: {reason}" in forced.stdout
    assert forced.stderr == ""
    assert reason in fresh.run("limits").stdout
    with fresh.store.reading() as tx:
        known = tx.rates.all()["hubspot"]
    assert known.configured == 18
    assert known.effective == pytest.approx(17.1)


def test_the_same_limit_again_is_reported_and_not_journalled(fresh: Stage) -> None:
    assert "from now on" in fresh.run("limits", "set", "hubspot", "12/s").stdout
    assert "hubspot is 12/s already" in fresh.run("limits", "set", "hubspot", "12/s").stdout
    assert count_entries(fresh.store, "limit set") == 1
    # Refusals lowered it: the same value is a change, for it acts at once.
    fresh.store.run(lambda tx: tx.rates.put(replace(tx.rates.all()["hubspot"], effective=6.0)))
    assert "from now on" in fresh.run("limits", "set", "hubspot", "12/s").stdout
    assert count_entries(fresh.store, "limit set") == 2


# -- bad input


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "--since", "99999999999999w"),
        ("retry", "--since", "99999999999999w", "--yes"),
        ("jobs", "--limit", TOO_MANY),
        ("history", "--limit", TOO_MANY),
        ("hold", "list", "--limit", TOO_MANY),
    ],
)
def test_numbers_beyond_the_range_are_refused(stage: Stage, arguments: tuple[str, ...]) -> None:
    refused = stage.run(*arguments)
    assert refused.returncode == 2, refused.stderr
    assert arguments[-2 if arguments[-1] != "--yes" else -3] in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_unknown_field_is_neither_paused_nor_resumed(stage: Stage) -> None:
    for command in ("pause", "resume"):
        refused = stage.run(command, "--field", "nosuch")
        assert (refused.returncode, "there is no such field; there are" in refused.stderr) == (2, True)
    assert "company was not paused." in stage.run("resume", "--field", "company").stdout
    # It was paused while it still was a field.
    stage.store.run(lambda tx: tx.holds.open(field_source("nosuch"), HoldKind.FIELD))
    assert "nosuch is resumed.\n" in stage.run("resume", "--field", "nosuch").stdout


# -- what is held and what was given up


def test_a_hold_has_its_whole_id_and_its_names_in_one_piece(fresh: Stage) -> None:
    hold_id = fresh.store.run(hold_name)
    assert hold_id in fresh.run("hold", "list", "--limit", "0").stdout
    shown = fresh.run("hold", "list", "--show-values")
    assert hold_id in shown.stdout
    assert "Ada Lovelace" in " ".join(shown.stdout.split())
    found = fresh.ask("hold", "list", "--show-values")["holds"]
    assert isinstance(found, list)
    assert (found[0]["first"][0]["hubspot"], found[0]["first"][0]["stripe"]) == ("Ada Lovelace", "Ada Byron")


def test_a_dry_run_of_release_and_discard_changes_nothing(fresh: Stage) -> None:
    hold_id = fresh.store.run(hold_name)
    counts = {"holds": 1, "people": 1, "fields": 1}
    assert fresh.ask("hold", "release", hold_id, "--dry-run") == {"version": 1, "dry_run": True, "released": counts}
    discarded = fresh.run("hold", "discard", "all", "--dry-run")
    said = "1 hold would be discarded: 1 value of 1 person would stay as they are; nothing was changed.\n"
    assert (discarded.returncode, discarded.stdout) == (0, said)
    with fresh.store.reading() as tx:
        assert ([row.state for row in tx.holds.all()], tx.jobs.depth()) == (["open"], [])
    assert count_entries(fresh.store, "hold released") == count_entries(fresh.store, "hold discarded") == 0
    fresh.store.run(lambda tx: tx.holds.open(field_source("city"), HoldKind.FIELD))
    assert fresh.ask("hold", "release", hold_id, "--yes") == {"version": 1, "released": counts}
    assert "1 hold discarded: no values were held.\n" in fresh.run("hold", "discard", "all", "--yes").stdout


def test_a_dry_run_of_retry_changes_nothing(fresh: Stage) -> None:
    for number in (1, 2):
        bury(fresh.store, JobRequest(Side.STRIPE, JobKind.WRITE, contact_key(str(number))))
    shown = fresh.run("retry", "--all", "--dry-run")
    assert shown.returncode == 0
    assert "refused 2" in " ".join(shown.stdout.split())
    assert "2 jobs would be tried again; nothing was changed." in shown.stdout
    answer = fresh.ask("retry", "--class", "refused", "--dry-run")
    assert answer == {"version": 1, "dry_run": True, "retried": 2, "classes": {"refused": 2}}
    assert count_entries(fresh.store, "retried") == 0
    with fresh.store.reading() as tx:
        assert len(tx.dead_letters.latest()) == 2


# -- what was done


def test_history_without_a_person_lists_the_newest_entries(fresh: Stage) -> None:
    assert "Nothing was done yet." in fresh.run("history").stdout
    assert fresh.run("pause", "stripe").returncode == 0
    assert fresh.run("limits", "set", "hubspot", "12/s").returncode == 0
    bury(fresh.store, JobRequest(Side.STRIPE, JobKind.WRITE, contact_key("1")))
    assert fresh.run("retry", "--all", "--yes").returncode == 0
    entered = {"hold": "h1", "source": "hubspot:CRM_UI/jane@example.com", "kind": "brake"}
    changed = {"source": "7", "fields": {"name": ["", "Ada\x1fLovelace"], "source": ["", "jane@example.com"]}}
    # In one transaction: two that share a millisecond have no order.
    with fresh.store.transaction() as tx:
        tx.journal.add("hold opened", None, "", "", entered)
        tx.journal.add("updated", Side.STRIPE, "cus_1", "l1", changed)

    entries = fresh.ask("history")["journal"]
    assert isinstance(entries, list)
    assert [entry["kind"] for entry in entries] == [
        "paused",
        "limit set",
        "retried",
        "retried",
        "hold opened",
        "updated",
    ]
    newest = fresh.ask("history", "--limit", "2")["journal"]
    assert newest == entries[-2:]
    assert entries[4]["data"]["source"] == "hubspot:CRM_UI/j***"
    assert entries[5]["data"]["fields"] == {"name": ["", "A***"], "source": ["", "j***@e***"]}
    listed = fresh.run("history", "--limit", "3").stdout
    assert "jane" not in listed
    assert "limit set" not in listed
    assert "cus_1" in listed
    assert "Ada Lovelace" in fresh.run("history", "--show-values").stdout


def test_the_package_can_be_run_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wanesync", "--version"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()[0]) == (0, "wanesync"), done.stderr
