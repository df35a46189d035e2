"""``writes``: shown and switched."""

from __future__ import annotations

from tests.support.installation import Installation
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side


def test_writes_are_shown_and_switched(installation: Installation) -> None:
    assert installation.ask("writes") == {"writes": "off", "woken": 0}
    assert installation.run("writes", "on").stdout == "Writes are on.\n"
    assert installation.ask("writes", "status") == {"writes": "on", "woken": 0}
    assert installation.ask("writes", "off") == {"writes": "off", "woken": 0}


def test_a_job_that_does_not_wait_for_writes_is_not_counted(installation: Installation) -> None:
    installation.store.run(lambda tx: tx.jobs.put(JobRequest(Side.STRIPE, JobKind.WRITE, "contact:1")))
    assert installation.ask("writes", "on")["woken"] == 0
