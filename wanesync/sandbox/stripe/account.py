"""One Stripe account: its settings, objects, events, journal and webhooks."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from heapq import heappop, heappush

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.journal import Journal
from wanesync.sandbox.stripe.collection import Collection
from wanesync.sandbox.stripe.objects import NewObject, Record
from wanesync.sandbox.stripe.refusals import Refusal, refuse_absent
from wanesync.sandbox.stripe.search import SearchIndex
from wanesync.sandbox.stripe.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class StripeSettings:
    """The settings of one account and its limits.

    Limits are requests per second over a sliding second: 25 with test keys, and 25 for each operation. A live account
    has 100 in all (docs.stripe.com/rate-limits, 2026-04-30). ``operation_rate_per_s`` None: Stripe has lifted the
    operation limits. ``search_lag_ms``: how long search does not see a change. ``target_events``: the event types sent
    to the target of ``set_target``, like ``enabled_events`` of an endpoint. ``fills_name``: a customer created without
    ``name`` gets its ``business_name``, else its ``individual_name`` (since 2025-09-30.clover). ``settle_ms``: how long
    a bank debit is processing, a late refund pending, and a test clock advancing; minutes or days at Stripe.
    """

    account_id: str = "acct_sandbox"
    api_version: str = "2026-10-28.endive"
    rate_per_s: int = 25
    operation_rate_per_s: int | None = 25
    search_rate_per_s: int = 20
    search_lag_ms: int = 1_000
    livemode: bool = False
    target_events: tuple[str, ...] = ("*",)
    fills_name: bool = True
    settle_ms: int = 1_000


# The kinds of objects beside those that wanesync reads, with the fields that their lists filter on.
MORE_KINDS: Mapping[str, tuple[str, ...]] = {
    "balance_transaction": ("source", "type", "currency"),
    "card": ("customer",),
    "checkout.session": ("customer", "payment_intent", "subscription", "status"),
    "coupon": (),
    "credit_note": ("customer", "invoice"),
    "customer_balance_transaction": ("customer",),
    "dispute": ("charge", "payment_intent"),
    "invoice": ("customer", "status", "subscription", "collection_method"),
    "invoice_payment": ("invoice", "status"),
    "invoiceitem": ("customer", "invoice"),
    "payment_link": (),
    "payout": ("status",),
    "plan": ("product",),
    "price": ("product", "currency", "type"),
    "product": (),
    "promotion_code": ("code", "customer"),
    "refund": ("charge", "payment_intent"),
    "setup_intent": ("customer", "payment_method"),
    "subscription": ("customer", "status", "test_clock"),
    "tax_rate": (),
    "test_helpers.test_clock": (),
    "token": (),
}
ALPHABET = string.ascii_letters + string.digits
EVENT_RETENTION_S = 30 * 24 * 3600  # docs.stripe.com/api/events


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a change: an API request, or a user in the Dashboard (no request id, no key)."""

    now_ms: int
    source: str
    request_id: str | None = None
    idempotency_key: str | None = None

    @property
    def now_s(self) -> int:
        """The time in seconds, the unit of Stripe's timestamps."""
        return self.now_ms // 1000


