"""What was given up goes on by itself once the record is mended: no dead letter is left, no alarm, no person asked."""

from __future__ import annotations

from pathlib import Path

from tests.support.lanes import bury
from tests.support.stage import Stage
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side, contact_key
from wanesync.ops.alarms import read_alarms


def letters(stage: Stage) -> list[tuple[Side, JobKind, str]]:
    with stage.store.reading() as tx:
        return [(job.lane, job.kind, job.dead_class) for job in tx.dead_letters.latest()]


def has_alarm(stage: Stage) -> bool:
    return any("dead letter" in alarm for alarm in read_alarms(stage.store))


def test_a_mended_record_revives_by_itself(database_url: str, tmp_path: Path) -> None:
    with Stage(database_url, tmp_path) as stage:
        stage.sandbox.hubspot.portal.blocked_emails.add("ana@example.com")
        customer_id = stage.edit(Side.STRIPE, "create", email="ana@example.com", name="Ana Stone")
        contact_id = stage.edit(Side.HUBSPOT, "create", email="tom@example.com", firstname="Tom")
        stage.live()
        stage.until(lambda: letters(stage), "HubSpot refuses the address")
        assert letters(stage) == [(Side.HUBSPOT, JobKind.WRITE, DeadClass.VALIDATION)]
        assert has_alarm(stage)

        stage.sandbox.hubspot.portal.blocked_emails.clear()
        stage.edit(Side.STRIPE, "update", customer_id, name="Ana Hill")
        stage.until(lambda: stage.contact("ana@example.com").get("lastname") == "Hill", "it is tried again")
        stage.until(lambda: not letters(stage), "the letter is closed")
        assert not has_alarm(stage)

        # Given up on both lanes, and by now there is nothing to write on one of them.
        stage.rest()
        for side in Side:
            bury(stage.store, JobRequest(side, JobKind.WRITE, contact_key(contact_id)))
        stage.edit(Side.HUBSPOT, "update", contact_id, city="Lyon")
        stage.until(lambda: stage.customer("tom@example.com").get("address.city") == "Lyon", "the edit arrives")
        stage.until(lambda: not letters(stage), "both letters are closed")
