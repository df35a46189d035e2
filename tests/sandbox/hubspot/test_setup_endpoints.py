"""What a set-up is checked with: the scopes of a token, and the validation rules of a portal."""

from __future__ import annotations

import json
import random

from wanesync.sandbox.hubspot.machine import HubSpotMachine
from wanesync.sandbox.hubspot.scopes import KNOWN, READ
from wanesync.sandbox.stand_in import Request

TOKEN = "pat-na1-sandbox"


def ask(machine: HubSpotMachine, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
    content = json.dumps(body).encode() if body is not None else b""
    answer = machine.handle(Request(method, path, headers={"authorization": f"Bearer {TOKEN}"}, body=content), 1_000)
    return answer.status, json.loads(answer.body)


def read_token(machine: HubSpotMachine, token: str = TOKEN) -> tuple[int, dict[str, object]]:
    return ask(machine, "POST", "/oauth/v2/private-apps/get/access-token-info", {"tokenKey": token})


def test_a_token_shows_its_portal_its_app_and_its_scopes() -> None:
    machine = HubSpotMachine(random.Random(1))
    assert read_token(machine) == (200, {"userId": 7, "hubId": 4242, "appId": 99, "scopes": sorted(KNOWN)})
    machine.set_grants(TOKEN, [READ])
    assert read_token(machine)[1]["scopes"] == [READ]
    assert read_token(machine, "no token")[0] == 404


def test_the_rules_of_a_portal_can_be_read() -> None:
    machine = HubSpotMachine(random.Random(1))
    path = "/crm/v3/property-validations/0-1"
    assert ask(machine, "GET", path) == (200, {"results": []})
    machine.edit("property", "zip", {"pattern": "[0-9]{5}", "max_length": "5"}, 1_000)
    machine.edit("property", "city", {"required": "true"}, 1_000)
    listed = ask(machine, "GET", path)[1]["results"]
    assert isinstance(listed, list)
    (found,) = listed
    assert found["propertyName"] == "zip"
    kinds = [(rule["ruleType"], rule["ruleArguments"]) for rule in found["propertyValidationRules"]]
    assert kinds == [("REGEX", ["[0-9]{5}"]), ("MAX_LENGTH", ["5"])]
