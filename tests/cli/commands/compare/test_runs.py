"""``runs``: listed, read, approved, cancelled and discarded; the work itself is in tests/ops and tests/system."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation
from tests.support.planned_runs import add_planned, add_waiting
from wanesync.core.errors import ConfigError, GuardError, NotFound
from wanesync.core.operating.reconcile_runs import RunState
from wanesync.ops.reconcile.runs import read_run


def test_runs_are_listed(installation: Installation) -> None:
    assert "There was no run yet" in installation.run("runs", "list").stdout
    run_id = add_planned(installation.store)
    shown = installation.run("runs", "list").stdout
    assert run_id in shown
    assert "planned" in shown
    (run,) = installation.ask_rows("runs", "runs", "list")
    assert (run["id"], run["state"], run["started_by"]) == (run_id, "planned", "ada")


def test_a_run_is_shown_with_differences_masked(installation: Installation) -> None:
    run_id = add_planned(installation.store)
    shown = installation.run("runs", "show", run_id).stdout
    assert "update_customer" in shown
    assert f"wanesync runs apply {run_id}" in shown
    listed = installation.run("runs", "show", run_id, "--only", "update_customer").stdout
    assert "city: U*** → L***" in listed
    assert "Lyon" in installation.run("runs", "show", run_id, "--only", "update_customer", "--show-values").stdout
    document = installation.ask("runs", "show", run_id, "--only", "conflict")
    assert [row["planned"] for row in document["differences"]] == [False]  # type: ignore[attr-defined] # a list
    with pytest.raises(NotFound):
        installation.run("runs", "show", "unknown")


def test_what_the_listing_of_a_run_waits_for_is_shown(installation: Installation) -> None:
    run_id = add_waiting(installation.store)
    assert "stripe waits: jobs use nearly every request" in installation.run("runs", "show", run_id).stdout
    (run,) = installation.ask_rows("runs", "runs", "list")
    assert run["waits_for"] == {"stripe": "jobs use nearly every request"}


def test_a_run_is_discarded_and_not_applied_then(installation: Installation) -> None:
    run_id = add_planned(installation.store)
    with pytest.raises(GuardError, match="need no approval"):
        installation.run("runs", "approve", run_id)
    with pytest.raises(GuardError, match="nothing to cancel"):
        installation.run("runs", "cancel", run_id)
    assert "Discarded" in installation.run("runs", "discard", run_id).stdout
    with pytest.raises(GuardError, match="cannot be applied"):
        installation.run("runs", "apply", run_id)
    assert read_run(installation.store, run_id).state is RunState.DISCARDED


def test_without_keys_a_run_fails_and_says_which_to_give(installation: Installation) -> None:
    with pytest.raises(ConfigError, match=r"hubspot\.access_token"):
        installation.run("runs", "start")
    (run,) = installation.ask_rows("runs", "runs", "list")
    assert run["state"] == "failed"
    assert "hubspot.access_token: is needed" in str(run["problem"])
