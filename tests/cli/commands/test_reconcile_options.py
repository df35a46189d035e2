"""Which options of ``reconcile`` go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanesync.cli.commands.reconcile_options import DEFAULT_CREATES, Wish
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError

SOMEWHERE = Path("plan.json")


def test_nothing_said_is_a_run_that_writes() -> None:
    assert (Wish().most_creates, Wish().decided) == (DEFAULT_CREATES, None)
    assert Wish(max_creates=0).most_creates == 0, "none is a number, too"


@pytest.mark.parametrize(
    ("wish", "said"),
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
def test_what_does_not_go_together_is_named(wish: dict[str, bool], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Wish(**wish)  # type: ignore[arg-type] # one mapping for options of several types


def test_decisions_are_read_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Wish(decisions=tmp_path / "missing.csv")
    table = tmp_path / "table.csv"
    table.write_bytes(b"decision\n")
    assert Wish(decisions=table, force=3).decided == b"decision\n"
