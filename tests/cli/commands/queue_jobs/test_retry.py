"""``retry``: which dead letters are meant, and what happens without a terminal to confirm on."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation
from tests.support.lanes import bury
from wanesync.core.errors import ConfigError
from wanesync.core.jobs import JobKind, JobRequest, WaitCode
from wanesync.core.model import Side


@pytest.mark.parametrize(
    "arguments", [(), ("--all", "--class", "gone"), ("some-id", "--all"), ("some-id", "--side", "stripe")]
)
def test_exactly_one_way_of_choosing_is_needed(installation: Installation, arguments: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="retry: name the dead letters: IDs, or --class"):
        installation.run("retry", *arguments)


def test_without_a_terminal_letters_are_tried_only_with_yes(installation: Installation) -> None:
    letter = bury(installation.store, JobRequest(Side.STRIPE, JobKind.READ, "cus_1"))
    with pytest.raises(ConfigError, match="1 dead letter would be tried again: confirm it with --yes"):
        installation.run("retry", letter.id)
    shown = installation.run("retry", letter.id, "--dry-run").stdout
    assert "1 job would be tried again; nothing was changed." in shown
    assert installation.run("retry", letter.id, "--yes").stdout == "1 job will be tried again.\n"
    assert installation.run("retry", "--all").stdout == "No dead letters of that kind.\n"


def test_a_job_that_waits_after_a_failed_attempt_is_tried_now(installation: Installation) -> None:
    with installation.store.transaction() as tx:
        tx.jobs.put(JobRequest(Side.STRIPE, JobKind.READ, "cus_1"))
        (job,) = tx.jobs.claim(Side.STRIPE, None, 1, "w1")
        tx.jobs.reschedule(job, tx.now_ms + 60_000, "timed out", count=True, waits_for=WaitCode.BACKOFF)
    assert installation.run("retry", "--now", job.id).stdout == "1 job will be tried at once.\n"
    assert installation.ask("retry", "--now", "unknown")["made_due"] == 0
    with pytest.raises(ConfigError, match="by their ids"):
        installation.run("retry", "--now")
