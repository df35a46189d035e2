"""The limits of the broker, worked out from the burst it has to carry (docs/broker.md#limits)."""

from __future__ import annotations

from dataclasses import dataclass

BURST_CONTACTS = 10_000
"""Contacts that change within ``BURST_S``."""
BURST_S = 60
MESSAGES_EACH = 8
"""Messages for one contact where every change comes in a POST of its own: the POST and its answer, and a notice of work
and a report for its read, its write and the read of the echo."""
REPORTED_EACH = 4
"""Those of them that a queue process receives: the POST and three reports."""
COMMIT_S = 0.25
"""Within which a queue process commits and acknowledges a message, 99 of 100."""
SEAL_BYTES = 64 * 1024
"""Room above the largest body for the seal, the topic and the properties of a packet (under 1 KiB today)."""
HANDLERS = 1_000
"""Handlers connected at once: as many as a serverless door may have instances (docs/broker.md#limits)."""
OTHER_CLIENTS = 50
"""Queue processes, workers, readers and the operator's commands."""
QUEUED_BYTES = 256 * 1024 * 1024
MAX_BODY_BYTES = 40 * 1024 * 1024
"""What ``server.max_body_bytes`` is without a setting."""


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What a broker is to carry. ``handlers``: of both doors, connected at once; ``max_body_bytes``: of a POST."""

    handlers: int = HANDLERS
    max_body_bytes: int = MAX_BODY_BYTES

    @property
    def connections(self) -> int:
        """Twice the clients: during a rotation each may hold its old connection until the new one stands."""
        return 2 * (self.handlers + OTHER_CLIENTS)

    @property
    def packet_bytes(self) -> int:
        """The largest packet: a sealed POST with the largest body."""
        return self.max_body_bytes + SEAL_BYTES

    @property
    def in_flight(self) -> int:
        """The receive maximum: 1,334 messages a second, each open for 0.25 s, are 334; three times that are 1,000."""
        return int(BURST_CONTACTS * MESSAGES_EACH / BURST_S * COMMIT_S * 3)

    @property
    def queued(self) -> int:
        """Messages kept for one client that is away: a whole burst is 40,000, and two and a half of them fit."""
        return BURST_CONTACTS * REPORTED_EACH * 5 // 2

    @property
    def queued_bytes(self) -> int:
        """Bytes kept for one client: 10,000 events of Stripe of 5 KB are 50 MB; at least two of the largest packets."""
        return max(QUEUED_BYTES, 2 * self.packet_bytes)
