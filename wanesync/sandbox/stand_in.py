"""The interface of a stand-in: requests in, responses out, webhooks as values.

A stand-in is a pure state machine: it never reads a clock, opens a socket or draws from a global random source. Time
is an argument of each call. ``server`` drives it over HTTP, ``tests/simulation`` under a virtual clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.journal import Journal


class Side(StrEnum):
    """One of the two stand-ins. Functions that take a side accept its plain name, too."""

    HUBSPOT = "hubspot"
    STRIPE = "stripe"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: ``headers`` keys are lower case, ``query`` keeps order and repeats.

    ``admitted``: ``arrive`` has already counted it and applied the rate limits.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    admitted: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response; ``lost``: the request took effect, but the server closes the connection unanswered.

    ``repeat``: over HTTP the body is sent so many times.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    lost: bool = False
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Where webhooks go: the URL, which HubSpot also signs, and the signing secret."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook POST that is due. It is signed when it is taken, so each retry carries a new signature."""

    id: int
    url: str
    headers: Mapping[str, str]
    body: bytes
    attempt: int


class StandIn(Protocol):
    """The state machine of one side. All times are epoch milliseconds."""

    @property
    def journal(self) -> Journal:
        """Every committed change."""
        ...

    def arrive(self, request: Request, now_ms: int) -> Response | None:
        """Count a request and apply the rate limits; a response is a refusal."""
        ...

    def handle(self, request: Request, now_ms: int) -> Response:
        """Answer one API request (authentication, validation, effects, events); it never raises.

        A request that is not ``admitted`` is counted and limited first.
        """
        ...

    def next_delivery_ms(self) -> int | None:
        """When the earliest waiting webhook is due, or None."""
        ...

    def take_deliveries(self, now_ms: int) -> Sequence[Delivery]:
        """The webhook POSTs due by now; each is in flight until ``finish_delivery`` is called with its id."""
        ...

    def finish_delivery(self, delivery_id: int, status: int | None, now_ms: int) -> None:
        """Record the answer to one POST (None: no answer): done if 2xx, otherwise retried later."""
        ...

    def set_target(self, target: WebhookTarget | None) -> None:
        """Set where webhooks go from now on. With None, events are not delivered, now or later."""
        ...

    def set_faults(self, faults: Faults) -> None:
        """Set the injected faults."""
        ...

    def revoke(self, key: str) -> None:
        """Refuse a key from now on, as one that was rolled."""
        ...

    def set_grants(self, key: str, grants: Iterable[str] | None) -> None:
        """Give a key these scopes or permissions and no others; None: all of them. Raises ValueError."""
        ...

    def set_rate(self, per_s: int) -> None:
        """Set how many requests a second are admitted."""
        ...

    def edit(self, kind: str, record_id: str | None, values: Mapping[str, str], now_ms: int) -> str:
        """Change a record as a user does in the vendor's own pages: the record id. Raises ValueError."""
        ...

    def records(self) -> list[dict[str, str]]:
        """Every existing record in short form: ``id`` and the fields that are set."""
        ...

    def stats(self, now_ms: int) -> Mapping[str, object]:
        """Counts since the start."""
        ...
