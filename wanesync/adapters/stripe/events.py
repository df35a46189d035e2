"""Stripe's events, as webhooks bring them and as the list of events shows them: one parser for both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wanesync.adapters.checked_values import (
    MAX_ID_CHARS,
    IncompleteElement,
    InvalidElement,
    check_id,
    check_text,
    find_faults,
)
from wanesync.adapters.json_values import MAX_MS, mapping, text, whole
from wanesync.adapters.stripe.customers import (
    CARRIED,
    MAX_KEYS,
    NEWER,
    CustomerValues,
    list_unmapped,
    read_carry,
    read_customer,
    read_values,
)
from wanesync.adapters.webhooks import (
    FOREIGN,
    IGNORED,
    WebhookContents,
    event_key,
    parse_body,
)
from wanesync.core.errors import InvalidPayload
from wanesync.core.fields import FieldMap, StripeReader
from wanesync.core.ids import CONTACT_ID_KEY, OWN_KEY, PORTAL_ID_KEY
from wanesync.core.model import MAX_FREE_KEYS, Event, Record, RecordRef, Side
from wanesync.core.ports import ParsedWebhook
from wanesync.core.purchases import ACCOUNT_PREFIX, Purchase
from wanesync.core.setup.api_versions import has_known_customer
from wanesync.core.values.characters import clean_email

CUSTOMER_KINDS = {
    "customer.created": "created",
    "customer.updated": "updated",
    "customer.deleted": "deleted",
}
CHARGE_TYPES = ("charge.succeeded", "charge.captured")
EVENT_TYPES = (*CUSTOMER_KINDS, *CHARGE_TYPES)
"""The types an endpoint should subscribe to, and that are listed by catch-up."""
THIN = "v2.core.event"
"""How the objects of API v2 begin: changes of accounts, which are not synced."""
HINTS = frozenset({"currency"})
ID_HINTS = frozenset({PORTAL_ID_KEY, CONTACT_ID_KEY})


@dataclass(frozen=True, slots=True)
class StripeAccount:
    """The account that events must belong to; ``id`` and ``portal`` are "" while unknown."""

    livemode: bool
    portal: str
    id: str = ""


class StripeEvents:
    """The parser for one account and mode. ``key`` (1 to 64 bytes, secret) keys the event keys.

    A charge becomes a purchase and no event: the ledger is keyed by the payment.
    """

    def __init__(self, fields: FieldMap, account: StripeAccount, *, key: bytes) -> None:
        self._fields, self._account, self._key = fields, account, key
        self._by_attribute: dict[str, list[StripeReader]] = {}
        for reader in fields.stripe_readers:
            self._by_attribute.setdefault(reader[1].partition(".")[0], []).append(reader)
        self._tops = self._by_attribute.keys() - {"metadata"} | HINTS
        self._unmapped = list_unmapped(fields)
        paths = fields.stripe_paths.values()
        self._metadata = {path.partition(".")[2] for path in paths if path.startswith("metadata.")} | ID_HINTS

    def parse(self, body: bytes, received_ms: int) -> ParsedWebhook:
        """Read a body whose signature was verified. Raises ``InvalidPayload`` if it is no object."""
        value = parse_body(body)
        if not isinstance(value, dict):
            raise InvalidPayload("the body is not an event")
        contents = WebhookContents()
        self.add(contents, value, received_ms)
        return contents.as_parsed()

    def add(self, contents: WebhookContents, event: object, received_ms: int) -> None:
        """Sort one event into ``contents``; never raises, whatever the event holds."""
        try:
            found = self._read(mapping(event), received_ms)
        except InvalidElement as error:
            contents.put_aside(event, str(error))
            contents.named += self._name_records(mapping(event))
            return
        if isinstance(found, str):
            contents.dropped[found] += 1
            return
        if isinstance(found, Purchase):
            contents.purchases.append(found)
        else:
            contents.events.append(found)
            known = found.kind == "deleted" or has_known_customer(text(mapping(event).get("api_version")))
            contents.reread += not known

    def _read(self, event: Mapping[str, object], received_ms: int) -> Event | Purchase | str:
        thin = text(event.get("object")).startswith(THIN)
        if not thin and (event.get("object") != "event" or not isinstance(event.get("livemode"), bool)):
            raise InvalidElement("not a Stripe event")
        account, kind = text(event.get("account")), text(event.get("type"))
        if not thin and (event["livemode"] != self._account.livemode or (account and account != self._account.id)):
            return FOREIGN
        if thin or kind not in EVENT_TYPES:
            return IGNORED
        subject = mapping(mapping(event.get("data")).get("object"))
        if kind in CHARGE_TYPES:
            check_id(event.get("id"), ("evt_",))
            paid, captured = subject.get("paid"), subject.get("captured")
            if not isinstance(paid, bool) or not isinstance(captured, bool):
                raise InvalidElement("a charge that does not say whether it is paid and captured")
            return _purchase(subject, _occurred_ms(event)) if paid and captured else IGNORED
        previous = mapping(mapping(event.get("data")).get("previous_attributes"))
        if previous and not self._concerns(previous) and not _makes_room(subject, previous):
            return IGNORED
        return self._customer_row(event, subject, previous, received_ms)

    def _name_records(self, event: Mapping[str, object]) -> list[RecordRef]:
        """Return the customer of an event that is set aside: it is read, so that no edit waits for a catch-up."""
        account = text(event.get("account"))
        if event.get("livemode") is not self._account.livemode or (account and account != self._account.id):
            return []
        if text(event.get("type")) not in CUSTOMER_KINDS:
            return []
        try:
            return [
                (Side.STRIPE, check_id(text(mapping(mapping(event.get("data")).get("object")).get("id")), ("cus_",)))
            ]
        except InvalidElement:
            return []

    def _concerns(self, previous: Mapping[str, object]) -> bool:
        """Whether a change touches a mapped attribute, our ids, or whether the customer was billed."""
        if not previous.keys().isdisjoint(self._tops):
            return True
        return not mapping(previous.get("metadata")).keys().isdisjoint(self._metadata)

    def _customer_row(
        self,
        event: Mapping[str, object],
        subject: Mapping[str, object],
        previous: Mapping[str, object],
        received_ms: int,
    ) -> Event:
        kind = CUSTOMER_KINDS[text(event.get("type"))]
        record_id = check_id(subject.get("id"), ("cus_",))
        request_key = _request_key(event)
        values: dict[str, str] = {}
        before: dict[str, str] = {}
        shown: CustomerValues | None = None
        carry: dict[str, str] | None = None
        if kind == "created":
            shown = read_values(subject, self._fields)
            values = {name: value for name, value in shown.values.items() if value}
        elif kind == "updated":
            shown = read_values(subject, self._fields)
            # A request may have buried what it only sent along: docs/correctness.md#put-back
            carry = read_carry(subject) if request_key else None
            values, before = self._compare(subject, previous, shown.values, carry)
        usable = kind != "deleted" and has_known_customer(text(event.get("api_version")))
        return Event(
            key=self._event_key(event, kind, record_id),
            side=Side.STRIPE,
            kind=kind,
            record_id=record_id,
            occurred_ms=_occurred_ms(event),
            values=values,
            previous=before,
            request_key=self._name_key(request_key),
            source="" if request_key else "user",
            record=self._read_object(subject, shown, carry) if usable else None,
            received_ms=received_ms,
        )

    def _compare(
        self,
        subject: Mapping[str, object],
        previous: Mapping[str, object],
        values: Mapping[str, str],
        carry: Mapping[str, str] | None,
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return which fields a change gave which values, and their values before.

        Only fields of the attributes that changed are read as they were. ``values``, ``carry``: of the customer after
        the change; ``carry`` None: what is only sent along is not compared.
        """
        earlier = _before(subject, previous)
        touched = [one for name, readers in self._by_attribute.items() if name in previous for one in readers]
        then = read_values(earlier, self._fields, touched).values
        changed = {name: values[name] for name, value in then.items() if name in values and values[name] != value}
        before = {name: then[name] for name in changed}
        if carry is not None and not CARRIED.isdisjoint(previous):
            carried = read_carry(earlier)
            for path in self._unmapped:
                now, value = carry.get(path, ""), carried.get(path, "")
                if path.partition(".")[0] in previous and now != value:
                    changed[path], before[path] = now, value
        return changed, before

    def _name_key(self, key: str) -> str:
        """Return an idempotency key as it is kept: of other programs, which may put an address there, a hash."""
        return key if not key or key.startswith(OWN_KEY) else f"other-{event_key(self._key, 'request', key)[:24]}"

    def _read_object(
        self, subject: Mapping[str, object], shown: CustomerValues | None, carry: Mapping[str, str] | None
    ) -> Record | None:
        """Return the customer of an event; None where it lacks a field: the customer is read."""
        try:
            record = read_customer(subject, self._fields, self._account.portal, shown, carry)
        except IncompleteElement:
            return None
        return None if record.unknown else record

    def _event_key(self, event: Mapping[str, object], kind: str, record_id: str) -> str:
        event_id = check_id(event.get("id"), ("evt_",))
        mode = "live" if self._account.livemode else "test"
        return event_key(self._key, Side.STRIPE, mode, kind, record_id, str(_occurred_ms(event)), event_id)


