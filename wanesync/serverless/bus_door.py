"""The door of a serverless instance that hands webhooks to the bus: no database, a connection that may be frozen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wanesync import bus_wiring
from wanesync.bus.client import KEEPALIVE_S
from wanesync.web.app import build_app
from wanesync.web.metrics import WebhookCounters
from wanesync.web.settings import WebSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from wanesync.bus.door import BusDoor
    from wanesync.config.model import Config

COUNTS_S = 10.0
"""How often an instance reports what it counted (our choice)."""


@dataclass(slots=True)
class HandlerDoor:
    """A door in front of the bus. ``now_s``: a clock that goes on while the process is frozen."""

    app: ASGIApp
    door: BusDoor
    counts: WebhookCounters
    now_s: Callable[[], float] = time.time
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _used_s: float = 0.0
    _reported_s: float = 0.0

    def prepare_request(self) -> None:
        """Connect again after a pause in which the broker gave the connection up: a frozen process sends no signs."""
        # One request connects again, and those that came with it wait: a container answers many at a time.
        with self._guard:
            now_s, before_s = self.now_s(), self._used_s
            self._used_s = now_s
            if before_s and abs(now_s - before_s) > KEEPALIVE_S:
                self.door.client.connect_again()

    def finish_request(self) -> None:
        """Report the counted outcomes, at most every 10 s."""
        self._used_s = now_s = self.now_s()
        if abs(now_s - self._reported_s) >= COUNTS_S:
            self._reported_s = now_s
            self.door.report(self.counts)

    def close(self) -> None:
        """Report the counted outcomes and disconnect."""
        self.door.report(self.counts)
        self.door.client.stop()


def build_handler_door(config: Config) -> HandlerDoor:
    """Build the door of the side whose webhook secret is configured, and begin to connect. Raises ``ConfigError``."""
    counts = WebhookCounters()
    door = bus_wiring.build_bus_door(config, bus_wiring.find_handler_side(config))
    # The platform is in front: neither a listener nor a certificate of ours.
    bounds = WebSettings(config.server.public_url or "", config.server.max_body_bytes)
    app = build_app(door, bus_wiring.build_door_settings(bounds, door), counts)
    door.client.start()
    return HandlerDoor(app, door, counts)
