"""A client without sockets for the stand-in Stripe, with a clock of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from wanesync.sandbox.stand_in import Request, Response
from wanesync.sandbox.stripe.machine import StripeMachine, StripeSettings

NOW_MS = 1_700_000_000_500


KEY = "sk_test_51Abcdefghijklmnop"


UNLIMITED = StripeSettings(rate_per_s=10**6, operation_rate_per_s=None, search_rate_per_s=10**6)


@dataclass
class Client:
    """Calls a stand-in; ``now_ms`` advances only when a test sets it."""

    machine: StripeMachine
    now_ms: int = NOW_MS

    def send(
        self, method: str, path: str, params: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, dict[str, Any], Response]:
        pairs = tuple((params or {}).items())
        given = {"authorization": f"Bearer {KEY}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = Request(
            method,
            path,
            pairs if method == "GET" else (),
            given,
            urlencode(pairs).encode() if method != "GET" else b"",
        )
        response = self.machine.handle(request, self.now_ms)
        return response.status, json.loads(response.body), response

    def ok(self, method: str, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        status, body, _ = self.send(method, path, params)
        assert status == 200, body
        return body

    def refused(
        self, method: str, path: str, params: dict[str, str] | None = None
    ) -> tuple[int, str | None, str | None]:
        status, body, _ = self.send(method, path, params)
        assert status >= 400
        return status, body["error"].get("code"), body["error"].get("param")

    def events(self) -> list[dict[str, Any]]:
        """All events, oldest first."""
        data: list[dict[str, Any]] = self.ok("GET", "/v1/events", {"limit": "100"})["data"]
        return data[::-1]
