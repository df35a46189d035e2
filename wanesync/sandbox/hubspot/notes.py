"""Notes on contacts: create, read, and search by contact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wanesync.sandbox.hubspot.answers import (
    Answer,
    Json,
    Refusal,
    bad_request,
    batch,
    iso,
    missing,
    not_found,
    parse_ms,
)
from wanesync.sandbox.hubspot.call import Call, as_text, listed, optional_text, record
from wanesync.sandbox.hubspot.contact_endpoints import values_of
from wanesync.sandbox.hubspot.contacts import number_of
from wanesync.sandbox.hubspot.portal import Portal
from wanesync.sandbox.hubspot.search import ordered, page, parse_groups, parse_sorts

NOTE_TO_CONTACT = 202  # association type ids, defined by HubSpot
CONTACT_TO_NOTE = 201
PAGE = 500  # associations of one contact in one answer (HubSpot, associations v4)
ASSOCIATIONS_LIMIT = 1_000  # inputs of one batch (changelog, batch read limit for associations)
BODY_LIMIT = 65_536  # characters of hs_note_body (HubSpot, notes guide)
WRITABLE = {"hs_timestamp", "hs_note_body", "hubspot_owner_id"}
BY_DEFAULT = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")
CONTACT_FILTER = "associations.contact"
KINDS = {
    "hs_note_body": "text", "hs_timestamp": "time", "hs_createdate": "time", "hs_lastmodifieddate": "time",
    "hs_object_id": "number", "hubspot_owner_id": "text", CONTACT_FILTER: "number",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Note:
    """One note; ``contact_ids`` as they were at its creation."""

    id: int
    properties: Mapping[str, str]
    contact_ids: tuple[int, ...]
    created_ms: int

    def value(self, name: str) -> str | None:
        """The value of a property."""
        return self.properties.get(name)

    def number(self, name: str) -> int | None:
        """The record id, the only numeric property."""
        return self.id if name == "hs_object_id" else None

    def view(self, names: Iterable[str]) -> Json:
        """The note in an answer."""
        at = iso(self.created_ms)
        own = {"hs_createdate": at, "hs_lastmodifieddate": at, "hs_object_id": str(self.id)}
        shown = {name: self.properties.get(name, own.get(name)) for name in sorted({*names, *BY_DEFAULT})}
        return {"id": str(self.id), "properties": shown, "createdAt": at, "updatedAt": at, "archived": False}


@dataclass(slots=True)
class Notes:
    """The note endpoints of a portal; ``by_contact`` holds ascending note ids."""

    by_id: dict[int, Note] = field(default_factory=dict)
    by_contact: dict[int, list[int]] = field(default_factory=dict)

    def create(self, portal: Portal, call: Call) -> Answer:
        """POST one: 201."""
        return Answer(201, self._write(portal, call, self._checked(portal, call.body)))

    def create_batch(self, portal: Portal, call: Call) -> Answer:
        """POST batch/create: 201; with trace ids on all inputs, invalid ones are listed in a 207."""
        inputs = call.inputs({"properties", "associations", "objectWriteTraceId"})
        traces = [optional_text(entry.get("objectWriteTraceId"), "objectWriteTraceId") for entry in inputs]
        results: list[Json] = []
        errors: list[Json] = []
        if None in traces:
            checked = [self._checked(portal, entry) for entry in inputs]
            results = [self._write(portal, call, note) for note in checked]
            return batch(201, results, [], call.now_ms)
        for entry, trace in zip(inputs, traces, strict=True):
            try:
                results.append(self._write(portal, call, self._checked(portal, entry)))
            except Refusal as refusal:
                errors.append(refusal.item(trace))
        return batch(201, results, errors, call.now_ms)

    def read(self, _portal: Portal, call: Call) -> Answer:
        """GET one."""
        note = self.by_id.get(number_of(call.variables[0]) or 0)
        if note is None:
            raise not_found()
        return Answer(200, note.view(call.names("properties") or ("hs_note_body", "hs_timestamp")))

    def read_batch(self, _portal: Portal, call: Call) -> Answer:
        """POST batch/read: 200, or 207 with the ids that do not exist."""
        ids = list(dict.fromkeys(as_text(entry.get("id"), "id") for entry in call.inputs({"id"})))
        found = {record_id for record_id in ids if number_of(record_id) in self.by_id}
        lacking = [record_id for record_id in ids if record_id not in found]
        names = call.names("properties")
        results = [self.by_id[number].view(names) for number in sorted(map(int, found))]
        return batch(200, results, [missing(lacking).item(None)] if lacking else [], call.now_ms)

    def read_associations(self, portal: Portal, call: Call) -> Answer:
        """GET the notes of a contact: their ids with the association's type."""
        contact = portal.contacts.get(call.variables[0])
        if contact is None:
            raise not_found()
        limit, after = call.whole("limit", 500, 1, 500), call.whole("after", 0, 0, 10**18)
        numbers = [number for number in self._ids_of(portal, contact.id) if number > after]
        return Answer(200, _associations("results", numbers, limit))

    def read_associations_batch(self, portal: Portal, call: Call) -> Answer:
        """POST batch/read: the notes of each contact, 500 a page; 207 names the contacts without (more) notes."""
        results: list[Json] = []
        errors: list[Json] = []
        for entry in call.inputs({"id", "after"}, ASSOCIATIONS_LIMIT):
            contact_id, cursor = as_text(entry.get("id"), "id"), optional_text(entry.get("after"), "after") or "0"
            if not cursor.isdecimal():
                raise bad_request("after: the cursor of an earlier answer is expected")
            numbers = [number for number in self._ids_of_any(portal, contact_id) if number > int(cursor)]
            if numbers:
                results.append({"from": {"id": contact_id}, **_associations("to", numbers, PAGE)})
            else:
                errors.append(_no_associations(contact_id))
        return batch(200, results, errors, call.now_ms)

    def search(self, portal: Portal, call: Call) -> Answer:
        """POST search, with the lag of contacts; the filter ``associations.contact`` EQ an id selects a contact."""
        groups = parse_groups(call.body.get("filterGroups"), KINDS)
        found: dict[int, Note] = {}
        for group in groups or [[]]:
            wanted = [condition for condition in group if condition.name == CONTACT_FILTER]
            if any(condition.operator != "EQ" for condition in wanted):
                raise bad_request(f"{CONTACT_FILTER}: only EQ is supported by this stand-in")
            numbers = self._ids_of(portal, int(float(wanted[0].keys[0]))) if wanted else list(self.by_id)
            others = [condition for condition in group if condition.name != CONTACT_FILTER]
            for note in map(self.by_id.__getitem__, numbers):
                if all(condition.matches(note) for condition in others):
                    found[note.id] = note
        old_ms = call.now_ms - portal.settings.search_lag_ms
        visible = [note for note in found.values() if note.created_ms <= old_ms]
        rows = ordered(visible, parse_sorts(call.body.get("sorts"), KINDS), lambda note: note.id)
        names = call.names("properties")
        return page(call, rows, lambda note: note.view(names))

    def _ids_of_any(self, portal: Portal, contact_id: str) -> list[int]:
        contact = portal.contacts.get(contact_id)
        return self._ids_of(portal, contact.id) if contact is not None else []

    def _ids_of(self, portal: Portal, contact_id: int) -> list[int]:
        contact = portal.contacts.get(str(contact_id))
        if contact is None:
            return []
        absorbed = [number for number, _ in contact.absorbed]
        return sorted({note for number in (contact.id, *absorbed) for note in self.by_contact.get(number, ())})

    def _checked(self, portal: Portal, given: Mapping[str, object]) -> tuple[dict[str, str], tuple[int, ...]]:
        properties = values_of({"properties": given.get("properties")})
        unknown = sorted(set(properties) - WRITABLE)
        if unknown:
            raise bad_request(f'Property "{unknown[0]}" does not exist')
        if len(properties.get("hs_note_body", "")) > BODY_LIMIT:
            raise bad_request(f"hs_note_body: at most {BODY_LIMIT} characters are allowed")
        try:
            properties["hs_timestamp"] = iso(parse_ms(properties.get("hs_timestamp", "")))
        except ValueError as error:
            raise bad_request("hs_timestamp: ISO 8601 or epoch milliseconds are required") from error
        contacts = [_contact_id(portal, entry) for entry in listed(given.get("associations"), "associations")]
        return properties, tuple(contacts)

    def _write(self, portal: Portal, call: Call, checked: tuple[dict[str, str], tuple[int, ...]]) -> Json:
        properties, contact_ids = checked
        note = Note(portal.next_id(), properties, contact_ids, call.now_ms)
        self.by_id[note.id] = note
        for contact_id in contact_ids:
            self.by_contact.setdefault(contact_id, []).append(note.id)
        about = {**properties, "contact": ";".join(map(str, contact_ids))}
        portal.journal.add(call.now_ms, "note.created", str(note.id), call.source.tag, about)
        return note.view(properties)


