"""A client without sockets for the stand-in HubSpot, with a clock of its own."""

from __future__ import annotations

import random
from typing import Any

import orjson

from wanesync.sandbox.hubspot.machine import HubSpotMachine, HubSpotSettings
from wanesync.sandbox.stand_in import Delivery, Request, Response, WebhookTarget

CONTACTS = "/crm/v3/objects/contacts"
TOKEN = "pat-na1-0001"
START_MS = 1_790_000_000_000
TARGET = WebhookTarget("https://sync.example.com/webhooks/hubspot", "client-secret")


class Client:
    """Calls a stand-in; ``now_ms`` advances only when a test sets it."""

    def __init__(self, settings: HubSpotSettings | None = None, seed: int = 1) -> None:
        self.machine = HubSpotMachine(random.Random(seed), settings or HubSpotSettings())
        self.now_ms = START_MS

    def send(self, method: str, path: str, body: object = None, token: str = TOKEN, **query: str) -> Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return self.machine.handle(Request(method, path, tuple(query.items()), headers, raw), self.now_ms)

    def call(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        response = self.send(method, path, body, **query)
        return response.status, orjson.loads(response.body) if response.body else None

    def create(self, **properties: str) -> str:
        status, body = self.call("POST", CONTACTS, {"properties": properties})
        assert status == 201, body
        return str(body["id"])

    def read(self, record_id: str, *names: str) -> dict[str, str | None]:
        status, body = self.call("GET", f"{CONTACTS}/{record_id}", properties=",".join(names))
        assert status == 200, body
        properties: dict[str, str | None] = body["properties"]
        return properties

    def batch(self, kind: str, *inputs: object, **members: object) -> tuple[int, Any]:
        return self.call("POST", f"{CONTACTS}/batch/{kind}", {"inputs": list(inputs), **members})

    def search(self, *filters: dict[str, object], **members: object) -> tuple[int, Any]:
        groups = [{"filters": list(filters)}] if filters else []
        return self.call("POST", f"{CONTACTS}/search", {"filterGroups": groups, **members})

    def define(self, name: str, **members: object) -> None:
        definition = {"groupName": "contactinformation", "name": name, "label": name, "type": "string",
                      "fieldType": "text", **members}  # fmt: skip
        status, body = self.call("POST", "/crm/v3/properties/contacts", definition)
        assert status == 201, body

    def listen(self) -> None:
        self.machine.set_target(TARGET)

    def deliveries(self, later_ms: int = 5_000) -> list[Delivery]:
        """The deliveries due within ``later_ms``, each answered with 200."""
        at_ms = self.now_ms + later_ms
        taken: list[Delivery] = []
        while due := self.machine.take_deliveries(at_ms):
            taken.extend(due)
            for delivery in due:
                self.machine.finish_delivery(delivery.id, 200, at_ms)
        return taken

    def events(self) -> list[dict[str, Any]]:
        return [event for delivery in self.deliveries() for event in orjson.loads(delivery.body)]


def matching(name: str, operator: str, value: str = "", **more: object) -> dict[str, object]:
    return {"propertyName": name, "operator": operator, **({"value": value} if value else {}), **more}
