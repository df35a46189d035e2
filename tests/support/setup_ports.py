"""Ports of a set-up that answer from memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side
from wanesync.core.ports import Account, Limits
from wanesync.core.setup.portal_checks import OWN_PROPERTIES, PortalFacts, PropertyFacts
from wanesync.core.setup.setup_facts import DailyUsage, Endpoint, EndpointWish, PropertyDetail, RecentChange, TokenFacts

VERSION = "2026-10-28.endive"
MAX_ENDPOINTS = 16


def error(side: Side, failure: Failure, reason: str = "status 400") -> CallError:
    return CallError(side, failure, reason)


@dataclass
class FakeHubSpot:
    """A portal that lacks nothing; ``trouble``: method -> the failure it raises instead."""

    scopes: frozenset[str] = frozenset()
    properties: Mapping[str, PropertyFacts] = field(
        default_factory=lambda: dict.fromkeys(OWN_PROPERTIES, PropertyFacts(unique=True))
    )
    details: Mapping[str, PropertyDetail] = field(default_factory=dict)
    usage: DailyUsage = field(default_factory=lambda: DailyUsage(1, 100))
    last_limits: Limits = field(default_factory=Limits)
    readable: bool = True
    changes: Sequence[RecentChange] = ()
    gaps: Sequence[str] = ()
    trouble: dict[str, Failure] = field(default_factory=dict)

    def _check(self, method: str) -> None:
        if method in self.trouble:
            raise error(Side.HUBSPOT, self.trouble[method])

    def account(self) -> Account:
        self._check("account")
        return Account("17", "test", clock_ms=1_000)

    def read_token(self) -> TokenFacts:
        self._check("read_token")
        return TokenFacts("17", "99", self.scopes)

    def read_usage(self) -> DailyUsage:
        self._check("read_usage")
        return self.usage

    def inspect(self) -> PortalFacts:
        self._check("inspect")
        return PortalFacts(self.properties, has_event=True)

    def read_details(self) -> Mapping[str, PropertyDetail]:
        self._check("read_details")
        return self.details

    def read_recent_changes(self, since_ms: int, properties: Sequence[str]) -> Sequence[RecentChange]:
        self._check("read_recent_changes")
        return [change for change in self.changes if change.at_ms >= since_ms and change.property in properties]

    def find_event_gaps(self) -> Sequence[str]:
        self._check("find_event_gaps")
        return self.gaps

    def can_define_events(self) -> bool:
        return True

    def can_read_contacts(self) -> bool:
        self._check("can_read_contacts")
        return self.readable


@dataclass
class FakeStripe:
    """An account; ``lose``: so many creations take effect without an answer."""

    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    trouble: dict[str, Failure] = field(default_factory=dict)
    lose: int = 0
    writes: bool = True
    clock_ms: int = 0
    _by_key: dict[str, Endpoint] = field(default_factory=dict)

    def _check(self, method: str) -> None:
        if method in self.trouble:
            raise error(Side.STRIPE, self.trouble[method])

    def account(self) -> Account:
        self._check("account")
        return Account("acct_1", "test")

    def may_read(self, resource: str) -> bool:
        self._check("may_read")
        return resource not in self.refused

    def may_write_customers(self) -> bool:
        self._check("may_write_customers")
        return self.writes

    def list_endpoints(self) -> Sequence[Endpoint]:
        self._check("list_endpoints")
        return list(self.endpoints.values())

    def create_endpoint(self, wish: EndpointWish, key: str) -> Endpoint:
        self._check("create_endpoint")
        if key not in self._by_key:
            if len(self.endpoints) >= MAX_ENDPOINTS:
                raise error(Side.STRIPE, Failure.REFUSED)
            made = add_endpoint(self, wish.url, wish.events, wish.version, wish.metadata)
            self._by_key[key] = replace(made, secret=f"whsec_{made.id}")
            if self.lose:
                self.lose -= 1
                raise error(Side.STRIPE, Failure.NO_ANSWER)
        return self._by_key[key]

    def update_endpoint(self, endpoint_id: str, wish: EndpointWish) -> Endpoint:
        found = self.endpoints[endpoint_id]
        metadata = {**(found.metadata or {}), **wish.metadata}
        self.endpoints[endpoint_id] = replace(found, url=wish.url, events=wish.events, metadata=metadata, enabled=True)
        return self.endpoints[endpoint_id]

    def delete_endpoint(self, endpoint_id: str) -> None:
        self.endpoints.pop(endpoint_id, None)


def add_endpoint(
    stripe: FakeStripe,
    url: str,
    events: Sequence[str] = ("customer.updated",),
    version: str = VERSION,
    metadata: Mapping[str, str] | None = None,
    *,
    enabled: bool = True,
) -> Endpoint:
    endpoint = Endpoint(f"we_{len(stripe.endpoints) + 1}", url, enabled, tuple(events), version, dict(metadata or {}))
    stripe.endpoints[endpoint.id] = endpoint
    return endpoint
