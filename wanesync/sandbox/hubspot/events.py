"""Custom events (Enterprise only): definitions, and occurrences that count once per ``uuid``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wanesync.sandbox.hubspot.answers import (
    Answer,
    Json,
    Refusal,
    bad_request,
    batch,
    forbidden,
    iso,
    not_found,
    parse_ms,
)
from wanesync.sandbox.hubspot.call import Call, as_text, listed, optional_text, record
from wanesync.sandbox.hubspot.contacts import Contact
from wanesync.sandbox.hubspot.portal import Portal
from wanesync.sandbox.hubspot.properties import finite
from wanesync.sandbox.hubspot.property_endpoints import read_options

EVENTS_LIMIT = 500  # occurrences of one batch
PROPERTIES_LIMIT = 50  # of one definition (HubSpot, event definitions guide)
MEMBERS = {"eventName", "objectId", "email", "utk", "occurredAt", "uuid", "properties"}
DEFINITION_MEMBERS = {
    "label", "name", "description", "primaryObject", "propertyDefinitions", "includeDefaultProperties",
}  # fmt: skip
PROPERTY_MEMBERS = {"name", "label", "type", "description", "options"}
FIELD_TYPES = {"string": "text", "number": "number", "enumeration": "select", "datetime": "date"}
TYPES = set(FIELD_TYPES)
DEFINE_SCOPE = "behavioral_events.event_definitions.read_write"
SEND_SCOPE = "analytics.behavioral_events.send"
MULTI = 207
REPEATS = (
    (409, "CONFLICT", "An event with this uuid already exists."),
    (400, "VALIDATION_ERROR", "Duplicate event: the uuid was sent before."),
    (MULTI, "CONFLICT", "An event with this uuid already exists."),
)
"""How a repeated event may be refused: HubSpot's guide says only that it is."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")


