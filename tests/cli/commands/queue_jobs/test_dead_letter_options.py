"""``discard``, and what it shares with ``retry``."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation
from tests.support.lanes import bury
from tests.support.store_rows import an_update
from wanesync.core.errors import ConfigError, GuardError, NotFound
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.core.operating.bulk_runs import BulkAction
from wanesync.core.operating.operators import SYSTEM
from wanesync.core.operating.queue_filter import QueueFilter
from wanesync.ops.queue.bulk_runs import BulkRequest, start_bulk_run

S = Side.STRIPE


def test_letters_are_discarded_only_with_a_confirmation_and_never_all(installation: Installation) -> None:
    kept = bury(installation.store, JobRequest(S, JobKind.WRITE, "contact:1"))
    installation.store.run(lambda tx: tx.pending_writes.put(an_update("w1")))
    bury(installation.store, JobRequest(S, JobKind.READ, "cus_1"))
    with pytest.raises(ConfigError, match=r"discard: name the dead letters: IDs, or --class.* or --reason \(wanesync"):
        installation.run("discard")
    with pytest.raises(ConfigError, match="2 dead letters would be discarded: confirm it with --yes"):
        installation.run("discard", "--side", "stripe")
    assert "2 jobs would be discarded; nothing" in installation.run("discard", "--side", "stripe", "--dry-run").stdout
    done = installation.ask("discard", "--reason", "SAID NO", "--yes")
    assert (done["discarded"], done["kept"], done["classes"]) == (1, 1, {"refused": 2})
    assert [row["id"] for row in installation.ask_rows("dead", "jobs", "--dead")] == [kept.id]
    (run,) = installation.ask_rows("runs", "jobs", "--runs")
    assert (run["id"], run["action"], run["state"], run["via"]) == (done["run"], "discard", "done", "cli")
    assert "1 dead letter kept as they are" in installation.run("discard", kept.id, "--yes").stdout


def test_letters_are_chosen_by_person_reason_and_age(installation: Installation) -> None:
    for key in ("cus_1", "cus_2"):
        bury(installation.store, JobRequest(S, JobKind.READ, key), DeadClass.GONE)

    def count(*arguments: str) -> object:
        return installation.ask("retry", *arguments, "--dry-run")["retried"]

    assert count("--person", "cus_1") == 1
    assert count("--reason", "it said") == 2
    assert count("--until", "1h") == count("--reason", "it said yes") == 0
    assert count("--since", "1h") == 2


def test_a_run_that_was_left_is_gone_on_with_or_stopped(installation: Installation) -> None:
    bury(installation.store, JobRequest(S, JobKind.READ, "cus_1"), DeadClass.GONE)
    request = BulkRequest(BulkAction.RETRY, QueueFilter(side=S))
    first, second = (start_bulk_run(installation.store, request, SYSTEM) for _ in range(2))
    assert "Cancelled by" in installation.run("retry", "--cancel", first.id).stdout
    assert installation.run("retry", "--resume", second.id).stdout == "1 job will be tried again.\n"
    taken = start_bulk_run(installation.store, BulkRequest(BulkAction.RETRY, every=True), SYSTEM, "another process")
    with pytest.raises(GuardError, match="another process carries out"):
        installation.run("retry", "--resume", taken.id)
    with pytest.raises(NotFound):
        installation.run("retry", "--cancel", "nonsense")
    with pytest.raises(ConfigError, match="either"):
        installation.run("retry", "--cancel", "a", "--resume", "b")
