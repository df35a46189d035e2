"""The version of HubSpot's API that the workers use, and what an operator should do before its support ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.operating.alarms import Alarm, AlarmCode
from wanesync.core.setup.api_versions import NEWEST, EndingVersion, find_endings
from wanesync.store.tables.settings import HUBSPOT_VERSION

if TYPE_CHECKING:
    from wanesync.store.database import Tx


@dataclass(frozen=True, slots=True)
class ApiVersionState:
    """``hubspot.api_version`` of the newest worker ("" before the first), and the end of support that comes first.

    ``ends``: the first day without support, of the version ``of`` that stands in the paths; "" and None if unknown.
    """

    hubspot: str
    of: str
    ends: str
    days_left: int | None


def read_api_version(tx: Tx) -> ApiVersionState:
    """Return the version in use and its end."""
    used = tx.settings.get(HUBSPOT_VERSION) or ""
    endings = find_endings(used, tx.now_ms)
    if not endings:
        return ApiVersionState(used, "", "", None)
    first = endings[0]
    return ApiVersionState(used, first.version, first.ends.isoformat(), first.days_left)


def find_version_alarms(tx: Tx) -> list[Alarm]:
    """Return an alarm for each version in use whose support ends soon, or has ended."""
    endings = find_endings(tx.settings.get(HUBSPOT_VERSION) or "", tx.now_ms)
    return [
        Alarm(AlarmCode.API_VERSION_ENDS, *describe_ending(ending), subject=ending.version)
        for ending in endings
        if ending.is_near
    ]


def describe_ending(ending: EndingVersion) -> tuple[str, str]:
    """Return when the support of a version ends, and what to set instead."""
    when = f"ends on {ending.ends} (in {ending.days_left} days)" if ending.days_left > 0 else f"ended on {ending.ends}"
    newer = f'set hubspot.api_version = "{NEWEST}"' if ending.version != NEWEST else "install a newer wanesync"
    return f"HubSpot's support of its API version {ending.version} {when}", f"{newer}, then restart the workers"