@dataclass(frozen=True, slots=True)
class Definition:
    """One event type; ``types`` maps a property to its type, ``options`` an enumeration to its (value, label)."""

    number: int
    name: str
    label: str
    description: str
    types: Mapping[str, str]
    labels: Mapping[str, str]
    options: Mapping[str, tuple[tuple[str, str], ...]]
    full_name: str
    created_ms: int

    def view(self) -> Json:
        """The definition in an answer."""
        return {
            "id": str(self.number),
            "objectTypeId": f"6-{self.number}",
            "name": self.name,
            "fullyQualifiedName": self.full_name,
            "labels": {"singular": self.label, "plural": f"{self.label}s"},
            "description": self.description,
            "primaryObject": "CONTACT",
            "primaryObjectId": "0-1",
            "archived": False,
            "createdAt": iso(self.created_ms),
            "updatedAt": iso(self.created_ms),
            "associations": [],
            "properties": [self._view_property(name) for name in self.types],
        }

    def _view_property(self, name: str) -> Json:
        kind = self.types[name]
        return {
            "name": name,
            "label": self.labels[name],
            "type": kind,
            "fieldType": FIELD_TYPES[kind],
            "groupName": f"{self.name}_information",
            "description": "",
            "options": [
                {"label": label, "value": value, "displayOrder": order, "hidden": False}
                for order, (value, label) in enumerate(self.options.get(name, ()))
            ],
            "archived": False,
        }


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One valid occurrence of an event; ``contact``: None when no contact matches."""

    contact: Contact | None
    name: str
    uuid: str | None
    at_ms: int
    properties: Mapping[str, str]


@dataclass(slots=True)
class EventStore:
    """Definitions by full name, and the (event, uuid) pairs already received; ``unmatched``: without a contact."""

    definitions: dict[str, Definition] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    sent: int = 0
    repeated: int = 0
    unmatched: int = 0


class Events:
    """The event endpoints of a portal."""

    def __init__(self) -> None:
        self.store = EventStore()

    def list_definitions(self, portal: Portal, _call: Call) -> Answer:
        """GET all definitions."""
        require_enterprise(portal, DEFINE_SCOPE)
        views: list[Json] = [item.view() for item in self.store.definitions.values()]
        return Answer(200, {"total": len(views), "results": views})

    def read_definition(self, portal: Portal, call: Call) -> Answer:
        """GET one definition by its short or its full name."""
        require_enterprise(portal, DEFINE_SCOPE)
        name = call.variables[0]
        item = self.store.definitions.get(name) or self.store.definitions.get(full_name(portal, name))
        if item is None:
            raise not_found()
        return Answer(200, item.view())

    def define(self, portal: Portal, call: Call) -> Answer:
        """POST a definition: its full name is ``pe<portal>_<name>``."""
        require_enterprise(portal, DEFINE_SCOPE)
        name, label = (as_text(call.body.get(key), key) for key in ("name", "label"))
        if not NAME.fullmatch(name):
            raise bad_request("name: up to 50 lower-case letters, digits and underscores are allowed")
        if full_name(portal, name) in self.store.definitions:
            raise Refusal(409, "CONFLICT", f"An event definition named '{name}' already exists.")
        if call.body.get("primaryObject", "CONTACT") != "CONTACT":
            raise bad_request("primaryObject: this stand-in supports events of CONTACT only")
        entries = [
            record(entry, "propertyDefinitions", PROPERTY_MEMBERS)
            for entry in listed(call.body.get("propertyDefinitions"), "propertyDefinitions")
        ]
        item = Definition(
            number=1_000_000 + len(self.store.definitions),
            name=name,
            label=label,
            description=as_text(call.body.get("description") or "", "description"),
            types={as_text(entry.get("name"), "name"): as_text(entry.get("type"), "type") for entry in entries},
            labels={as_text(entry.get("name"), "name"): as_text(entry.get("label"), "label") for entry in entries},
            options={as_text(entry.get("name"), "name"): read_options(entry) for entry in entries},
            full_name=full_name(portal, name),
            created_ms=call.now_ms,
        )
        if not set(item.types.values()) <= TYPES or not all(NAME.fullmatch(name) for name in item.types):
            raise bad_request(f"propertyDefinitions: type must be one of {', '.join(sorted(TYPES))}, names lower case")
        if len(item.types) > PROPERTIES_LIMIT:
            raise bad_request(f"at most {PROPERTIES_LIMIT} properties are allowed")
        self.store.definitions[item.full_name] = item
        return Answer(201, item.view())

    def send(self, portal: Portal, call: Call) -> Answer:
        """POST one occurrence: 204; for one that is there already as ``send_batch``."""
        require_enterprise(portal, SEND_SCOPE)
        return self._keep_or_refuse(portal, call, [self._occurrence(portal, call, call.body)])

    def send_batch(self, portal: Portal, call: Call) -> Answer:
        """POST up to 500 occurrences: 204, or 400 for all of them when one is invalid.

        HubSpot keeps the first occurrence of a ``uuid`` and rejects a repeated one; how is not documented, so that
        faults decide: swallowed with 204, the whole batch refused (409 or 400), or named in a 207.
        """
        require_enterprise(portal, SEND_SCOPE)
        entries = call.inputs(MEMBERS, EVENTS_LIMIT)
        return self._keep_or_refuse(portal, call, [self._occurrence(portal, call, entry) for entry in entries])

    def _keep_or_refuse(self, portal: Portal, call: Call, occurrences: Sequence[Occurrence]) -> Answer:
        repeated = [item for item in occurrences if (item.name, item.uuid) in self.store.seen]
        if repeated and portal.occurs(portal.faults.refused_repeat):
            refusal = Refusal(*portal.rng.choice(REPEATS))
            self.store.repeated += len(repeated)
            if refusal.status != MULTI:
                raise refusal
            self._keep(portal, call, [item for item in occurrences if item not in repeated])
            return batch(MULTI, [], [refusal.item(None) for _ in repeated], call.now_ms)
        self._keep(portal, call, occurrences)
        return Answer(204)

    def _occurrence(self, portal: Portal, call: Call, given: Mapping[str, object]) -> Occurrence:
        name = as_text(given.get("eventName"), "eventName")
        definition = self.store.definitions.get(name)
        if definition is None:
            raise bad_request(f"Event {name} does not exist")
        properties = {
            key: as_text(value, key) for key, value in record(given.get("properties") or {}, "properties").items()
        }
        check_properties(definition, properties)
        object_id, email = (optional_text(given.get(key), key) for key in ("objectId", "email"))
        if not object_id and not email and not given.get("utk"):
            raise bad_request("one of objectId, email or utk is required")
        store = portal.contacts
        contact = store.get(object_id) if object_id else store.by_value("email", email or "")
        occurred = optional_text(given.get("occurredAt"), "occurredAt")
        try:
            at_ms = call.now_ms if occurred is None else parse_ms(occurred)
        except ValueError as error:
            raise bad_request("occurredAt: ISO 8601 or epoch milliseconds are expected") from error
        return Occurrence(contact, name, optional_text(given.get("uuid"), "uuid"), at_ms, properties)

    def _keep(self, portal: Portal, call: Call, occurrences: Sequence[Occurrence]) -> None:
        for item in occurrences:
            if item.uuid is not None and (item.name, item.uuid) in self.store.seen:
                self.store.repeated += 1
                continue
            if item.uuid is not None:
                self.store.seen.add((item.name, item.uuid))
            if item.contact is None:
                self.store.unmatched += 1  # accepted with 204 and then lost: HubSpot processes events asynchronously
                continue
            self.store.sent += 1
            about = {"eventName": item.name, "uuid": item.uuid or "", "occurredAt": iso(item.at_ms)}
            portal.journal.add(
                call.now_ms, "event.sent", str(item.contact.id), call.source.tag, {**item.properties, **about}
            )


def full_name(portal: Portal, name: str) -> str:
    """The name under which an event is sent."""
    return f"pe{portal.settings.portal_id}_{name}"


def require_enterprise(portal: Portal, scope: str) -> None:
    """Raise the 403 below Enterprise, which has no custom events."""
    if portal.settings.tier != "enterprise":
        raise forbidden(scope)


def check_properties(definition: Definition, properties: Mapping[str, str]) -> None:
    """Raise the 400 for unknown properties (except HubSpot's ``hs_…``), wrong types and values that are too long."""
    if len(properties) > PROPERTIES_LIMIT:
        raise bad_request(f"at most {PROPERTIES_LIMIT} properties are allowed")
    for name, value in properties.items():
        if name not in definition.types and not name.startswith("hs_"):
            raise bad_request(f"Property {name} does not exist on event {definition.full_name}")
        if len(value) > (1_024 if re.search("url|referrer|link", name) else 256):
            raise bad_request(f"the value of property {name} is too long")
        try:
            if definition.types.get(name) == "number":
                finite(value)
            elif definition.types.get(name) == "datetime":
                parse_ms(value)
        except ValueError as error:
            raise bad_request(f"the value of property {name} is not a {definition.types[name]}") from error
