"""The status by API is what ``wanesync status --json`` prints."""

from __future__ import annotations

import json

import orjson

from tests.admin.api.conftest import Caller
from tests.support.admin import AdminSite
from wanesync.ops.status import read_status


def test_the_state_of_everything(admin: AdminSite, call: Caller) -> None:
    answer = call("viewer").get("/status")
    assert answer.status_code == 200
    shown, printed = answer.json(), json.loads(orjson.dumps(read_status(admin.store).as_json()))
    # The command adds the share to its two counts.
    assert shown.pop("timeliness").keys() == printed.pop("timeliness").keys()
    assert shown == printed


def test_without_a_token_there_is_nothing_to_see(admin: AdminSite) -> None:
    answer = admin.open_browser().get("/api/v1/status")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:wanesync:problem:unauthorized"
