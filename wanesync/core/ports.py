"""Ports: what the engine needs from the two vendors.

``wanesync.adapters`` implements them over the official SDKs; one contract suite tests the adapters and the sandbox.
Every method makes exactly one HTTP request unless it says otherwise, and raises ``core.errors.CallError`` when the
whole request failed. The caller takes the rate slots. Items of a batch have an outcome each, matched by id or trace id,
never by position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wanesync.core.errors import CallError
from wanesync.core.model import Event, Record, RecordRef
from wanesync.core.purchases import Purchase
from wanesync.core.setup.portal_checks import PortalFacts


@dataclass(frozen=True, slots=True)
class Timing:
    """When an answer was current: between [Date - duration, Date + 999 ms], in ms of the vendor's clock."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Account:
    """The account of an API key. ``mode``: ``live`` or ``test`` (HubSpot: sandboxes and test accounts are ``test``).

    ``clock_ms``: the vendor's clock when it answered, right to some seconds; 0 if the answer did not show it.
    """

    id: str
    mode: str
    time_zone: str = "UTC"
    clock_ms: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """The rate-limit headers of HubSpot's newest answer, in requests; None where a header was missing."""

    per_interval: int | None = None
    interval_ms: int | None = None
    remaining: int | None = None
    daily_remaining: int | None = None
    daily: int | None = None


@dataclass(frozen=True, slots=True)
class RequestEnd:
    """How one request ended, for figures and traces.

    ``status``: 0 without an answer. ``took_ms``: from when its bytes left until the answer was there, or its head of
    HubSpot's. ``request_id``: the vendor's id of it (Stripe ``Request-Id``, HubSpot ``X-HubSpot-Correlation-Id``), ""
    without one.
    """

    status: int
    took_ms: float
    request_id: str = ""


def observe_nothing(_end: RequestEnd) -> None:
    """Observe no request, where no part counts them."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """One record of a listing that cannot be used, or one field of it, and why; the others of its page are used.

    ``id``: "" if even that cannot be read. ``remains``: its id and addresses, with every field unknown, so that nothing
    is created for a person who is there; None where its addresses cannot be read, or where only a field is set aside.
    """

    id: str
    reason: str
    remains: Record | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; ``next``: cursor of the next page, "" at the end. ``set_aside``: what cannot be used."""

    records: Sequence[Record]
    next: str
    timing: Timing
    set_aside: Sequence[SetAside] = ()


@dataclass(frozen=True, slots=True)
class CreateItem:
    """One contact to create: raw properties (our ids among them) and the trace id its outcome is matched by."""

    trace: str
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UpdateItem:
    """One contact to update."""

    trace: str
    id: str
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CustomerAnswer:
    """One customer of an answer; ``record`` None: not found, or, if Stripe says so, ``deleted``.

    ``replayed``: an old answer that Stripe repeated for its idempotency key; it does not show the current state.
    """

    record: Record | None
    timing: Timing
    replayed: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page of Stripe's event list, newest first; ``next``: cursor of the next page, "" at the end.

    ``set_aside``: raw JSON of events that cannot be used, and why; ``named``: the records they name. ``reread``: how
    many of the events came in an unknown version of the API.
    """

    events: Sequence[Event]
    purchases: Sequence[Purchase]
    next: str
    set_aside: Sequence[tuple[bytes, str]] = ()
    named: Sequence[RecordRef] = ()
    reread: int = 0


@dataclass(frozen=True, slots=True)
class Survey:
    """How many contacts a search finds, which lags behind writes, and the highest id among them, 0 without any."""

    count: int
    highest_id: int


@dataclass(frozen=True, slots=True)
class Authors:
    """Authorship of a contact's values: ``modified_ms`` of the contact, ``ours``: property -> whether we wrote it."""

    modified_ms: int
    ours: Mapping[str, bool]


class ApiKey(Protocol):
    """The key that a side is called by, which may be replaced while the process runs. Thread-safe."""

    def current(self) -> str:
        """Return the key to be used now."""
        ...

    def renew(self, refused: str) -> bool:
        """Return whether there is another key than the refused one now; looks for one if not. Never raises."""
        ...


