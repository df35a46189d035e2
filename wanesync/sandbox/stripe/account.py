"""One Stripe account: its objects, its events, its journal and its webhooks."""

from __future__ import annotations

import random
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.journal import Journal
from wanesync.sandbox.stripe.postroom import Postroom
from wanesync.sandbox.stripe.refusals import refuse_absent
from wanesync.sandbox.stripe.search import SearchIndex
from wanesync.sandbox.stripe.settings import StripeSettings
from wanesync.sandbox.stripe.shapes import Birth, Record
from wanesync.sandbox.stripe.shelf import Shelf

ALPHABET = string.ascii_letters + string.digits
EVENT_LIFE_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Cause:
    """What makes a change: an API request, or a person in the Dashboard (no request id, no key)."""

    now_ms: int
    source: str
    request_id: str | None = None
    idempotency_key: str | None = None

    @property
    def now_s(self) -> int:
        """Whole seconds, as Stripe's timestamps are."""
        return self.now_ms // 1000


class Account:
    """All state of one account. Every change goes through ``store``, ``remove`` and ``emit``."""

    def __init__(self, rng: random.Random, settings: StripeSettings) -> None:
        self.rng, self.settings = rng, settings
        self.faults = Faults()
        self.journal = Journal()
        self.customers = Shelf("customer", "email")
        self.intents = Shelf("payment_intent", "customer")
        self.charges = Shelf("charge", "customer", "payment_intent", "transfer_group")
        self.methods = Shelf("payment_method", "customer")
        self.endpoints = Shelf("webhook_endpoint")
        self.tax_ids = Shelf("tax_id", "customer")
        self.events = Shelf("event", "type")
        self.secrets: dict[str, str] = {}
        # Captured so far, in minor units by currency.
        self.takings: dict[str, int] = {}
        self.searches = {
            "customer": SearchIndex("customer", self.customers),
            "payment_intent": SearchIndex("payment_intent", self.intents),
            "charge": SearchIndex("charge", self.charges),
        }
        self.post = Postroom(rng, self.current_faults, settings.target_events)

    def current_faults(self) -> Faults:
        """The faults in force."""
        return self.faults

    def new_id(self, prefix: str, length: int = 14) -> str:
        """``cus_…`` and the like, from the account's own random source."""
        return prefix + "".join(self.rng.choices(ALPHABET, k=length))

    def birth(self, prefix: str, cause: Cause, length: int = 14) -> Birth:
        """A new id and the time it is born at."""
        return Birth(self.new_id(prefix, length), cause.now_s, self.settings.livemode)

    def find(self, shelf: Shelf, record_id: str, param: str | None = None) -> Record:
        """The record. Raises Refusal: 404 for one in the path, 400 for one named by ``param``."""
        record = shelf.get(record_id)
        if record is not None:
            return record
        if param is None:
            raise refuse_absent(shelf.noun, record_id).after_start()
        raise refuse_absent(shelf.noun, record_id, param, 400)

    def store(self, shelf: Shelf, record: Record, cause: Cause) -> Record:
        """Put a new record or a new version of one on its shelf; search sees it after its lag."""
        shelf.put(record)
        if shelf.kind in self.searches:
            self.searches[shelf.kind].note(record["id"], record, cause.now_ms + self.settings.search_lag_ms)
        return record

    def remove(self, shelf: Shelf, record_id: str, cause: Cause) -> None:
        """Take a record off its shelf."""
        shelf.remove(record_id)
        if shelf.kind in self.searches:
            self.searches[shelf.kind].note(record_id, None, cause.now_ms + self.settings.search_lag_ms)

    def change(self, shelf: Shelf, record: Record, changes: Record, cause: Cause) -> Record:
        """A new version of a record with some members replaced, stored."""
        return self.store(shelf, {**record, **changes}, cause)

    def emit(self, kind: str, record: Record, cause: Cause, previous: Record | None = None) -> None:
        """One event: remembered for 30 days and posted to whoever wants it."""
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
        self.events.forget_before(cause.now_s - EVENT_LIFE_S)
        self.events.put(event)
        self.post.post(event, cause.now_ms)

    # One argument per column of the journal.
    def record_change(self, kind: str, record_id: str, changes: Mapping[str, str], cause: Cause) -> None:
        """One journal entry."""
        self.journal.add(cause.now_ms, kind, record_id, cause.source, changes)

    def update(self, shelf: Shelf, record: Record, updated: Record, cause: Cause) -> Record:
        """Store a changed record and emit ``<kind>.updated`` with the old values; nothing if nothing changed."""
        previous = list_previous(record, updated)
        if not previous:
            return record
        self.store(shelf, updated, cause)
        self.emit(f"{shelf.kind}.updated", updated, cause, previous)
        self.record_change(f"{shelf.kind}.updated", record["id"], flatten_changes(previous, updated), cause)
        return updated


def list_previous(old: Record, new: Record) -> Record:
    """Changed members with their old values, nested ones key by key (``previous_attributes``)."""
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
    """``{"metadata.plan": "gold"}``: the new values of the changed members, the empty string for none."""
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
    """The given members as in ``flatten_changes``, without those that hold nothing."""
    flat = flatten_changes(dict.fromkeys(names), record)
    return {name: value for name, value in flat.items() if value}
