"""The routes of the API: the endpoint of each path, and the parameters it accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wanesync.sandbox.hubspot import contact_endpoints, events, property_endpoints, search, setup_endpoints
from wanesync.sandbox.hubspot.access import RateLimiter
from wanesync.sandbox.hubspot.answers import Answer, Refusal
from wanesync.sandbox.hubspot.api_versions import spell
from wanesync.sandbox.hubspot.call import Call
from wanesync.sandbox.hubspot.events import Events
from wanesync.sandbox.hubspot.notes import Notes
from wanesync.sandbox.hubspot.portal import Portal

Endpoint = Callable[[Portal, Call], Answer]
ALIASES = {"contact": "contacts", "0-1": "contacts", "note": "notes", "0-46": "notes"}
OBJECT_TYPES = {"associations": (3, 4), "objects": (3, 6)}
"""Where the parts of a path name a kind of record, by what the path is about; elsewhere only the third part does."""
CONTACTS = "crm/v3/objects/contacts"
PROPERTIES = "crm/v3/properties/contacts"
RULES = "crm/v3/property-validations/contacts"
NOTES = "crm/v3/objects/notes"
READING = frozenset({"properties", "propertiesWithHistory", "archived"})


@dataclass(frozen=True, slots=True)
class Route:
    """One route. ``query`` and ``members``: the accepted parameters and body members; all others are refused.

    ``writes``: it has effects, so its answer can be lost. ``creates``: a repetition creates a second record.
    """

    operation: str
    endpoint: Endpoint
    query: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    writes: bool = False
    creates: bool = False
    searches: bool = False


class Routes:
    """All routes by method and path, in each version of the API."""

    def __init__(self, events_of: Events, notes: Notes, rate_limiter: RateLimiter) -> None:
        self._by_shape: dict[tuple[str, int], list[tuple[tuple[str, ...], Route]]] = {}
        self._add_contacts()
        self._add_batches()
        self._add_properties()
        self._add_events(events_of)
        self._add_notes(notes)
        self._add("GET account-info/v3/details", Route("account.read", rate_limiter.read_account))
        self._add("GET account-info/v3/api-usage/daily/private-apps", Route("account.usage", rate_limiter.read_usage))

    def add_setup(self, token: setup_endpoints.TokenEndpoint) -> None:
        """Add the endpoints that a set-up is checked with."""
        key = frozenset({"tokenKey"})
        self._add("POST oauth/v2/private-apps/get/access-token-info", Route("token.read", token.read, members=key))
        self._add(f"GET {RULES}", Route("properties.list_rules", setup_endpoints.list_rules))

    def find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
        """The route of a decoded path and its variables. Raises 404 for an unknown path, 405 for a wrong method."""
        parts = path.strip("/").split("/")
        places = next((where for name, where in OBJECT_TYPES.items() if name in parts[1:3]), (3,))
        parts = [ALIASES.get(part, part) if position in places else part for position, part in enumerate(parts)]
        found = self._match(method, parts)
        if found is not None:
            return found
        if any(self._match(other, parts) for other in ("GET", "POST", "PATCH", "DELETE")):
            raise Refusal(405, "METHOD_NOT_ALLOWED", "HTTP 405 Method Not Allowed")
        raise Refusal(404, "OBJECT_NOT_FOUND", f"no endpoint has the path {path}")

    def _match(self, method: str, parts: list[str]) -> tuple[Route, tuple[str, ...]] | None:
        for pattern, route in self._by_shape.get((method, len(parts)), ()):
            if all(want in ("*", part) for want, part in zip(pattern, parts, strict=True)):
                variables = (part for want, part in zip(pattern, parts, strict=True) if want == "*")
                return route, tuple(variables)
        return None

    def _add(self, spec: str, route: Route) -> None:
        # Fixed paths must be added before those with a variable in the same position.
        method, _, path = spec.partition(" ")
        for spelling in spell(path):
            pattern = tuple(spelling.split("/"))
            self._by_shape.setdefault((method, len(pattern)), []).append((pattern, route))

    def _add_contacts(self) -> None:
        write = frozenset({"properties", "associations"})
        merge = frozenset({"primaryObjectId", "objectIdToMerge"})
        erase = frozenset({"objectId", "idProperty"})
        one = f"{CONTACTS}/*"
        find = frozenset(search.MEMBERS)
        for spec, route in {
            f"GET {CONTACTS}": Route("contacts.list", contact_endpoints.list_contacts, READING | {"limit", "after"}),
            f"POST {CONTACTS}": Route(
                "contacts.create", contact_endpoints.create_contact, members=write, writes=True, creates=True
            ),
            f"POST {CONTACTS}/search": Route("contacts.search", search.search_contacts, members=find, searches=True),
            f"POST {CONTACTS}/merge": Route(
                "contacts.merge", contact_endpoints.merge_contacts, members=merge, writes=True
            ),
            f"POST {CONTACTS}/gdpr-delete": Route(
                "contacts.erase", contact_endpoints.erase_contact, members=erase, writes=True
            ),
            f"GET {one}": Route("contacts.read", contact_endpoints.read_contact, READING | {"idProperty"}),
            f"PATCH {one}": Route(
                "contacts.update",
                contact_endpoints.update_contact,
                frozenset({"idProperty"}),
                frozenset({"properties"}),
                writes=True,
            ),
            f"DELETE {one}": Route("contacts.archive", contact_endpoints.archive_contact, writes=True),
        }.items():
            self._add(spec, route)

    def _add_batches(self) -> None:
        inputs = frozenset({"inputs"})
        read = inputs | {"properties", "propertiesWithHistory", "idProperty"}
        root = f"POST {CONTACTS}/batch"
        for name, route in {
            "read": Route("contacts.batch_read", contact_endpoints.read_contacts, frozenset({"archived"}), read),
            "create": Route(
                "contacts.batch_create", contact_endpoints.create_contacts, members=inputs, writes=True, creates=True
            ),
            "update": Route("contacts.batch_update", contact_endpoints.update_contacts, members=inputs, writes=True),
            "upsert": Route(
                "contacts.batch_upsert", contact_endpoints.upsert_contacts, members=inputs, writes=True, creates=True
            ),
            "archive": Route("contacts.batch_archive", contact_endpoints.archive_contacts, members=inputs, writes=True),
        }.items():
            self._add(f"{root}/{name}", route)

    def _add_properties(self) -> None:
        make = frozenset(property_endpoints.MEMBERS)
        group = frozenset({"name", "label", "displayOrder"})
        query = frozenset({"archived", "properties"})
        for spec, route in {
            f"GET {PROPERTIES}": Route("properties.list", property_endpoints.list_properties, query),
            f"POST {PROPERTIES}": Route(
                "properties.create", property_endpoints.create_property, members=make, writes=True
            ),
            f"GET {PROPERTIES}/groups": Route("properties.list_groups", property_endpoints.list_groups),
            f"POST {PROPERTIES}/groups": Route(
                "properties.create_group", property_endpoints.create_group, members=group, writes=True
            ),
            f"GET {PROPERTIES}/*": Route("properties.read", property_endpoints.read_property, query),
        }.items():
            self._add(spec, route)

    def _add_events(self, held: Events) -> None:
        define, send = frozenset(events.DEFINITION_MEMBERS), frozenset(events.MEMBERS)
        definitions = "events/v3/event-definitions"
        inputs = frozenset({"inputs"})
        for spec, route in {
            f"GET {definitions}": Route("events.list_definitions", held.list_definitions),
            f"POST {definitions}": Route("events.define", held.define, members=define, writes=True),
            f"GET {definitions}/*": Route("events.read_definition", held.read_definition),
            "POST events/v3/send": Route("events.send", held.send, members=send, writes=True),
            "POST events/v3/send/batch": Route("events.send_batch", held.send_batch, members=inputs, writes=True),
        }.items():
            self._add(spec, route)

    def _add_notes(self, notes: Notes) -> None:
        write, inputs = frozenset({"properties", "associations"}), frozenset({"inputs"})
        read = inputs | {"properties", "propertiesWithHistory"}
        find = frozenset(search.MEMBERS)
        paging = frozenset({"limit", "after"})
        for spec, route in {
            f"POST {NOTES}": Route("notes.create", notes.create, members=write, writes=True, creates=True),
            f"POST {NOTES}/search": Route("notes.search", notes.search, members=find, searches=True),
            f"GET {NOTES}/*": Route("notes.read", notes.read, READING),
            f"POST {NOTES}/batch/create": Route(
                "notes.batch_create", notes.create_batch, members=inputs, writes=True, creates=True
            ),
            f"POST {NOTES}/batch/read": Route("notes.batch_read", notes.read_batch, frozenset({"archived"}), read),
            "GET crm/v4/objects/contacts/*/associations/notes": Route(
                "notes.associations", notes.read_associations, paging
            ),
            "POST crm/v4/associations/contacts/notes/batch/read": Route(
                "notes.batch_associations", notes.read_associations_batch, members=inputs
            ),
        }.items():
            self._add(spec, route)