class HubSpotPort(Protocol):
    """What the engine needs from HubSpot."""

    def account(self) -> Account:
        """Return portal id and mode (``/account-info/v3/details``)."""
        ...

    def read_contacts(self, ids: Sequence[str]) -> Mapping[str, Record | CallError | None]:
        """Read at most 100 contacts: requested id -> record, None if not found, or why there is no answer for it.

        A contact that was merged away returns its survivor, which has another id.
        """
        ...

    def find_archived(self, ids: Sequence[str]) -> frozenset[str]:
        """Return those of at most 100 contacts that are in the recycle bin: they were deleted."""
        ...

    def list_contacts(self, after: str, limit: int = 100) -> Page:
        """Return one page in the order of ids; ``after``: cursor, "" for the first page."""
        ...

    def search_modified(self, since_ms: int, above_id: str) -> Sequence[tuple[str, int]]:
        """Return up to 200 (id, lastmodifieddate in ms) modified since ``since_ms``, in id order.

        0: the hit does not show when; it may be newer than our copy. ``above_id``: only ids above this one, "" for all.
        """
        ...

    def survey_contacts(self) -> Survey:
        """Return how many contacts there are, by search."""
        ...

    def create_contacts(self, items: Sequence[CreateItem]) -> Mapping[str, Record | CallError]:
        """Create at most 100 contacts: trace id -> the contact or its error (CONFLICT with ``existing_id``)."""
        ...

    def update_contacts(self, items: Sequence[UpdateItem]) -> Mapping[str, Record | CallError]:
        """Update at most 100 contacts with distinct ids: trace id -> the contact after the write, or its error."""
        ...

    def wrote_current(self, contact_id: str, properties: Sequence[str]) -> Authors:
        """Return whether we wrote the current values (``propertiesWithHistory``, sourceId)."""
        ...

    def send_events(self, items: Mapping[str, Purchase]) -> Mapping[str, CallError | None]:
        """Send custom events to each purchase's ``contact_id``: payment id -> None when accepted, or its error.

        A refused batch is bisected, which makes several requests.
        """
        ...

    def read_note_marks(self, contact_id: str) -> frozenset[str]:
        """Return the payment ids at the end of a contact's notes (two requests or three).

        Raises ``CallError`` NOT_FOUND for a contact that is not there: its notes cannot be read.
        """
        ...

    def create_notes(self, items: Mapping[str, Purchase]) -> Mapping[str, CallError | None]:
        """Create notes: payment id -> None when the note exists, or its error."""
        ...

    def set_properties(self, values: Mapping[str, Mapping[str, str]]) -> Mapping[str, CallError | None]:
        """Write raw properties (purchase roll-ups): contact id -> None when written, or its error."""
        ...

    def can_define_events(self) -> bool:
        """Return whether this portal has custom events (a 403 means no)."""
        ...

    def has_property(self, name: str) -> bool:
        """Return whether contacts have a property of this internal name."""
        ...

    def inspect(self) -> PortalFacts:
        """Return which properties contacts have, and whether the event of purchases is defined (two requests)."""
        ...

    def prepare(self, *, with_events: bool) -> Sequence[str]:
        """Create our properties and the event definition where they are missing; return what was created."""
        ...


class StripePort(Protocol):
    """What the engine needs from Stripe."""

    def account(self) -> Account:
        """Return account id and mode (``/v1/account``, or the text of its 403 for restricted keys)."""
        ...

    def read_customer(self, customer_id: str) -> CustomerAnswer:
        """Read one customer."""
        ...

    def list_customers(self, after: str, created_from: int, created_to: int) -> Page:
        """Return a page of 100, newest first, created in [from, to] (seconds, 0: open); ``after``: cursor or ""."""
        ...

    def create_customer(self, body: str, key: str) -> CustomerAnswer:
        """Create a customer from the exact stored body (JSON of the parameters) under an idempotency key."""
        ...

    def update_customer(self, customer_id: str, body: str, key: str) -> CustomerAnswer:
        """Update a customer with the exact stored body under an idempotency key."""
        ...

    def list_events(self, since_s: int, after: str) -> EventPage:
        """Return one page of customer and charge events, newest first, ``created`` >= ``since_s``."""
        ...


@dataclass(frozen=True, slots=True)
class ParsedWebhook:
    """A parsed webhook body: events, purchases, and invalid elements that were set aside with their reason.

    ``named``: records that elements set aside name, which are read all the same. ``foreign``: how many elements were
    dropped because they are from another account or mode; ``ignored``: because they concern nothing that is mapped.
    ``reread``: how many of the events cost a read, because they came in an unknown version of the API.
    """

    events: Sequence[Event] = ()
    purchases: Sequence[Purchase] = ()
    set_aside: Sequence[tuple[bytes, str]] = ()
    foreign: int = 0
    ignored: int = 0
    named: Sequence[RecordRef] = ()
    reread: int = 0


class WebhookPort(Protocol):
    """One side's webhooks: verified on the raw bytes, then parsed."""

    def verify(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> None:
        """Check the signature of a POST to ``url``; raise ``InvalidSignature``. Keys of ``headers`` are lower case."""
        ...

    def is_signed(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> bool:
        """Return whether a secret that is at hand signed a POST; never waits for another one, as ``verify`` may."""
        ...

    def parse(self, body: bytes, now_ms: int) -> ParsedWebhook:
        """Parse a body; raise ``InvalidPayload`` when it is not a webhook of this side at all."""
        ...


class FieldTranslation(Protocol):
    """Pure translation between field values and the request bodies of the vendors."""

    def contact_properties(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """Translate field -> canonical HubSpot value into raw properties."""
        ...

    def customer_params(self, values: Mapping[str, str], current: Record | None) -> Mapping[str, object]:
        """Translate field -> canonical Stripe value into parameters; "" clears a field.

        An address is always sent whole: Stripe does not document whether omitted parts are kept.
        """
        ...
