"""The webhooks of both sides (``core.ports.HookPort``): signature first, then the body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks
from wanesync.adapters.signatures import HubSpotSignature, SignedRequest, StripeSignature
from wanesync.adapters.stripe.events import StripeEvents
from wanesync.core.ports import ParsedWebhook


@dataclass(frozen=True, slots=True)
class WebhookAdapter:
    """One side's: ``signature`` and ``parser`` belong together."""

    signature: HubSpotSignature | StripeSignature
    parser: HubSpotWebhooks | StripeEvents

    def verify(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> None:
        """Raise BadSignature unless the sender signed this POST to ``url`` within 5 minutes of ``now_ms``."""
        self.signature.verify(SignedRequest("POST", url, headers, body), now_ms)

    def parse(self, body: bytes, now_ms: int) -> ParsedWebhook:
        """Read the body; raises BadPayload when it is not what this side sends at all."""
        return self.parser.parse(body, now_ms)