def _occurred_ms(event: Mapping[str, object]) -> int:
    created_s = whole(event.get("created"))
    if created_s is None or not 0 <= created_s <= MAX_MS // 1000:
        raise InvalidElement("no usable created")
    return created_s * 1000


def _request_key(event: Mapping[str, object]) -> str:
    key = text(mapping(event.get("request")).get("idempotency_key"))
    return check_text(key, "request.idempotency_key", MAX_ID_CHARS)


def _before(subject: Mapping[str, object], previous: Mapping[str, object]) -> dict[str, object]:
    """Return the attributes that changed as they were: of hashes, ``previous_attributes`` holds only changed members.

    Beside them those by which it is known whether a name is Stripe's own, so that it can be read as a customer.
    """
    old: dict[str, object] = {name: subject[name] for name in NEWER if name in subject}
    old |= previous
    for name in ("address", "metadata"):
        if isinstance(previous.get(name), dict):
            old[name] = {**mapping(subject.get(name)), **mapping(previous[name])}
    return old


def _makes_room(subject: Mapping[str, object], previous: Mapping[str, object]) -> bool:
    """Return whether keys were taken out of full metadata: what had no room there may be written now."""
    now = mapping(subject.get("metadata")).keys()
    removed = [key for key, value in mapping(previous.get("metadata")).items() if value is not None and key not in now]
    return bool(removed) and len(now) + len(removed) > MAX_KEYS - MAX_FREE_KEYS


