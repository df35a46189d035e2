"""What one stand-in Stripe account is like."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StripeSettings:
    """One account and its limits.

    Limits are requests per second over a sliding second: Stripe's live defaults are 100 for the
    account and 25 for each named operation (docs.stripe.com/rate-limits, 2026-04-30);
    ``operation_rate_per_s`` None is an account whose operation limits Stripe has lifted.
    ``search_lag_ms`` is how long a change stays invisible to search. ``target_events`` are the event
    types the target of ``set_target`` gets, as an endpoint's ``enabled_events``.
    """

    account_id: str = "acct_sandbox"
    api_version: str = "2026-10-28.endive"
    rate_per_s: int = 100
    operation_rate_per_s: int | None = 25
    search_rate_per_s: int = 20
    search_lag_ms: int = 1_000
    livemode: bool = False
    target_events: tuple[str, ...] = ("*",)
