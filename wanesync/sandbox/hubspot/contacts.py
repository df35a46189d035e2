"""Stored contacts: values, history, and the indices that find them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wanesync.sandbox.hubspot.answers import Json, iso

ALWAYS = ("createdate", "hs_object_id", "lastmodifieddate")
BY_DEFAULT = ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname")


@dataclass(frozen=True, slots=True)
class Source:
    """The author of a change: ``changeSource`` and ``sourceId`` of HubSpot, and the tag for the journal."""

    kind: str
    id: str
    tag: str


USER = Source("CRM_UI", "userId:1", "user")
IMPORT = Source("IMPORT", "importId:7", "user")
MERGE = Source("MERGE_OBJECTS", "userId:1", "user")


@dataclass(frozen=True, slots=True)
class Version:
    """One value of a property, with its time and author."""

    value: str
    at_ms: int
    source: Source


@dataclass(slots=True)
class Contact:
    """One contact. ``properties`` holds the set values; a change replaces the mapping.

    ``initial`` and ``origin``: the first values and their author; ``later``: the versions since then. ``absorbed``: the
    ids merged into this contact, each with the time of the merge. ``visible_ms``: reads find it from then on.
    """

    id: int
    properties: Mapping[str, str]
    created_ms: int
    modified_ms: int
    origin: Source
    initial: Mapping[str, str] = field(init=False)
    later: dict[str, list[Version]] = field(default_factory=dict)
    archived_ms: int | None = None
    visible_ms: int = 0
    absorbed: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        self.initial = self.properties

    def value(self, name: str) -> str | None:
        """The value of a property, computed ones included; None when it is not set."""
        if name in self.properties:
            return self.properties[name]
        return self.computed().get(name) if name[:2] in ("hs", "cr", "la") else None

    def computed(self) -> dict[str, str]:
        """The values that HubSpot computes."""
        return {
            "createdate": iso(self.created_ms),
            "hs_object_id": str(self.id),
            "lastmodifieddate": iso(self.modified_ms),
            "hs_object_source": self.origin.kind,
            "hs_object_source_id": self.origin.id,
            "hs_object_source_label": self.origin.kind,
        }

    def emails(self) -> list[str]:
        """All e-mail addresses in lower case, the primary one first."""
        secondary = self.properties.get("hs_additional_emails", "").split(";")
        return [email.lower() for email in (self.properties.get("email", ""), *secondary) if email]

    def history(self, name: str) -> list[Version]:
        """The versions of a property, newest first."""
        versions = list(reversed(self.later.get(name, [])))
        if name in self.initial:
            versions.append(Version(self.initial[name], self.created_ms, self.origin))
        return versions

    def view(self, names: Iterable[str], portal_id: int) -> Json:
        """The contact in an answer: the named properties, null where unset."""
        computed = self.computed()
        shown = {name: self.properties.get(name, computed.get(name)) for name in sorted({*names, *ALWAYS})}
        view: Json = {
            "id": str(self.id),
            "properties": shown,
            "createdAt": computed["createdate"],
            "updatedAt": computed["lastmodifieddate"],
            "archived": self.archived_ms is not None,
        }
        if self.archived_ms is not None:
            view["archivedAt"] = iso(self.archived_ms)
        return {**view, "url": f"https://app.hubspot.com/contacts/{portal_id}/record/0-1/{self.id}"}

    def written(self, names: Iterable[str], portal_id: int) -> Json:
        """The contact in the answer to a write: the written values (cleared: empty) and the computed ones."""
        view = self.view((), portal_id)
        values = {name: self.properties.get(name, "") for name in names}
        return {**view, "properties": dict(sorted({**values, **self.computed()}.items()))}

    def histories(self, names: Iterable[str]) -> Json:
        """The member ``propertiesWithHistory`` of an answer."""
        return {name: [version_view(version) for version in self.history(name)] for name in names}


def version_view(version: Version) -> Json:
    """One version in an answer."""
    return {
        "value": version.value,
        "timestamp": iso(version.at_ms),
        "sourceType": version.source.kind,
        "sourceId": version.source.id,
        **({"updatedByUserId": 1} if version.source.id == "userId:1" else {}),
    }


def number_of(text: str) -> int | None:
    """A record id, offset or count as a number; None when it is not one, or too long."""
    return int(text) if text.isdecimal() and len(text) <= 18 else None


class ContactStore:
    """The contacts of a portal by id, by e-mail address and by unique property.

    ``live`` and ``archived`` hold contacts by id, ``order`` and ``archived_order`` their ids ascending; ``forward``
    maps an id that was merged away to the surviving id.
    """

    def __init__(self) -> None:
        self.live: dict[int, Contact] = {}
        self.archived: dict[int, Contact] = {}
        self.order: list[int] = []
        self.archived_order: list[int] = []
        self.forward: dict[int, int] = {}
        self.emails: dict[str, int] = {}
        self.uniques: dict[str, dict[str, int]] = {}

    def get(self, record_id: str) -> Contact | None:
        """The live contact with an id, or the one it was merged into."""
        number = number_of(record_id) or 0
        while number in self.forward:
            number = self.forward[number]
        return self.live.get(number)

    def by_value(self, name: str, value: str, secondary: bool = True) -> Contact | None:
        """The live contact with a value of a unique property (for e-mail, in any of its addresses)."""
        if name == "email":
            contact = self.live.get(self.emails.get(value.strip().lower(), -1))
            if contact is not None and not secondary and contact.emails()[0] != value.strip().lower():
                return None
            return contact
        return self.live.get(self.uniques.get(name, {}).get(value, -1))

    def add(self, contact: Contact) -> None:
        """Add a new contact."""
        self.live[contact.id] = contact
        insort(self.order, contact.id)
        self._index(contact)

    def replace(self, contact: Contact, properties: Mapping[str, str]) -> None:
        """Replace the values of a contact."""
        self._forget(contact)
        contact.properties = properties
        self._index(contact)

    def remove(self, contact: Contact, archived_ms: int | None = None) -> None:
        """Remove a contact; with a time, into the recycle bin."""
        self._forget(contact)
        del self.live[contact.id]
        del self.order[bisect_left(self.order, contact.id)]
        if archived_ms is not None:
            contact.archived_ms = archived_ms
            self.archived[contact.id] = contact
            insort(self.archived_order, contact.id)

    def bring_back(self, contact: Contact) -> None:
        """Move a contact out of the recycle bin."""
        del self.archived[contact.id]
        del self.archived_order[bisect_left(self.archived_order, contact.id)]
        contact.archived_ms = None
        self.add(contact)

    def _index(self, contact: Contact) -> None:
        for email in contact.emails():
            self.emails[email] = contact.id
        for name, holders in self.uniques.items():
            if name in contact.properties:
                holders[contact.properties[name]] = contact.id

    def _forget(self, contact: Contact) -> None:
        for email in contact.emails():
            self.emails.pop(email, None)
        for name, holders in self.uniques.items():
            if name in contact.properties:
                holders.pop(contact.properties[name], None)