def _purchase(charge: Mapping[str, object], occurred_ms: int) -> Purchase:
    """Return the purchase of a charge, keyed by its payment intent, so that both of its events make one row."""
    charge_id = check_id(_id_of(charge))
    captured = whole(charge.get("amount_captured"))
    amount = whole(charge.get("amount")) if captured is None else captured
    currency = text(charge.get("currency")).lower()
    if amount is None or amount < 0 or len(currency) != 3 or not (currency.isascii() and currency.isalpha()):
        raise InvalidElement(f"charge {charge_id}: no usable amount or currency")
    payment, customer = _id_of(charge.get("payment_intent")), _id_of(charge.get("customer"))
    # Accounts v2: the payer is an account, not a guest, whatever address the charge shows.
    payer = customer or _id_of(charge.get("customer_account"))
    address = text(mapping(charge.get("billing_details")).get("email")) or text(charge.get("receipt_email"))
    texts = {"email": address, "description": text(charge.get("description"))}
    for name, fault in find_faults(texts).items():
        raise InvalidElement(f"charge {charge_id}: {name} {fault}")
    return Purchase(
        payment_id=check_id(payment) if payment else charge_id,
        charge_id=charge_id,
        customer_id=check_id(payer) if payer else "",
        email="" if payer.startswith(ACCOUNT_PREFIX) else clean_email(address),
        hmac="",
        amount=amount,
        currency=currency,
        occurred_ms=occurred_ms,
        description=texts["description"],
    )


def _id_of(value: object) -> str:
    """Return the id of an object that is referenced or expanded."""
    return text(mapping(value).get("id")) if isinstance(value, dict) else text(value)
