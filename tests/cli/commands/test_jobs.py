"""``jobs``: the queue and dead letters as lists and as a document."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation
from tests.support.lanes import bury
from wanesync.cli.commands.jobs import shorten_key
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
