"""Stripe as live sync and reconcile need it (``core.ports.StripePort``), over the official SDK.

Raw requests and plain mappings: the SDK's objects take five times as long per page. ``Any`` ends in this module.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import stripe

from wanesync.adapters.api_keys import FixedKey, call_with_newest
from wanesync.adapters.checked_values import MAX_ID_CHARS, IncompleteElement, InvalidElement, find_fault
from wanesync.adapters.http_answers import AnswerTooLarge, check_header_value, read_timing
from wanesync.adapters.json_values import mapping, parse, rows, text
from wanesync.adapters.network import PINNED, NetworkPolicy, choose_address
from wanesync.adapters.stripe.customers import (
    describe_too_long,
    read_customer,
    read_id,
    read_remains,
)
from wanesync.adapters.stripe.errors import ErrorTable, RefusedCall
from wanesync.adapters.stripe.events import EVENT_TYPES, StripeAccount, StripeEvents
from wanesync.adapters.stripe.transport import PooledClient
from wanesync.adapters.webhooks import WebhookContents
from wanesync.core.errors import CallError, ConfigError, Failure
from wanesync.core.fields import FieldMap
from wanesync.core.model import Record, Side
from wanesync.core.ports import (
    Account,
    ApiKey,
    CustomerAnswer,
    EventPage,
    Page,
    RequestEnd,
    SetAside,
    Timing,
    observe_nothing,
)
from wanesync.core.setup.api_versions import STRIPE_VERSION

PAGE_SIZE = 100
"""Most objects of one page (docs.stripe.com/api/pagination)."""
CUSTOMERS = "/v1/customers"
KINDS = {"cus_": "customer", "evt_": "event"}
"""Prefix of an id -> the kind of object that a list of those holds."""
MODES = {"sk_test_": "test", "rk_test_": "test", "sk_live_": "live", "rk_live_": "live"}


@dataclass(frozen=True, slots=True)
class StripeOptions:
    """Access to one account.

    ``portal``: the HubSpot portal whose ids in metadata count. ``event_key``: keys the keys of events
    that are listed; the same as that of the webhooks.
    ``gate`` is called right before each request's bytes leave, and may wait; ``sent`` right after. ``network``: how
    they leave.
    ``key``: where it is given, takes the place of ``api_key``. ``observe`` is told how each request ended.
    """

    api_key: str = field(repr=False)
    base_url: str | None = None
    portal: str = ""
    gate: Callable[[], None] = lambda: None
    sent: Callable[[], None] = lambda: None
    network: NetworkPolicy = PINNED
    key: ApiKey | None = None
    observe: Callable[[RequestEnd], None] = observe_nothing
    event_key: bytes = field(kw_only=True, repr=False)

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` for a key that no header takes: the library's own error would show it."""
        check_header_value(self.api_key, "stripe.api_key")


