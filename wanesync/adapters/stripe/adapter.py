"""Stripe as live sync and reconcile need it (``core.ports.StripePort``), over the official SDK.

Raw requests and plain mappings: the SDK's objects take five times as long per page. ``Any`` ends in this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import stripe

from wanesync.adapters.http_answers import read_timing
from wanesync.adapters.json_values import mapping, parse, rows, text
from wanesync.adapters.stripe.customers import API_VERSION, read_customer
from wanesync.adapters.stripe.errors import ErrorTable, RefusedCall
from wanesync.adapters.stripe.events import EVENT_TYPES, StripeAccount, StripeEvents
from wanesync.adapters.stripe.transport import PooledClient
from wanesync.adapters.webhooks import WebhookContents
from wanesync.core.errors import CallError, ConfigError, Failure
from wanesync.core.fields import FieldMap
from wanesync.core.model import Side
from wanesync.core.ports import Account, CustomerAnswer, EventPage, Page, Timing

PAGE_SIZE = 100
"""Most objects of one page (docs.stripe.com/api/pagination)."""
STRIPE_API = "https://api.stripe.com"
CUSTOMERS = "/v1/customers"
MODES = {"sk_test_": "test", "rk_test_": "test", "sk_live_": "live", "rk_live_": "live"}


@dataclass(frozen=True, slots=True)
class StripeOptions:
    """Access to one account.

    ``portal``: the HubSpot portal whose ids in metadata count. ``event_key``: keys the keys of events.
    ``gate`` is called right before each request's bytes leave, and may wait.
    """

    api_key: str = field(repr=False)
    base_url: str | None = None
    portal: str = ""
    event_key: bytes = field(default=b"", repr=False)
    gate: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Reply:
    """A 2xx answer."""

    body: Mapping[str, object]
    timing: Timing
    replayed: bool


def mode_of(api_key: str) -> str:
    """Return ``live`` or ``test``. Raises ``ConfigError`` for anything but a secret or restricted key."""
    for prefix, mode in MODES.items():
        if api_key.startswith(prefix):
            return mode
    raise ConfigError([f"stripe.api_key: a key starts with one of {', '.join(MODES)}"])


class StripeAdapter:
    """One account and mode. Thread-safe."""

    def __init__(
        self, options: StripeOptions, fields: FieldMap, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._options, self._fields, self._monotonic = options, fields, monotonic
        self._mode = mode_of(options.api_key)
        self._table = ErrorTable(fields)
        self._events = StripeEvents(fields, StripeAccount(self._mode == "live", options.portal), options.event_key)
        stripe.enable_telemetry = False
        addresses: Any = {"api": options.base_url.rstrip("/")} if options.base_url else {}
        self._client = stripe.StripeClient(
            options.api_key,
            base_addresses=addresses,
            stripe_version=API_VERSION,
            max_network_retries=0,
            http_client=PooledClient(options.base_url or STRIPE_API, options.gate),
        )

    def account(self) -> Account:
        """Return account id and mode; a restricted key may not read the account, but its 403 names it."""
        try:
            reply = self._call("get", "/v1/account", {})
        except RefusedCall as refused:
            if not refused.account:
                raise
            return Account(refused.account, self._mode)
        zone = mapping(mapping(reply.body.get("settings")).get("dashboard")).get("timezone")
        return Account(text(reply.body.get("id")), self._mode, text(zone) or "UTC", reply.timing.to_ms)

    def read_customer(self, customer_id: str) -> CustomerAnswer:
        """Read one customer; a record of None was deleted or never existed."""
        began = self._monotonic()
        try:
            return self._answer(self._call("get", f"{CUSTOMERS}/{customer_id}", {}))
        except CallError as error:
            if error.failure is not Failure.NOT_FOUND:
                raise
            return CustomerAnswer(None, self._timing({}, began))

    def list_customers(self, after: str, created_from: int, created_to: int) -> Page:
        """Return one page of 100, newest first."""
        bounds = {name: bound for name, bound in (("gte", created_from), ("lte", created_to)) if bound}
        reply = self._call("get", CUSTOMERS, _page(after) | ({"created": bounds} if bounds else {}))
        customers = [mapping(raw) for raw in _rows(reply)]
        records = [read_customer(raw, self._fields, self._options.portal) for raw in customers]
        return Page(records, _following(reply, customers), reply.timing)

    def create_customer(self, body: str, key: str) -> CustomerAnswer:
        """Create a customer from the stored body: the same text makes the same request."""
        return self._answer(self._call("post", CUSTOMERS, _params(body), key))

    def update_customer(self, customer_id: str, body: str, key: str) -> CustomerAnswer:
        """Update a customer with the stored body."""
        return self._answer(self._call("post", f"{CUSTOMERS}/{customer_id}", _params(body), key))

    def list_events(self, since_s: int, after: str) -> EventPage:
        """Return one page of the events that webhooks deliver, newest first, read by the same parser."""
        params = _page(after) | {"types": list(EVENT_TYPES), "created": {"gte": since_s}}
        reply = self._call("get", "/v1/events", params)
        contents = WebhookContents()
        events = [mapping(raw) for raw in _rows(reply)]
        for event in events:
            self._events.add(contents, event, reply.timing.from_ms)
        return EventPage(contents.events, contents.purchases, _following(reply, events))

    def _answer(self, reply: Reply) -> CustomerAnswer:
        if reply.body.get("deleted") is True:
            return CustomerAnswer(None, reply.timing, reply.replayed, deleted=True)
        if reply.body.get("object") != "customer" or not text(reply.body.get("id")):
            raise CallError(Side.STRIPE, Failure.NO_ANSWER, "unreadable answer: not a customer")
        record = read_customer(reply.body, self._fields, self._options.portal)
        return CustomerAnswer(record, reply.timing, reply.replayed)

    def _call(self, method: str, path: str, params: Mapping[str, object], key: str = "") -> Reply:
        """Make one request. Raises ``CallError``."""
        options: dict[str, Any] = {"idempotency_key": key} if key else {}
        began = self._monotonic()
        try:
            answer: Any = self._client.raw_request(method, path, **params, **options)
        except stripe.StripeError as error:
            # Not chained to the SDK's exception: its text may quote values. Its own cause is a network error.
            raise self._table.read_error(error) from error.__cause__
        body = answer.data
        if not isinstance(body, dict):
            raise CallError(Side.STRIPE, Failure.NO_ANSWER, "unreadable answer: not an object", status=answer.code)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(body, self._timing(headers, began), headers.get("idempotent-replayed") == "true")

    def _timing(self, headers: Mapping[str, str], began: float) -> Timing:
        return read_timing(headers, self._monotonic() - began, time.time_ns() // 1_000_000)


def _params(body: str) -> Mapping[str, object]:
    params = parse(body)
    if not isinstance(params, dict):
        raise TypeError("the stored body of a customer is not a JSON object")
    return params


def _page(after: str) -> dict[str, object]:
    return {"limit": PAGE_SIZE, **({"starting_after": after} if after else {})}


def _rows(reply: Reply) -> list[object]:
    if not isinstance(reply.body.get("data"), list):
        raise CallError(Side.STRIPE, Failure.NO_ANSWER, "unreadable answer: not a list")
    return list(rows(reply.body["data"]))


def _following(reply: Reply, shown: list[Mapping[str, object]]) -> str:
    return text(shown[-1].get("id")) if shown and reply.body.get("has_more") is True else ""
