"""The settings of a portal: tier, limits, webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["professional", "enterprise"]
WebhookShape = Literal["contact", "object"]
# Private apps on Professional and Enterprise: HubSpot, usage guidelines
ROLLING_LIMIT = 190  # requests per 10 s and app
DAILY_LIMITS: dict[Tier, int] = {"professional": 625_000, "enterprise": 1_000_000}


@dataclass(frozen=True, slots=True)
class HubSpotSettings:
    """The settings of one portal.

    ``rate_per_s``: enforced in every 1 s window, search included; None: only the 190 requests in 10 s of the tier.
    ``search_lag_ms``: the age at which search sees a change. ``subscribed``: the properties whose changes send webhooks
    (None: all). ``secondary_email_reads``: whether a read by e-mail finds a contact by a secondary address; HubSpot
    does not document it. ``merge_keeps_id``: the survivor of a merge keeps the primary contact's id, as in portals with
    "Primary ID Preservation" (contacts guide, 2026-09). ``webhook_shape``: ``contact`` (legacy subscriptions) or
    ``object`` (those of project apps).
    """

    portal_id: int = 4242
    app_id: int = 99
    tier: Tier = "enterprise"
    rate_per_s: int | None = None
    search_rate_per_s: int = 5
    search_lag_ms: int = 2_000
    daily_limit: int | None = None
    emit_initial_changes: bool = True
    subscribed: frozenset[str] | None = None
    secondary_email_reads: bool = True
    merge_keeps_id: bool = False
    webhook_shape: WebhookShape = "contact"
    webhook_delay_ms: int = 50
    webhooks_in_flight: int = 10
    webhook_attempts: int = 11

    @property
    def requests_per_day(self) -> int:
        """The daily quota: the given one, otherwise that of the tier."""
        return DAILY_LIMITS[self.tier] if self.daily_limit is None else self.daily_limit
