"""What the engine needs from the two sides; ``sides`` has it over the official SDKs, one contract suite proves it.

Every method makes exactly one HTTP request unless it says otherwise, and raises
``core.errors.CallError`` when the request as a whole came to nothing. Rate slots are taken by the
caller. Items of a batch have an outcome each, matched by id or trace id, never by position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wanesync.core.errors import CallError
from wanesync.core.model import Event, Record
from wanesync.core.purchases import Purchase


@dataclass(frozen=True, slots=True)
class Timing:
    """When an answer was true: somewhere in [Date - duration, Date + 999 ms] of the side's own clock, in ms."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a key belongs to. ``mode``: live or test (HubSpot: ``live``, ``test`` for sandboxes and test accounts)."""

    id: str
    mode: str
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Limits:
    """What HubSpot's newest answer said about the app's limits, in requests; None: nothing."""

    per_interval: int | None = None
    interval_ms: int | None = None
    remaining: int | None = None
    daily_remaining: int | None = None
    daily: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; ``next`` is "" at the end."""

    records: Sequence[Record]
    next: str
    timing: Timing


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
    """One customer as an answer gave it; ``record`` None: deleted or never there.

    ``replayed``: an old answer repeated under its idempotency key, never a seen state.
    """

    record: Record | None
    timing: Timing
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page of Stripe's list of events, newest first; ``next`` is "" at the end."""

    events: Sequence[Event]
    purchases: Sequence[Purchase]
    next: str


@dataclass(frozen=True, slots=True)
class Survey:
    """How many contacts a search sees, which lags behind the truth, and the highest id among them, 0 without any."""

    count: int
    highest_id: int


@dataclass(frozen=True, slots=True)
class Authors:
    """``modified_ms``: when the contact was last modified. ``ours``: property -> whether we wrote what it holds."""

    modified_ms: int
    ours: Mapping[str, bool]


class HubSpotPort(Protocol):
    """HubSpot as the engine needs it."""

    def account(self) -> Account:
        """Portal id and mode (``/account-info/v3/details``)."""
        ...

    def read_contacts(self, ids: Sequence[str]) -> Mapping[str, Record | None]:
        """At most 100. Asked id -> record (its survivor's, with another id, if it was merged away); None: not there."""
        ...

    def list_contacts(self, after: str, limit: int = 100) -> Page:
        """One page in id order, ``after`` "" for the first."""
        ...

    def search_modified(self, since_ms: int, above_id: str) -> Sequence[tuple[str, int]]:
        """Up to 200 (id, lastmodifieddate ms) changed since ``since_ms``, in id order, above ``above_id`` ("": all)."""
        ...

    def survey_contacts(self) -> Survey:
        """How many contacts there are, by search."""
        ...

    def create_contacts(self, items: Sequence[CreateItem]) -> Mapping[str, Record | CallError]:
        """At most 100. Trace id -> the contact, or why not (CONFLICT with ``existing_id``)."""
        ...

    def update_contacts(self, items: Sequence[UpdateItem]) -> Mapping[str, Record | CallError]:
        """At most 100, distinct ids. Trace id -> the contact after the write, or why not."""
        ...

    def wrote_current(self, contact_id: str, properties: Sequence[str]) -> Authors:
        """Whose the current values are (``propertiesWithHistory``, sourceId)."""
        ...

    def send_events(self, items: Mapping[str, Purchase]) -> Mapping[str, CallError | None]:
        """Payment id -> None when taken; the contact is each purchase's ``contact_id``.

        Refused batches are isolated inside (several requests then).
        """
        ...

    def read_note_marks(self, contact_id: str) -> frozenset[str]:
        """Payment ids at the end of the contact's notes (one or two requests)."""
        ...

    def create_notes(self, items: Mapping[str, Purchase]) -> Mapping[str, CallError | None]:
        """Payment id -> None when the note stands."""
        ...

    def set_properties(self, values: Mapping[str, Mapping[str, str]]) -> Mapping[str, CallError | None]:
        """Contact id -> raw properties (purchase roll-ups)."""
        ...

    def can_define_events(self) -> bool:
        """Whether this portal has custom events (a 403 says no)."""
        ...

    def has_property(self, name: str) -> bool:
        """Whether contacts have a property of this internal name."""
        ...

    def prepare(self, *, with_events: bool) -> Sequence[str]:
        """Create what is missing: our id and roll-up properties, the event definition. Says what it made."""
        ...


class StripePort(Protocol):
    """Stripe as the engine needs it."""

    def account(self) -> Account:
        """Account id and mode (``/v1/account``, or the text of its 403 for restricted keys)."""
        ...

    def read_customer(self, customer_id: str) -> CustomerAnswer:
        """One customer."""
        ...

    def list_customers(self, after: str, created_from: int, created_to: int) -> Page:
        """One page of 100, newest first, created in [from, to] (seconds, 0 = open), ``after`` "" for the first."""
        ...

    def create_customer(self, body: str, key: str) -> CustomerAnswer:
        """Create from the exact stored body (JSON of the parameters) under an idempotency key."""
        ...

    def update_customer(self, customer_id: str, body: str, key: str) -> CustomerAnswer:
        """Update with the exact stored body under an idempotency key."""
        ...

    def list_events(self, since_s: int, after: str) -> EventPage:
        """One page of customer and charge events, newest first, ``created`` >= ``since_s``."""
        ...


@dataclass(frozen=True, slots=True)
class ParsedWebhook:
    """A webhook body understood: events, purchases, and elements set aside with their reason.

    ``foreign``: how many were dropped because they concern another account or mode; ``ignored``:
    because they concern nothing that is mapped.
    """

    events: Sequence[Event] = ()
    purchases: Sequence[Purchase] = ()
    set_aside: Sequence[tuple[bytes, str]] = ()
    foreign: int = 0
    ignored: int = 0


class WebhookPort(Protocol):
    """One side's webhooks: verified on the raw bytes, then parsed."""

    def verify(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> None:
        """Check the signature of a POST to ``url``; raises ``BadSignature``. ``headers`` keys are lower case."""
        ...

    def parse(self, body: bytes, now_ms: int) -> ParsedWebhook:
        """Understand a body; raises ``BadPayload`` when it is not what this side sends at all."""
        ...


class FieldTranslation(Protocol):
    """Pure translation between changes of fields and the bodies the sides take."""

    def contact_properties(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """Field -> canonical HubSpot value, as raw properties."""
        ...

    def customer_params(self, values: Mapping[str, str], current: Record | None) -> Mapping[str, object]:
        """Field -> canonical Stripe value, as parameters; "" clears.

        An address goes out whole: Stripe does not say whether parts left out survive.
        """
        ...
