"""Alarms for what the HubSpot account lacks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.live_sync import HUBSPOT, LiveSync
from wanesync.core.model import Record
from wanesync.core.setup.portal_checks import PortalState, SetupProblem, SetupProblemKind
from wanesync.ops.health.portal_problems import find_portal_alarms
from wanesync.store.tables.settings import PORTAL_STATE

PAUSED = PortalState((SetupProblem(SetupProblemKind.FIELD, "city", "field city is paused: …"),))


@pytest.fixture
def live() -> Iterator[LiveSync]:
    made = LiveSync()
    yield made
    made.close()


def alarms(live: LiveSync) -> list[str]:
    with live.store.reading() as tx:
        return [alarm.text for alarm in find_portal_alarms(tx)]


def test_an_account_that_was_never_checked_raises_none(live: LiveSync) -> None:
    assert alarms(live) == []


def test_each_problem_is_one_alarm_and_its_field_is_not_named_again(live: LiveSync) -> None:
    live.store.run(lambda tx: tx.settings.put(PORTAL_STATE, PAUSED.pack()))
    live.know(Record(HUBSPOT, "1", {"email": "a@example.com"}, unknown=frozenset({"city"})))
    assert alarms(live) == ["field city is paused: …"]
    live.know(Record(HUBSPOT, "2", {"email": "b@example.com"}, unknown=frozenset({"city", "phone"})))
    assert "hold no usable value of phone:" in alarms(live)[1]
