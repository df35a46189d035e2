"""What tests of the serverless doors share: a configuration of environment variables, and events of AWS.

The events are those of AWS's documentation with our path, headers and body
(docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html,
docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html).
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wanesync.adapters.signatures import sign_hubspot, sign_stripe
from wanesync.core.model import Side
from wanesync.store import Store, make_key
from wanesync.store.tables.operating.webhook_counts import Outcome

PUBLIC_URL = "https://abc123.execute-api.eu-central-1.amazonaws.com/live"
SECRETS = {Side.HUBSPOT: "client-secret", Side.STRIPE: "whsec_1"}
CONFIG = {
    "WANESYNC_HUBSPOT__WEBHOOK_SECRET": SECRETS[Side.HUBSPOT],
    "WANESYNC_STRIPE__WEBHOOK_SECRET": SECRETS[Side.STRIPE],
    "WANESYNC_SERVER__PUBLIC_URL": PUBLIC_URL,
    "WANESYNC_SECURITY__KEYS": make_key("k001"),
    "WANESYNC_CREATE__CUSTOMERS": "all",
    "WANESYNC_CREATE__CONTACTS": "all",
}


@dataclass(frozen=True)
class Installed:
    """A database that is set up."""

    store: Store

    def read_names(self) -> list[str | None]:
        """The first names that the stored events of contact 7 carry."""
        with self.store.reading() as tx:
            events = tx.events.unread(Side.HUBSPOT, ["7"]).get("7", [])
            return [event.values.get("name/firstname") for event in events]

    def read_counts(self) -> dict[tuple[Side, Outcome], int]:
        """How many webhooks had which outcome, as ``status`` shows it."""
        with self.store.reading() as tx:
            return {(row.side, row.outcome): row.kept for row in tx.webhook_counts.sum(3_600_000)}


def change(contact_id: int = 7, name: str = "Zoë") -> bytes:
    """A webhook of HubSpot: a name was changed."""
    element = {
        "portalId": 3, "appId": 1, "eventId": 1, "subscriptionType": "contact.propertyChange", "objectId": contact_id,
        "propertyName": "firstname", "propertyValue": name, "occurredAt": time.time_ns() // 1_000_000,
    }  # fmt: skip
    return json.dumps([element], ensure_ascii=False, separators=(", ", ":  ")).encode()


def sign(side: Side, body: bytes, path: str, public_url: str = PUBLIC_URL) -> Mapping[str, str]:
    """The headers of a webhook to ``path`` below the public address, in lower case as AWS passes them."""
    make = sign_hubspot if side is Side.HUBSPOT else sign_stripe
    headers = make(SECRETS[side], public_url + path, body, time.time_ns() // 1_000_000)
    return {name.lower(): value for name, value in headers.items()} | {"content-type": "application/json"}


def api_gateway_event(path: str, body: bytes, headers: Mapping[str, str], *, stage: str = "live") -> dict[str, Any]:
    """An event of an HTTP API with a named stage, which is in front of the path; the body is text."""
    return _event(f"/{stage}{path}", headers, stage) | {"body": body.decode(), "isBase64Encoded": False}


def function_url_event(path: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """An event of a function URL; the body is base64."""
    return _event(path, headers, "$default") | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _event(path: str, headers: Mapping[str, str], stage: str) -> dict[str, Any]:
    host = "abc123.execute-api.eu-central-1.amazonaws.com"
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": host, "x-forwarded-proto": "https", "x-forwarded-port": "443", **headers},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123",
            "domainName": host,
            "domainPrefix": "abc123",
            "http": {
                "method": "POST",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "HubSpot Connect 2.0",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": stage,
            "time": "30/Nov/2026:06:20:00 +0000",
            "timeEpoch": 1796019600000,
        },
    }