@dataclass(frozen=True, slots=True)
class _Listed:
    """One page of a list: objects, the next cursor; ``unread``: the id of an object that is too large, and why."""

    rows: Sequence[Mapping[str, object]]
    next: str
    timing: Timing
    unread: str = ""
    reason: str = ""


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
        self._mode, self._key = mode_of(options.api_key), options.key or FixedKey(options.api_key)
        self._table = ErrorTable(fields)
        self._events = StripeEvents(fields, StripeAccount(self._mode == "live", options.portal), key=options.event_key)
        stripe.enable_telemetry = False
        address = choose_address(Side.STRIPE, options.base_url, options.network)
        self._client = stripe.StripeClient(
            options.api_key,
            base_addresses={"api": address},
            stripe_version=STRIPE_VERSION,
            max_network_retries=0,
            http_client=PooledClient(address, options.gate, options.network, self._key, options.observe, options.sent),
        )

    def account(self) -> Account:
        """Return account id and mode; a restricted key may not read the account, but its 403 names it."""
        try:
            reply = self.call("get", "/v1/account", {})
        except RefusedCall as refused:
            if not refused.account:
                raise
            return Account(refused.account, self._mode)
        account_id = text(reply.body.get("id"))
        if not account_id:
            raise _unread("an account without id")
        zone = mapping(mapping(reply.body.get("settings")).get("dashboard")).get("timezone")
        return Account(account_id, self._mode, text(zone) or "UTC", reply.timing.to_ms)

    def read_customer(self, customer_id: str) -> CustomerAnswer:
        """Read one customer; a record of None was deleted or never existed."""
        began = self._monotonic()
        try:
            return self._answer(self.call("get", f"{CUSTOMERS}/{customer_id}", {}), customer_id)
        except AnswerTooLarge as error:
            raise CallError(Side.STRIPE, Failure.UNUSABLE, error.reason, error.status) from None
        except CallError as error:
            if error.failure is not Failure.NOT_FOUND:
                raise
            return CustomerAnswer(None, self._timing({}, began))

    def list_customers(self, after: str, created_from: int, created_to: int) -> Page:
        """Return one page of at most 100, newest first; one that is too large is asked for in smaller ones."""
        bounds = {name: bound for name, bound in (("gte", created_from), ("lte", created_to)) if bound}
        more: Mapping[str, object] = {"created": bounds} if bounds else {}
        found = self._list(CUSTOMERS, after, more, "cus_")
        records: list[Record] = []
        set_aside = [SetAside(found.unread, found.reason)] if found.unread else []
        for raw in found.rows:
            try:
                record = read_customer(raw, self._fields, self._options.portal)
            except InvalidElement as error:
                set_aside.append(SetAside(read_id(raw), str(error), read_remains(raw, self._fields)))
            else:
                records.append(record)
                if record.unknown:
                    set_aside += [SetAside(record.id, reason) for reason in describe_too_long(raw, self._fields)]
        return Page(records, found.next, found.timing, set_aside)

    def create_customer(self, body: str, key: str) -> CustomerAnswer:
        """Create a customer from the stored body: the same text makes the same request."""
        return self._answer_write(self.call("post", CUSTOMERS, _params(body), key))

    def update_customer(self, customer_id: str, body: str, key: str) -> CustomerAnswer:
        """Update a customer with the stored body."""
        return self._answer_write(self.call("post", f"{CUSTOMERS}/{customer_id}", _params(body), key), customer_id)

    def list_events(self, since_s: int, after: str) -> EventPage:
        """Return one page of the events that webhooks deliver, newest first, read by the same parser."""
        found = self._list("/v1/events", after, {"types": list(EVENT_TYPES), "created": {"gte": since_s}}, "evt_")
        contents = WebhookContents()
        for event in found.rows:
            self._events.add(contents, event, found.timing.from_ms)
        if found.unread:
            contents.put_aside({"id": found.unread}, found.reason)
        parsed = contents.as_parsed()
        return EventPage(parsed.events, parsed.purchases, found.next, parsed.set_aside, parsed.named, parsed.reread)

    def _list(
        self, path: str, after: str, params: Mapping[str, object], prefix: str, limit: int = PAGE_SIZE
    ) -> _Listed:
        """Return one page of a list; one that is too large is asked for again with fewer objects, then without one."""
        try:
            reply = self.call("get", path, {**_page(after, limit), **params})
        except AnswerTooLarge as error:
            if limit > 1:
                return self._list(path, after, params, prefix, max(1, limit // 10))
            first = re.search(rb'"id"\s*:\s*"(' + prefix.encode() + rb'[A-Za-z0-9_]{1,250})"', error.head)
            if first is None or first[1].decode() == after:
                raise
            skipped = first[1].decode()
            return _Listed([], skipped, Timing(0, 0), skipped, error.reason)
        shown = [mapping(raw) for raw in _rows(reply)]
        return _Listed(shown, _following(reply, shown, after, KINDS[prefix]), reply.timing)

    def _answer(self, reply: Reply, customer_id: str = "") -> CustomerAnswer:
        """Return the customer of an answer. ``customer_id``: the one that was asked for, "" for a creation.

        Raises ``CallError``: no answer where the object is another one, or lacks what every customer shows; unusable
        where a value cannot be stored.
        """
        shown = text(reply.body.get("id"))
        if customer_id and shown != customer_id:
            raise _unread("another object than the customer that was asked for")
        if reply.body.get("deleted") is True and shown:
            return CustomerAnswer(None, reply.timing, reply.replayed, deleted=True)
        try:
            record = read_customer(reply.body, self._fields, self._options.portal)
        except IncompleteElement as error:
            raise _unread(str(error)) from None
        except InvalidElement as error:
            remains = read_remains(reply.body, self._fields)
            raise CallError(Side.STRIPE, Failure.UNUSABLE, f"set aside: {error}", 200, remains=remains) from None
        return CustomerAnswer(record, reply.timing, reply.replayed)

    def _answer_write(self, reply: Reply, customer_id: str = "") -> CustomerAnswer:
        """Return the customer after a write: an answer that cannot be used leaves the outcome unknown."""
        try:
            return self._answer(reply, customer_id)
        except CallError as error:
            raise _unread(error.reason) if error.failure is Failure.UNUSABLE else error from None

    def call(self, method: str, path: str, params: Mapping[str, object], key: str = "") -> Reply:
        """Make one request, two if the key was replaced meanwhile. Raises ``CallError``."""
        return call_with_newest(self._key, lambda: self._call_once(method, path, params, key))

    def _call_once(self, method: str, path: str, params: Mapping[str, object], key: str) -> Reply:
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


def _page(after: str, limit: int) -> dict[str, object]:
    return {"limit": limit, **({"starting_after": after} if after else {})}


def _rows(reply: Reply) -> list[object]:
    if not isinstance(reply.body.get("data"), list):
        raise _unread("not a list")
    return list(rows(reply.body["data"]))


def _following(reply: Reply, shown: list[Mapping[str, object]], after: str, kind: str) -> str:
    """Return the last usable id, after which the next page begins. Raises ``CallError`` if the list would not go on."""
    if not isinstance(reply.body.get("has_more"), bool):
        raise _unread("a page that does not say whether it is the last")
    if not reply.body["has_more"]:
        return ""
    ids = [text(raw.get("id")) for raw in shown if raw.get("object") == kind]
    following = next((i for i in reversed(ids) if i and not find_fault(i, MAX_ID_CHARS)), "")
    if not following or following == after:
        raise _unread("a page that has more and no id to go on from")
    return following


def _unread(reason: str) -> CallError:
    return CallError(Side.STRIPE, Failure.NO_ANSWER, f"unreadable answer: {reason}")
