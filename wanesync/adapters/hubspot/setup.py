"""What must exist in a portal before the first write: our properties and the event definition."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from wanesync.adapters.hubspot.api_paths import DEFINITION, DEFINITIONS, TOKEN_INFO
from wanesync.adapters.hubspot.client import HubSpotClient
from wanesync.adapters.hubspot.errors import read_unreadable
from wanesync.adapters.hubspot.purchases import define_event
from wanesync.adapters.json_values import is_flag, mapping, rows, text
from wanesync.core.errors import CallError, ConfigError, Failure
from wanesync.core.ids import CUSTOMER_ID_PROPERTY, INTENT_PROPERTY
from wanesync.core.purchases import ROLL_UP_PROPERTIES
from wanesync.core.setup.portal_checks import PortalFacts, PropertyFacts

GROUP = "contactinformation"
DEFINING = ("type", "fieldType", "options", "updatedAt", "modificationMetadata", "archived", "calculated")
"""Members of a definition that decide which values it accepts."""
UNIQUE = {CUSTOMER_ID_PROPERTY: "Stripe customer", INTENT_PROPERTY: "wanesync: created for"}


def property_definitions() -> list[dict[str, object]]:
    """Return the definitions of all our properties. ``hasUniqueValue`` can only be set at creation."""
    unique: list[dict[str, object]] = [
        {**_define(name, label, "string", "text"), "hasUniqueValue": True} for name, label in UNIQUE.items()
    ]
    return unique + [_define(name, *rest) for name, rest in ROLL_UP_PROPERTIES.items()]


def _define(name: str, label: str, kind: str, field_type: str) -> dict[str, object]:
    return {"name": name, "label": label, "type": kind, "fieldType": field_type, "groupName": GROUP}


def read_properties(client: HubSpotClient) -> dict[str, Mapping[str, object]]:
    """Return internal name -> definition of every contact property; one request."""
    reply = client.call(client.properties.get_all, "contacts")
    if not rows(reply.body.get("results")):
        raise read_unreadable(reply.status, "no properties, and every portal has some")
    return {text(entry.get("name")): entry for entry in map(mapping, rows(reply.body.get("results")))}


def inspect(client: HubSpotClient, event_name: str) -> PortalFacts:
    """Return what the account has; two requests. Raises ``CallError``."""
    properties = {name: _read_facts(entry) for name, entry in read_properties(client).items() if name}
    try:
        client.call_path("GET", DEFINITION, eventName=event_name)
    except CallError as error:
        if error.failure is Failure.FORBIDDEN:
            return PortalFacts(properties)
        if error.failure not in (Failure.NOT_FOUND, Failure.REFUSED):
            raise
        return PortalFacts(properties, has_event=False)
    return PortalFacts(properties, has_event=True)


def find_scopes(client: HubSpotClient, token: str) -> frozenset[str] | None:
    """Return the scopes of a key; None where HubSpot does not list them, which it does for private apps."""
    try:
        reply = client.call_path("POST", TOKEN_INFO, body={"tokenKey": token})
    except CallError:
        return None
    return frozenset(map(text, rows(reply.body.get("scopes")))) or None


def _read_facts(entry: Mapping[str, object]) -> PropertyFacts:
    metadata = mapping(entry.get("modificationMetadata"))
    marks = metadata.get("readOnlyValue"), entry.get("calculated")
    # What is neither true nor false is not written to: a refusal would follow.
    read_only = any(mark is True or not is_flag(mark) for mark in marks)
    return PropertyFacts(
        text(entry.get("type")) or "string",
        read_only=read_only,
        unique=entry.get("hasUniqueValue") is True,
        options=tuple(text(option.get("value")) for option in map(mapping, rows(entry.get("options")))),
        # Not orjson, which refuses the half of a surrogate pair that a label may hold.
        version=hashlib.blake2b(json.dumps([entry.get(name) for name in DEFINING]).encode(), digest_size=8).hexdigest(),
    )


def prepare(client: HubSpotClient, event_name: str, *, with_events: bool) -> list[str]:
    """Create what is missing and return what was created.

    Raises ``CallError``, and ``ConfigError`` for a property of ours that exists with another definition.
    """
    existing = read_properties(client)
    _check_unique(existing)
    made = []
    for definition in property_definitions():
        name = text(definition["name"])
        if name not in existing and _create_property(client, definition):
            made.append(f"contact property {name}")
    if with_events and _create_event(client, event_name):
        made.append(f"event definition {event_name}")
    return made


def _check_unique(existing: Mapping[str, Mapping[str, object]]) -> None:
    problems = [
        f"the contact property {name} exists in HubSpot but its values are not unique: "
        "delete it there (its uniqueness cannot be changed), then run this again"
        for name in UNIQUE
        if name in existing and existing[name].get("hasUniqueValue") is not True
    ]
    if problems:
        raise ConfigError(problems)


def _create_property(client: HubSpotClient, definition: Mapping[str, object]) -> bool:
    try:
        client.call(client.properties.create, "contacts", dict(definition))
    except CallError as error:
        if error.status == 409:
            return False
        raise
    return True


def _create_event(client: HubSpotClient, event_name: str) -> bool:
    try:
        client.call_path("GET", DEFINITION, eventName=event_name)
    except CallError as error:
        if error.failure not in (Failure.NOT_FOUND, Failure.REFUSED):
            raise
    else:
        return False
    try:
        client.call_path("POST", DEFINITIONS, body=define_event(event_name))
    except CallError as error:
        if error.status == 409:
            return False
        raise
    return True