class Timers:
    """What Stripe does by itself later, such as the outcome of a bank debit."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._number = 0

    def set(self, at_ms: int, run: Callable[[int], None]) -> None:
        """Run it at a time; it receives that time."""
        self._number += 1
        heappush(self._due, (at_ms, self._number, run))

    def next_ms(self) -> int | None:
        """When the next one is due, or None."""
        return self._due[0][0] if self._due else None

    def run(self, now_ms: int) -> None:
        """Run all that are due, in their order."""
        while self._due and self._due[0][0] <= now_ms:
            at_ms, _, run = heappop(self._due)
            # What it was set for may be gone: a customer that was deleted, a card that is declined.
            with suppress(Refusal):
                run(at_ms)


class Account:
    """The state of one account. Every change goes through ``store``, ``remove`` and ``emit``."""

    def __init__(self, rng: random.Random, settings: StripeSettings) -> None:
        self.rng, self.settings = rng, settings
        self.faults = Faults()
        self.journal = Journal()
        self.customers = Collection("customer", "email")
        self.intents = Collection("payment_intent", "customer")
        self.charges = Collection("charge", "customer", "payment_intent", "transfer_group")
        self.methods = Collection("payment_method", "customer")
        self.endpoints = Collection("webhook_endpoint")
        self.tax_ids = Collection("tax_id", "customer")
        self.events = Collection("event", "type")
        self.more = {kind: Collection(kind, *fields) for kind, fields in MORE_KINDS.items()}
        self.timers = Timers()
        # What Stripe does besides when it emits an event: by type, with the object of the event.
        self.reactions: dict[str, Callable[[Account, Record, Cause], None]] = {}
        self.secrets: dict[str, str] = {}
        # Net amounts on the balance in minor units: currency -> available, pending.
        self.funds: dict[str, tuple[int, int]] = {}
        # Money that customers have transferred to us and not used: customer id and currency -> minor units.
        self.cash: dict[tuple[str, str], int] = {}
        self.searches = {
            "customer": SearchIndex("customer", self.customers),
            "payment_intent": SearchIndex("payment_intent", self.intents),
            "charge": SearchIndex("charge", self.charges),
            **{kind: SearchIndex(kind, self.more[kind]) for kind in ("invoice", "price", "product", "subscription")},
        }
        self.webhooks = Webhooks(rng, self.current_faults, settings.target_events)

    def current_faults(self) -> Faults:
        """The injected faults."""
        return self.faults

    def new_id(self, prefix: str, length: int = 14) -> str:
        """A new id such as ``cus_…``, from the random source of the account."""
        return prefix + "".join(self.rng.choices(ALPHABET, k=length))

    def new_object(self, prefix: str, cause: Cause, length: int = 14) -> NewObject:
        """The id, time and mode of a new object."""
        return NewObject(self.new_id(prefix, length), cause.now_s, self.settings.livemode)

    def find(self, collection: Collection, record_id: str, param: str | None = None) -> Record:
        """A record by id. Raises Refusal: 404 for an id in the path, 400 for an id in ``param``."""
        record = collection.get(record_id)
        if record is not None:
            return record
        if param is None:
            raise refuse_absent(collection.noun, record_id).after_start()
        raise refuse_absent(collection.noun, record_id, param, 400)

    def store(self, collection: Collection, record: Record, cause: Cause) -> Record:
        """Store a new record or a new version of one; search sees it after its lag."""
        collection.put(record)
        if collection.kind in self.searches:
            self.searches[collection.kind].note(record["id"], record, cause.now_ms + self.settings.search_lag_ms)
        return record

    def remove(self, collection: Collection, record_id: str, cause: Cause) -> None:
        """Remove a record; search sees it after its lag."""
        collection.remove(record_id)
        if collection.kind in self.searches:
            self.searches[collection.kind].note(record_id, None, cause.now_ms + self.settings.search_lag_ms)

    def change(self, collection: Collection, record: Record, changes: Record, cause: Cause) -> Record:
        """Store a new version of a record with some members replaced."""
        return self.store(collection, {**record, **changes}, cause)

    def emit(self, kind: str, record: Record, cause: Cause, previous: Record | None = None) -> None:
        """Emit one event: kept for 30 days and sent to every endpoint that has enabled its type."""
        data: Record = {"object": record}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": self.new_id("evt_", 24),
            "object": "event",
            "api_version": self.settings.api_version,
            "created": cause.now_s,
            "data": data,
            "livemode": self.settings.livemode,
            "pending_webhooks": 0,
            "request": {"id": cause.request_id, "idempotency_key": cause.idempotency_key},
            "type": kind,
        }
        self.events.forget_before(cause.now_s - EVENT_RETENTION_S)
        self.events.put(event)
        self.webhooks.send(event, cause.now_ms)
        if kind in self.reactions:
            self.reactions[kind](self, record, cause)

    def record_change(self, kind: str, record_id: str, changes: Mapping[str, str], cause: Cause) -> None:
        """Add one journal entry."""
        self.journal.add(cause.now_ms, kind, record_id, cause.source, changes)

    def update(self, collection: Collection, record: Record, updated: Record, cause: Cause) -> Record:
        """Store a changed record and emit ``<kind>.updated`` with the old values; no-op if equal."""
        previous = list_previous(record, updated)
        if not previous:
            return record
        self.store(collection, updated, cause)
        self.emit(f"{collection.event}.updated", updated, cause, previous)
        self.record_change(f"{collection.event}.updated", record["id"], flatten_changes(previous, updated), cause)
        return updated


def list_previous(old: Record, new: Record) -> Record:
    """The changed members with their old values, nested ones key by key (``previous_attributes``)."""
    previous: Record = {}
    for name in {**old, **new}:
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            previous[name] = list_previous(before, after)
        else:
            previous[name] = before
    return previous


def flatten_changes(changed: Record, record: Record) -> dict[str, str]:
    """``{"metadata.plan": "gold"}``: the new values of the changed members; null becomes the empty string."""
    flat: dict[str, str] = {}
    for name, old in changed.items():
        value = record.get(name)
        if isinstance(value, dict):
            inner = old if isinstance(old, dict) else value
            flat |= {f"{name}.{key}": text for key, text in flatten_changes(inner, value).items()}
        elif isinstance(value, list):
            flat[name] = ",".join(str(part) for part in value)
        else:
            flat[name] = "" if value is None else str(value)
    return flat


def flatten_set(record: Record, names: Iterable[str]) -> dict[str, str]:
    """The given members as in ``flatten_changes``, without empty ones."""
    flat = flatten_changes(dict.fromkeys(names), record)
    return {name: value for name, value in flat.items() if value}
