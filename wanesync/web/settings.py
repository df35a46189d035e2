"""What the web doors are given: whom they serve and how much they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from wanesync.core.model import Side


class IntakePort(Protocol):
    """The doors' way in (``engine.intake``)."""

    def accept(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> int:
        """Verify, parse and durably store one POST; how many events were new. ``headers`` keys are lower case.

        Raises BadSignature and BadPayload for what the sender did wrong; anything else is our own trouble.
        """
        ...


def _always_ready() -> str:
    return ""


def _no_gauges() -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, slots=True)
class WebSettings:
    """``public_url``: the address webhooks are sent to, as HubSpot signs it; "" trusts the request's own (loopback).

    ``ready``: "" or why not (blocking). ``gauges``: name -> value for ``/metrics`` (blocking); a name
    is a Prometheus metric name, labels included. ``threads``: webhooks stored at once.
    """

    public_url: str = ""
    max_body_bytes: int = 1 << 20
    body_timeout_s: float = 10
    retry_after_s: int = 5
    threads: int = 32
    ready: Callable[[], str] = _always_ready
    gauges: Callable[[], Mapping[str, float]] = _no_gauges
