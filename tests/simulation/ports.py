"""The two sides as the engine sees them, over the stand-ins' machines instead of HTTP.

The real parsing, batch matching, isolation and error tables run; only the SDKs and the sockets are
left out. Every request goes through one ``Exchange``, which may lose it, delay it or spoil its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast
from urllib.parse import urlencode

import orjson

from wanesync.adapters.http_answers import read_timing
from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions
from wanesync.adapters.hubspot.client import HubSpotClient, Reply
from wanesync.adapters.hubspot.contacts import field_names, properties_to_read
from wanesync.adapters.hubspot.errors import ErrorTable
from wanesync.adapters.json_values import parse_vendor
from wanesync.adapters.stripe.adapter import CUSTOMERS, StripeAdapter, StripeOptions
from wanesync.adapters.stripe.adapter import Reply as StripeReply
from wanesync.adapters.stripe.errors import ErrorTable as StripeErrorTable
from wanesync.adapters.stripe.events import StripeAccount, StripeEvents
from wanesync.core.errors import CallError, Failure
from wanesync.core.fields import FieldMap
from wanesync.core.model import Side
from wanesync.core.ports import Page, Timing
from wanesync.sandbox.stand_in import Request, Response

PORTAL = "4242"
EVENT_KEY = b"simulated"
HUBSPOT_HEADERS = {"authorization": "Bearer pat-sim", "content-type": "application/json"}
STRIPE_HEADERS = {
    "authorization": "Bearer sk_test_simsimsimsim",
    "content-type": "application/x-www-form-urlencoded",
}
CONTACTS, NOTES = "/crm/v3/objects/contacts", "/crm/v3/objects/notes"
PROPERTIES = "/crm/v3/properties/contacts"

Exchange = Callable[[Side, Request], Response | None]
"""One request to one side; None: no answer came."""


def _post(path: str, body: object) -> Request:
    return Request("POST", path, headers=HUBSPOT_HEADERS, body=orjson.dumps(body))


def _get(path: str, **query: object) -> Request:
    pairs = tuple((name, ",".join(v) if isinstance(v, list) else str(v)) for name, v in query.items())
    return Request("GET", path, pairs, HUBSPOT_HEADERS)


class _Contacts:
    @staticmethod
    def get_by_id(
        contact_id: str, properties: Sequence[str] = (), properties_with_history: Sequence[str] = ()
    ) -> Request:
        query = {"properties": list(properties), "propertiesWithHistory": list(properties_with_history)}
        return _get(f"{CONTACTS}/{contact_id}", **{name: value for name, value in query.items() if value})

    @staticmethod
    def get_page(**query: object) -> Request:
        return _get(CONTACTS, **query)


class _Batches:
    def __init__(self, root: str) -> None:
        self._root = root

    def read(self, body: object, *, archived: str = "") -> Request:
        request = _post(f"{self._root}/batch/read", body)
        return replace(request, query=(("archived", archived),)) if archived else request

    def create(self, body: object) -> Request:
        return _post(f"{self._root}/batch/create", body)

    def update(self, body: object) -> Request:
        return _post(f"{self._root}/batch/update", body)


class _Search:
    @staticmethod
    def do_search(body: object) -> Request:
        return _post(f"{CONTACTS}/search", body)


class _Associations:
    @staticmethod
    def get_page(_from: str, _to: str, body: object) -> Request:
        return _post("/crm/v4/associations/contacts/notes/batch/read", body)


class _Properties:
    @staticmethod
    def get_all(_kind: str) -> Request:
        return _get(PROPERTIES)

    @staticmethod
    def create(_kind: str, body: object) -> Request:
        return _post(PROPERTIES, body)


class _Events:
    @staticmethod
    def send(body: object) -> Request:
        return _post("/events/v3/send/batch", body)


class _Client:
    """What ``HubSpotSide`` uses of ``HubSpotClient``; the API objects make requests instead of sending them."""

    def __init__(self, errors: ErrorTable, exchange: Exchange, now_ms: Callable[[], int]) -> None:
        self.contacts, self.contact_search = _Contacts(), _Search()
        self.contact_batches, self.note_batches = _Batches(CONTACTS), _Batches(NOTES)
        self.association_batches, self.properties, self.event_batches = _Associations(), _Properties(), _Events()
        self._errors, self._exchange, self._now_ms = errors, exchange, now_ms

    def call(self, method: Callable[..., Request], *args: object, **options: object) -> Reply:
        return self._send(method(*args, **options))

    def call_path(self, verb: str, path: str, body: Mapping[str, object] | None = None, **variables: str) -> Reply:
        path = path.format(**variables)
        return self._send(Request(verb, path, headers=HUBSPOT_HEADERS, body=orjson.dumps(body) if body else b""))

    def _send(self, request: Request) -> Reply:
        response = self._exchange(Side.HUBSPOT, request)
        if response is None:
            raise CallError(Side.HUBSPOT, Failure.NO_ANSWER, "no answer from HubSpot")
        body = parse_vendor(response.body) if response.body else {}
        if response.status >= 300:
            raise self._errors.read_answer(response.status, response.headers, body)
        assert isinstance(body, dict)
        return Reply(response.status, Timing(self._now_ms(), self._now_ms() + 999), body)


class SimHubSpot(HubSpotAdapter):
    """HubSpot over its machine, listed two contacts a page so that much can happen in between."""

    # The real one would open connections.
    def __init__(
        self, fields: FieldMap, exchange: Exchange, now_ms: Callable[[], int], before_extra: Callable[[], None]
    ) -> None:
        self._options, self._fields = HubSpotOptions("pat-sim", portal=PORTAL), fields
        self._before_extra = before_extra
        self._table = ErrorTable(field_names(fields))
        self._client = cast(HubSpotClient, _Client(self._table, exchange, now_ms))
        self._properties = properties_to_read(fields)

    def list_contacts(self, after: str, limit: int = 2) -> Page:
        return super().list_contacts(after, limit)


class SimStripe(StripeAdapter):
    """Stripe over its machine, customers listed two a page."""

    # The real one would open connections.
    def __init__(self, fields: FieldMap, exchange: Exchange, now_ms: Callable[[], int]) -> None:
        self._options, self._fields = StripeOptions("sk_test_simsimsimsim", portal=PORTAL, event_key=EVENT_KEY), fields
        self._monotonic = lambda: now_ms() / 1000
        self._table = StripeErrorTable(fields)
        self._events = StripeEvents(fields, StripeAccount(False, PORTAL), key=EVENT_KEY)
        self._exchange, self._now_ms = exchange, now_ms

    def call(self, method: str, path: str, params: Mapping[str, object], key: str = "") -> StripeReply:
        if method == "get" and path == CUSTOMERS:
            params = {**params, "limit": 2}
        pairs = tuple(_flatten(params))
        headers = {**STRIPE_HEADERS, **({"idempotency-key": key} if key else {})}
        began = self._monotonic()
        if method == "get":
            request = Request("GET", path, pairs, headers)
        else:
            request = Request("POST", path, headers=headers, body=urlencode(pairs).encode())
        response = self._exchange(Side.STRIPE, request)
        if response is None:
            raise CallError(Side.STRIPE, Failure.NO_ANSWER, "no answer from Stripe")
        body: Any = parse_vendor(response.body)
        if response.status >= 300:
            raise self._table.read_answer(response.status, response.headers, body)
        told = {name.lower(): value for name, value in response.headers.items()}
        timing = read_timing(told, self._monotonic() - began, self._now_ms())
        return StripeReply(body, timing, told.get("idempotent-replayed") == "true")


def _flatten(params: object, prefix: str = "") -> list[tuple[str, str]]:
    """``{"a": {"b": 1}, "c": [2]}`` -> a[b]=1, c[0]=2."""
    if isinstance(params, Mapping):
        parts = [(f"{prefix}[{name}]" if prefix else str(name), value) for name, value in params.items()]
    elif isinstance(params, list):
        parts = [(f"{prefix}[{place}]", value) for place, value in enumerate(params)]
    else:
        return [(prefix, str(params))]
    return [pair for name, value in parts for pair in _flatten(value, name)]