def _associations(name: str, numbers: list[int], limit: int) -> Json:
    """One page of associations in a member of this name."""
    kinds: list[Json] = [{"category": "HUBSPOT_DEFINED", "typeId": CONTACT_TO_NOTE}]
    body: Json = {name: [{"toObjectId": str(number), "associationTypes": kinds} for number in numbers[:limit]]}
    if limit < len(numbers):
        body["paging"] = {"next": {"after": str(numbers[limit - 1])}}
    return body


def _no_associations(contact_id: str) -> Json:
    """The element of a batch answer for a contact without notes, and for one that does not exist."""
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": f"No note is associated with contact {contact_id}.",
        "context": {"fromObjectId": [contact_id], "fromObjectType": ["contact"], "toObjectType": ["note"]},
        "errors": [],
        "links": {},
    }


def _contact_id(portal: Portal, entry: object) -> int:
    given = record(entry, "associations", {"to", "types"})
    kinds = [record(kind, "types") for kind in listed(given.get("types"), "types")]
    wanted = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": NOTE_TO_CONTACT}
    if kinds != [wanted]:
        raise bad_request(f"associations: the only supported type is {wanted}")
    contact_id = as_text(record(given.get("to"), "to", {"id"}).get("id"), "id")
    contact = portal.contacts.get(contact_id)
    if contact is None:
        raise missing([contact_id])
    return contact.id
