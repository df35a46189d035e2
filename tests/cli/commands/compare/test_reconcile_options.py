"""Which options of ``reconcile`` can be combined."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanesync.cli.commands.compare.reconcile_options import ReconcileOptions
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError

SOMEWHERE = Path("plan.json")


def test_without_options_it_is_a_run_that_writes() -> None:
    options = ReconcileOptions()
    assert (options.dry_run, options.max_creates, options.decision_file) == (False, None, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dry_run": True, "plan_out": SOMEWHERE}, "--dry-run and --plan-out exclude one another"),
        ({"apply": SOMEWHERE, "decisions": SOMEWHERE}, "--apply and --decisions exclude one another"),
        ({"dry_run": True, "wait": True}, "--wait would do nothing with --dry-run"),
        ({"dry_run": True, "only": frozenset({DifferenceClass.CONFLICT})}, "--only would do nothing with --dry-run"),
        ({"plan_out": SOMEWHERE, "max_creates": 0}, "--max-creates would do nothing with --plan-out"),
        ({"apply": SOMEWHERE, "since": "2h"}, "--since would do nothing with --apply"),
        ({"baseline": True, "force": 0, "limit": 1}, "--force, --limit would do nothing with --baseline"),
    ],
)
def test_what_does_not_go_together_is_named(options: dict[str, bool], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ReconcileOptions(**options)  # type: ignore[arg-type] # one mapping for options of several types


def test_decisions_are_read_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        ReconcileOptions(decisions=tmp_path / "missing.csv")
    table = tmp_path / "table.csv"
    table.write_bytes(b"decision\n")
    assert ReconcileOptions(decisions=table, force=3).decision_file == b"decision\n"
