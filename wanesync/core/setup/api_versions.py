"""The versions of the vendors' APIs: which are used and understood, and until when HubSpot supports each of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

HubSpotVersion = Literal["v3", "2026-03", "2026-09"]
"""A value of ``hubspot.api_version``. "v3" uses v4 for associations, which v3 cannot page through."""
NEWEST: HubSpotVersion = "2026-09"
UNSUPPORTED_FROM = {
    "v3": date(2027, 9, 1),
    "v4": date(2027, 3, 30),
    "2026-03": date(2027, 9, 30),
    "2026-09": date(2028, 3, 8),
}
"""Version in a path -> the first day on which HubSpot does not support it.

v3 ("September 2027") and v4: HubSpot's changelog of 2026-09-15. Dated versions: 18 months after their release, on
2026-03-30 and 2026-09-08 (developers.hubspot.com, developer platform and API versioning).
"""
USED = {"v3": ("v3", "v4"), "2026-03": ("2026-03",), "2026-09": ("2026-09",)}
"""Value of ``hubspot.api_version`` -> the versions that stand in the paths of its calls."""
NOTICE_DAYS = 60
"""So long before its end a version is an alarm (our choice)."""


STRIPE_VERSION = "2026-10-28.endive"
"""The version of Stripe's API that is asked for: the one stripe 16.1 is made for."""
STRIPE_RELEASES = ("clover", "dahlia", "endive")
"""Releases whose customer has the same shape; within a release nothing breaks (docs.stripe.com/api/versioning)."""
FIRST_STRIPE_VERSION = "2025-09-30"
"""The day of the first version with these attributes of a customer (Stripe changelog, 2025-09-30.clover)."""
_STRIPE_VERSION = re.compile(r"(\d{4}-\d{2}-\d{2})\.([a-z]+)")


def has_known_customer(version: str) -> bool:
    """Whether the customer of an event in this version of Stripe's API can be used as it is.

    docs/correctness.md#api-versions
    """
    found = _STRIPE_VERSION.fullmatch(version)
    return found is not None and found[2] in STRIPE_RELEASES and found[1] >= FIRST_STRIPE_VERSION


@dataclass(frozen=True, slots=True)
class EndingVersion:
    """A version in use, and the days until HubSpot does not support it any more; below 0: since then."""

    version: str
    ends: date
    days_left: int

    @property
    def is_near(self) -> bool:
        """Whether an operator should change the version now."""
        return self.days_left <= NOTICE_DAYS


def find_endings(api_version: str, now_ms: int) -> list[EndingVersion]:
    """Return the versions that ``hubspot.api_version`` uses, the one that ends first in front; none if unknown."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    return sorted(_count_days(USED.get(api_version, ()), today), key=lambda ending: ending.days_left)


def _count_days(versions: Iterable[str], today: date) -> Iterable[EndingVersion]:
    for version in versions:
        ends = UNSUPPORTED_FROM[version]
        yield EndingVersion(version, ends, (ends - today).days)
