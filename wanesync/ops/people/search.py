"""People: finding one by an address, an id, a payment, a name or a phone number, and all that is stored of one.

Addresses and ids are found by an index. Names and phone numbers have none, because their values are encrypted: the
copies are searched one by one, for a bounded time, and the search goes on where it ended.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from wanesync.core.errors import ConfigError
from wanesync.core.model import LinkState, RecordRef, Side, normalise_email
from wanesync.core.normalize import NAME_PARTS
from wanesync.store.clock import Clock, DatabaseClock

if TYPE_CHECKING:
    from wanesync.core.fields import FieldMap
    from wanesync.core.model import Link, Record, StoredRecord
    from wanesync.store.database import Store, Tx

SCAN_MS = 2_000
"""How long one request searches names and phone numbers, in ms; our choice: a person waits for it."""
STEP_SCAN_MS = 80
"""The same of a page that goes on by itself: with the time for the page it stays below 200 ms (docs/benchmarks.md)."""
SCAN_ROWS = 250
"""Copies read in one transaction of a search: about 20 ms."""
MIN_DIGITS = 4
"""Fewer digits are searched as a name or an id only."""
MIN_EXACT_DIGITS = 7
"""Last digits of a phone number that find it where values are masked (our choice): fewer could be tried one by one."""
MAX_QUERY_CHARS = 200
"""Longest text that is searched for; our choice."""


@dataclass(frozen=True, slots=True)
class PersonSummary:
    """A person in a list. ``customers``: of active links, the primary one first. ``linked``: both sides are known."""

    contact: StoredRecord | None
    customers: Sequence[StoredRecord]

    @property
    def linked(self) -> bool:
        """Whether it has a record on both sides."""
        return self.contact is not None and bool(self.customers)

    @property
    def key(self) -> str:
        """The id by which the person is opened: the contact's, otherwise the customer's."""
        return self.contact.id if self.contact is not None else self.customers[0].id

    def value(self, name: str) -> str:
        """Return a field as HubSpot holds it, or as Stripe does where that is blank."""
        copies = [*([self.contact] if self.contact else []), *self.customers]
        return next((value for copy in copies if (value := copy.record.values.get(name, ""))), "")


class Scan(NamedTuple):
    """How far a search by name or phone number came. ``next``: where it goes on, "" at its end.

    ``searched``: copies read by this request; ``total``: copies that there are.
    """

    searched: int
    total: int
    next: str


@dataclass(frozen=True, slots=True)
class PeopleFound:
    """People that a text stands for. ``scan``: None where an index was enough."""

    people: Sequence[PersonSummary]
    scan: Scan | None = None


@dataclass(frozen=True, slots=True)
class PeopleSearch:
    """Finds people by an e-mail address, an id of either side, a payment or a charge, a name or a phone number.

    ``exact``: for those who see masked values. Names are found by whole words and phone numbers by their end, so that
    no value can be found out a letter or digit at a time. ``scan_ms``: how long one call searches them.
    """

    store: Store
    fields: FieldMap
    clock: Clock = field(default_factory=DatabaseClock)
    exact: bool = False
    scan_ms: int = SCAN_MS

    def find(self, text: str, limit: int, after: str = "") -> PeopleFound:
        """Find people. ``after``: where an earlier search ended. Raises ConfigError for a text that is too long."""
        text = text.strip()
        if not text:
            return PeopleFound([])
        if len(text) > MAX_QUERY_CHARS:
            raise ConfigError([f"the text to search for is longer than {MAX_QUERY_CHARS} characters"])
        if not after:
            with self.store.reading() as tx:
                people = summarise(tx, find_refs(self.store, tx, text))[:limit]
            if people or "@" in text:
                return PeopleFound(people)
        return self._scan(text, limit, after)

    def _scan(self, text: str, limit: int, after: str) -> PeopleFound:
        """Search names and phone numbers, copy by copy, until enough are found or the time is over."""
        matches = _Matcher(self.fields, text, exact=self.exact)
        with self.store.reading() as tx:
            total = sum(tx.records.count(side) for side in Side)
        found: dict[RecordRef, None] = {}
        searched, ends_ms, goes_on = 0, self.clock.monotonic_ms() + self.scan_ms, ""
        for place, records in _pages(self.store, after):
            searched += len(records)
            found |= dict.fromkeys((record.side, record.id) for record in records if matches(record))
            if len(found) >= limit or self.clock.monotonic_ms() >= ends_ms:
                goes_on = place
                break
        with self.store.reading() as tx:
            return PeopleFound(summarise(tx, [*found]), Scan(searched, total, goes_on))


def find_refs(store: Store, tx: Tx, text: str) -> set[RecordRef]:
    """Return the records that an address, an id, a payment or a charge stands for, without those linked to them."""
    if "@" in text:
        hmac = store.hmac(normalise_email(text))
        return set(tx.records.by_hmacs([hmac]).get(hmac, set()))
    paid = tx.purchases.of_payment(text)
    payers = [(Side.STRIPE, one.customer_id) for one in paid] + [(Side.HUBSPOT, one.contact_id) for one in paid]
    wanted = {(side, record_id) for side, record_id in payers if record_id}
    return set(tx.records.get_many(wanted or {(side, text) for side in Side}))


def summarise_ids(store: Store, ids: Sequence[str]) -> list[PersonSummary]:
    """Return the people of some ids of either side; unknown ids are left out."""
    with store.reading() as tx:
        return summarise(tx, set(tx.records.get_many({(side, one) for one in ids for side in Side})))


def summarise(tx: Tx, refs: Collection[RecordRef]) -> list[PersonSummary]:
    """Return the people of some records, with the records linked to them; a person is named once."""
    links = [link for link in tx.links.of_records(refs) if link.state is LinkState.ACTIVE]
    contacts = sorted({link.hubspot_id for link in links})
    links = [link for link in tx.links.of_ids(contacts, []) if link.state is LinkState.ACTIVE] if contacts else []
    ends = {(side, link.id_on(side)) for link in links for side in Side}
    copies = tx.records.get_many({*refs, *ends})
    found = [_summarise_contact(contact_id, links, copies) for contact_id in contacts]
    for ref in sorted(set(refs) - ends):
        copy = copies.get(ref)
        if copy is not None:
            found.append(PersonSummary(copy, []) if ref[0] is Side.HUBSPOT else PersonSummary(None, [copy]))
    return [one for one in found if one.contact is not None or one.customers]


def _summarise_contact(contact_id: str, links: Sequence[Link], copies: dict[RecordRef, StoredRecord]) -> PersonSummary:
    mine = sorted((k for k in links if k.hubspot_id == contact_id), key=lambda k: (not k.primary, k.stripe_id))
    customers = [copies[Side.STRIPE, link.stripe_id] for link in mine if (Side.STRIPE, link.stripe_id) in copies]
    return PersonSummary(copies.get((Side.HUBSPOT, contact_id)), customers)


# -- names and phone numbers


def _pages(store: Store, after: str) -> Iterator[tuple[str, list[Record]]]:
    """Yield (place, contents) of living records, HubSpot's first; the place is that of the last one."""
    side_name, _, record_id = after.partition(":")
    for side in Side:
        if side_name and side < side_name:
            continue
        last = record_id if side == side_name else ""
        while True:
            with store.reading() as tx:
                records = tx.records.contents(side, last, SCAN_ROWS)
            if not records:
                break
            last = records[-1].id
            yield f"{side}:{last}", records


