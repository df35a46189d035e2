"""``jobs``: the queue and dead letters as lists and as a document."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation
from tests.support.lanes import bury
from wanesync.cli.commands.queue_jobs.jobs import shorten_key
from wanesync.core.errors import ConfigError
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side


def test_without_a_job_it_says_so(installation: Installation) -> None:
    assert installation.run("jobs").stdout == "No job waits or runs.\nNo dead letters.\n"
    assert installation.ask("jobs") == {"queued": [], "dead": []}
    assert installation.ask("jobs", "--dead") == {"dead": []}


def test_a_dead_letter_is_listed_with_its_reason(installation: Installation) -> None:
    letter = bury(installation.store, JobRequest(Side.STRIPE, JobKind.READ, "cus_1"))
    shown = installation.run("jobs", "--limit", "1").stdout
    for text in (letter.id, "read stripe", "cus_1", "refused", "it said no", "The newest 1; --limit shows more"):
        assert text in shown, text
    (row,) = installation.ask_rows("dead", "jobs", "--dead")
    assert tuple(row) == ("id", "lane", "kind", "key", "class", "reason", "attempts", "arrived_ms", "died_ms")


@pytest.mark.parametrize(("key", "shown"), [("contact:7", "contact:7"), ("guest:0123456789abcdef", "guest:01234567…")])
def test_the_hash_in_the_key_of_a_guest_is_shortened(key: str, shown: str) -> None:
    assert shorten_key(key) == shown


def test_one_job_is_shown_with_its_states_in_order(installation: Installation) -> None:
    letter = bury(installation.store, JobRequest(Side.STRIPE, JobKind.READ, "cus_1"))
    shown = installation.run("jobs", letter.id).stdout
    for text in ("queued", "given up as refused after attempt 1: it said no", "stripe cus_1", "dead"):
        assert text in shown, text
    document = installation.ask("jobs", letter.id)
    assert (document["state"], document["records"]) == ("dead", [{"side": "stripe", "id": "cus_1"}])


def test_jobs_of_one_state_are_listed(installation: Installation) -> None:
    installation.store.run(lambda tx: tx.jobs.put(JobRequest(Side.STRIPE, JobKind.READ, "cus_1")))
    (row,) = installation.ask_rows("jobs", "jobs", "--state", "due")
    assert (row["key"], row["state"]) == ("cus_1", "due")
    assert "No job is running." in installation.run("jobs", "--state", "running").stdout
    assert "No bulk runs." in installation.run("jobs", "--runs").stdout
    with pytest.raises(ConfigError, match="for themselves"):
        installation.run("jobs", "--runs", "--dead")
