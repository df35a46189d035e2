"""The wiring of what receives webhooks."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from wanesync.config.model import load
from wanesync.core.model import Event, Side
from wanesync.intake_wiring import build_intake, open_database


def test_the_keys_of_events_and_the_names_of_users_are_those_of_one_database(tmp_path: Path) -> None:
    element = {
        "portalId": 3, "objectId": 1, "subscriptionType": "contact.propertyChange", "propertyName": "firstname",
        "propertyValue": "Ada", "occurredAt": 1, "changeSource": "CRM_UI", "sourceId": "ada@example.com",
    }  # fmt: skip
    env = {
        "WANESYNC_HUBSPOT__WEBHOOK_SECRET": "one",
        "WANESYNC_STRIPE__WEBHOOK_SECRET": "whsec_one",
        "WANESYNC_STRIPE__API_KEY": "sk_test_one",
        "WANESYNC_HUBSPOT__PORTAL_ID": "3",
        "WANESYNC_CREATE__CUSTOMERS": "none",
        "WANESYNC_CREATE__CONTACTS": "none",
    }
    seen: list[Event] = []
    for name in ("one", "one", "two"):
        config = load(None, env | {"WANESYNC_DATABASE": f"sqlite:{tmp_path / name}.db"})
        with closing(open_database(config, migrate=True)) as store:
            intake = build_intake(config, store)
            seen += intake.hooks[Side.HUBSPOT].parse(json.dumps([element]).encode(), 1).events
    one, again, two = seen
    assert (one.key, one.source) == (again.key, again.source)
    assert len({one.key, two.key}) == len({one.source, two.source}) == 2
    assert "ada" not in one.source