class _Matcher:
    """Whether a record holds a name that has every word of a text, or a phone number that has its digits."""

    def __init__(self, fields: FieldMap, text: str, *, exact: bool) -> None:
        self.exact = exact
        self.words = _fold(text).split()
        digits = "".join(mark for mark in text if mark.isdecimal())
        letters = any(mark.isalpha() for mark in text)
        enough = MIN_EXACT_DIGITS if exact else MIN_DIGITS
        self.digits = digits.lstrip("0") if not letters and len(digits.lstrip("0")) >= enough else ""
        self.names = [spec.name for spec in fields.specs if spec.transform == "name" or "business_name" in spec.stripe]
        self.phones = [spec.name for spec in fields.specs if spec.transform == "phone"]

    def __call__(self, record: Record) -> bool:
        values = record.values
        if self.digits:
            held = ("".join(filter(str.isdecimal, values.get(name, ""))) for name in self.phones)
            return any(number.endswith(self.digits) if self.exact else self.digits in number for number in held)
        texts = (_fold(values.get(name, "")).split() for name in self.names)
        return any(all(self._has(parts, word) for word in self.words) for parts in texts if parts)

    def _has(self, parts: Sequence[str], word: str) -> bool:
        return word in parts if self.exact else any(part.startswith(word) for part in parts)


def _fold(text: str) -> str:
    """Return a text without case, accents and the separator between the parts of a name."""
    plain = unicodedata.normalize("NFKD", text.replace(NAME_PARTS, " ").casefold())
    return "".join(mark for mark in plain if not unicodedata.combining(mark))
