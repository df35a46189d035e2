"""What the stand-ins speak: plain requests in, plain responses out, webhooks as values.

A stand-in is a pure state machine: it never reads a clock, opens a socket or draws from a global
random source. Time is handed in with each call; whoever owns the sockets (``sandbox/server.py``) or
the virtual clock (``tests/simulation``) drives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Side(StrEnum):
    """One of the two stand-ins. Functions that take a side accept its plain name, too."""

    HUBSPOT = "hubspot"
    STRIPE = "stripe"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: ``headers`` keys are lower case, ``query`` keeps order and repeats.

    ``admitted``: it was counted, and took its place under the rate limits, when it arrived.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    admitted: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response; ``lost``: it was carried out but the answer never arrives (the server hangs up)."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    lost: bool = False


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Where webhooks go: the URL that is also signed (HubSpot) and the signing secret."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook POST that is due: signed when it is handed out, so that a retry is signed anew."""

    id: int
    url: str
    headers: Mapping[str, str]
    body: bytes
    attempt: int


class StandIn(Protocol):
    """One side's state machine."""

    def arrive(self, request: Request, now_ms: int) -> Response | None:
        """Count a request and apply the rate limits, as the front door does; a response is a refusal."""
        ...

    def handle(self, request: Request, now_ms: int) -> Response:
        """Answer one API request (authentication, validation, effects, events), never raising.

        One that was not ``admitted`` arrives first.
        """
        ...

    def next_delivery_ms(self) -> int | None:
        """When the earliest waiting webhook is due, or None."""
        ...

    def take_deliveries(self, now_ms: int) -> Sequence[Delivery]:
        """The webhook POSTs due by now; each is in flight until ``finish_delivery`` names it."""
        ...

    def finish_delivery(self, delivery_id: int, status: int | None, now_ms: int) -> None:
        """The answer to one POST (None: no answer): done if 2xx, else retried later."""
        ...

    def set_target(self, target: WebhookTarget | None) -> None:
        """Where webhooks go from now on (None: nowhere; events that occur are then not delivered)."""
        ...
