"""``db``: migrate and prune."""

from __future__ import annotations

from tests.support.installation import Installation
from tests.support.lanes import queue
from wanesync.core.jobs import JobKind
from wanesync.core.model import Side


def test_a_migration_can_run_again(installation: Installation) -> None:
    assert installation.ask("db", "migrate")["state"] == "up to date"
    assert "is up to date." in installation.run("db", "migrate").stdout


def test_what_is_too_old_is_counted_in_a_dry_run_and_then_removed(installation: Installation) -> None:
    installation.file.write_text(installation.file.read_text() + "[retention]\ndone_job_days = 1\n")
    queue(installation.store, Side.STRIPE, JobKind.READ, 2)
    shown = installation.run("db", "prune", "--dry-run").stdout
    assert "Would be removed" in shown
    document = installation.ask("db", "prune")
    assert (document["dry_run"], isinstance(document["rows"], dict)) == (False, True)
    assert "Removed" in installation.run("db", "prune").stdout
    with installation.store.reading() as tx:
        assert [row["ready"] for row in tx.jobs.depth()] == [2], "open jobs stay"
