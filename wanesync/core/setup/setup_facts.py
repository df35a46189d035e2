"""What a set-up needs to be checked and made: facts about both accounts, and the ports that read them.

These calls are made by ``wanesync init``, ``doctor`` and ``webhooks``, never by the engine. Every method makes one HTTP
request unless it says otherwise, and raises ``core.errors.CallError``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wanesync.core.ports import Account, Limits
from wanesync.core.setup.portal_checks import PortalFacts


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What HubSpot says of an access token: its portal, its app and the scopes it was given."""

    portal: str
    app_id: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """The requests of HubSpot's present day, of all apps of the account together; ``limit`` 0: not known."""

    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class PropertyDetail:
    """What a contact property accepts: its type, the values of its options, and the portal's rules for it."""

    type: str
    read_only: bool = False
    options: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecentChange:
    """One change of a property of a contact, as HubSpot's history has it."""

    record_id: str
    property: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One webhook endpoint of a Stripe account. ``version``: "" means the account's own. ``secret``: once created."""

    id: str
    url: str
    enabled: bool
    events: tuple[str, ...]
    version: str = ""
    metadata: Mapping[str, str] | None = None
    secret: str = ""


@dataclass(frozen=True, slots=True)
class EndpointWish:
    """A webhook endpoint as it is to be."""

    url: str
    events: tuple[str, ...]
    version: str
    metadata: Mapping[str, str]


class HubSpotSetupPort(Protocol):
    """What a set-up reads from HubSpot."""

    def account(self) -> Account:
        """Return portal id, mode and clock."""
        ...

    def read_token(self) -> TokenFacts:
        """Return what HubSpot says of the token."""
        ...

    def read_usage(self) -> DailyUsage:
        """Return how many requests of the day were used."""
        ...

    def inspect(self) -> PortalFacts:
        """Return which properties contacts have, and whether the event of purchases is defined (two requests)."""
        ...

    def read_details(self) -> Mapping[str, PropertyDetail]:
        """Return what each contact property accepts (two requests)."""
        ...

    def read_recent_changes(self, since_ms: int, properties: Sequence[str]) -> Sequence[RecentChange]:
        """Return the changes of these properties since a time, of up to 50 contacts (two requests)."""
        ...

    def find_event_gaps(self) -> Sequence[str]:
        """Return the properties that the event of purchases lacks or has with another type; none without the event."""
        ...

    def can_define_events(self) -> bool:
        """Return whether the account shows its event definitions to this token."""
        ...

    def can_read_contacts(self) -> bool:
        """Return whether the token may read contacts."""
        ...

    @property
    def last_limits(self) -> Limits:
        """The rate-limit headers of the newest answer."""
        ...


class StripeSetupPort(Protocol):
    """What a set-up reads from Stripe, and its webhook endpoints."""

    def account(self) -> Account:
        """Return account id and mode; a restricted key learns its account from a refusal."""
        ...

    @property
    def clock_ms(self) -> int:
        """Stripe's clock at the newest answer, 0 before the first."""
        ...

    def may_read(self, resource: str) -> bool:
        """Return whether the key may list a resource (``customers``, ``charges``, ``events``)."""
        ...

    def may_write_customers(self) -> bool:
        """Return whether the key may write customers, by an update of one that cannot exist: it changes nothing."""
        ...

    def list_endpoints(self) -> Sequence[Endpoint]:
        """Return every webhook endpoint of the account and mode (a request per 100)."""
        ...

    def create_endpoint(self, wish: EndpointWish, key: str) -> Endpoint:
        """Create an endpoint under an idempotency key; the only answer with its secret."""
        ...

    def update_endpoint(self, endpoint_id: str, wish: EndpointWish) -> Endpoint:
        """Change address, events and metadata of an endpoint and enable it; its version cannot be changed."""
        ...

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint."""
        ...
