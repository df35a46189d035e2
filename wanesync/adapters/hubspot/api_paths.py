"""The path of every HubSpot call, in each version of its API: one table (docs/correctness.md#api-versions).

The official SDK has the paths of v3 (for associations v4) only; ``find_paths`` turns one of them into the paths of the
version that is configured. The bodies are the same in all versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wanesync.core.setup.api_versions import NEWEST, HubSpotVersion

ACCOUNT = "/account-info/v3/details"
DEFINITIONS = "/events/v3/event-definitions"
DEFINITION = f"{DEFINITIONS}/{{eventName}}"
USAGE = "/account-info/v3/api-usage/daily/private-apps"
RULES = "/crm/v3/property-validations/{objectTypeId}"
TOKEN_INFO = "/oauth/v2/private-apps/get/access-token-info"  # noqa: S105 - an address
"""Paths that the SDK does not have."""

EVENT_PREFIXES: Mapping[str, Sequence[str]] = {
    "v3": ("/events/v3",),
    "2026-03": ("/events/2026-03",),
    "2026-09": ("/events/custom/2026-09", "/events/2026-09"),
}
"""Version -> how the paths of custom events begin. For 2026-09 HubSpot publishes two spellings, the first in its
specification and its TypeScript SDK, the second in its guides, which is used where the first does not exist."""


@dataclass(frozen=True, slots=True)
class _Family:
    """Paths that begin alike: as the SDK has them, and how they begin in a dated version (``{}``)."""

    sdk: str
    dated: str


FAMILIES = (
    _Family("/crm/v3/objects/", "/crm/objects/{}/"),
    _Family("/crm/v3/properties/", "/crm/properties/{}/"),
    _Family("/crm/v3/property-validations/", "/crm/property-validations/{}/"),
    _Family("/crm/v4/associations/", "/crm/associations/{}/"),
    _Family("/account-info/v3/", "/account-info/{}/"),
)
EVENTS = "/events/v3/"
UNVERSIONED = (TOKEN_INFO,)
"""Paths that are the same whatever the version."""

CALLS = (
    "/crm/v3/objects/contacts",
    "/crm/v3/objects/contacts/{contactId}",
    "/crm/v3/objects/contacts/search",
    "/crm/v3/objects/contacts/batch/read",
    "/crm/v3/objects/contacts/batch/create",
    "/crm/v3/objects/contacts/batch/update",
    "/crm/v3/objects/notes/batch/create",
    "/crm/v3/objects/notes/batch/read",
    "/crm/v4/associations/{fromObjectType}/{toObjectType}/batch/read",
    "/crm/v3/properties/{objectType}",
    RULES,
    ACCOUNT,
    USAGE,
    DEFINITIONS,
    DEFINITION,
    "/events/v3/send/batch",
    TOKEN_INFO,
)
"""Every path that is called, as the SDK has it."""


def find_paths(sdk_path: str, version: HubSpotVersion) -> tuple[str, ...]:
    """Return the paths of a call in a version, the one to try first in front.

    Raises ``ValueError`` for a path that is not in the table: it would not be known in the other versions.
    """
    if sdk_path not in CALLS:
        raise ValueError(f"{sdk_path} is not in the table of HubSpot's paths")
    if sdk_path in UNVERSIONED:
        return (sdk_path,)
    if sdk_path.startswith(EVENTS):
        return tuple(f"{prefix}/{sdk_path.removeprefix(EVENTS)}" for prefix in EVENT_PREFIXES[version])
    if version == "v3":
        return (sdk_path,)
    family = next(family for family in FAMILIES if sdk_path.startswith(family.sdk))
    return (family.dated.format(version) + sdk_path.removeprefix(family.sdk),)


def make_table(version: HubSpotVersion = NEWEST) -> dict[str, tuple[str, ...]]:
    """Return path of the SDK -> paths of a version, for every call."""
    return {path: find_paths(path, version) for path in CALLS}
