"""Endpoints for one contact, and the listing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from wanesync.sandbox.hubspot.answers import Answer, Json, bad_request, not_found
from wanesync.sandbox.hubspot.call import Call, as_text, record
from wanesync.sandbox.hubspot.contacts import BY_DEFAULT, Contact, number_of
from wanesync.sandbox.hubspot.portal import Portal

LIST_LIMIT = 100
LIST_LIMIT_WITH_HISTORY = 50


def find(portal: Portal, record_id: str, id_property: str | None) -> Contact | None:
    """The live contact of an id, address or unique value; survivors answer for what they absorbed."""
    if id_property is None:
        return portal.contacts.get(record_id)
    if id_property == "email":
        return portal.contacts.by_value("email", record_id, portal.settings.secondary_email_reads)
    if id_property not in portal.contacts.uniques:
        raise non_unique(portal, id_property)
    return portal.contacts.by_value(id_property, record_id)


def non_unique(portal: Portal, name: str) -> Exception:
    """The refusal of an ``idProperty`` whose values are not unique."""
    return bad_request(
        f"Unable to perform update/upsert by non-unique 0-1 property {name} in portal ID {portal.settings.portal_id}"
    )


def values_of(holder: Mapping[str, object]) -> dict[str, str]:
    """The ``properties`` member of a write as texts; null clears like an empty text."""
    if holder.get("associations"):
        raise bad_request("associations of contacts are not kept by this stand-in")
    given = record(holder.get("properties"), "properties")
    return {name: _value(value, name) for name, value in given.items()}


def _value(value: object, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, float) else as_text(value, name)


def view_of(portal: Portal, call: Call, contact: Contact) -> Json:
    """A contact with the properties and histories the call asks for."""
    histories = call.names("propertiesWithHistory")
    view = contact.view(call.names("properties") or BY_DEFAULT, portal.settings.portal_id)
    return {**view, "propertiesWithHistory": contact.histories(histories)} if histories else view


def read_contact(portal: Portal, call: Call) -> Answer:
    """GET one, by id or ``idProperty``; ``archived=true`` looks into the recycle bin instead."""
    record_id = call.variables[0]
    if call.flag("archived"):
        contact = portal.contacts.archived.get(number_of(record_id) or 0)
    else:
        contact = find(portal, record_id, call.query.get("idProperty"))
    if contact is None:
        raise not_found()
    return Answer(200, view_of(portal, call, contact))


def list_contacts(portal: Portal, call: Call) -> Answer:
    """GET a page by ascending id; ``after`` is the id the next page begins with."""
    most = LIST_LIMIT_WITH_HISTORY if call.names("propertiesWithHistory") else LIST_LIMIT
    limit = call.whole("limit", 10, 1, most)
    after = call.whole("after", 0, 0, 10**18)
    book = portal.contacts
    archived = call.flag("archived")
    order, contacts = (book.archived_order, book.archived) if archived else (book.order, book.live)
    start = bisect_left(order, after)
    body: Json = {"results": [view_of(portal, call, contacts[number]) for number in order[start : start + limit]]}
    if start + limit < len(order):
        following = str(order[start + limit])
        body["paging"] = {"next": {"after": following, "link": f"?after={following}"}}
    return Answer(200, body)


def create_contact(portal: Portal, call: Call) -> Answer:
    """POST: 201, or 409 with the holder of the address."""
    contact = portal.create(values_of(call.body), call.source, call.now_ms)
    return Answer(201, contact.written(contact.properties, portal.settings.portal_id))


def update_contact(portal: Portal, call: Call) -> Answer:
    """PATCH: only what is given changes; an empty value clears."""
    contact = find(portal, call.variables[0], call.query.get("idProperty"))
    if contact is None:
        raise not_found()
    values = values_of(call.body)
    portal.change(contact, values, call.source, call.now_ms)
    return Answer(200, contact.written(values, portal.settings.portal_id))


def archive_contact(portal: Portal, call: Call) -> Answer:
    """DELETE: into the recycle bin; 204 also when there is nothing to delete."""
    contact = portal.contacts.get(call.variables[0])
    if contact is not None:
        portal.delete(contact, call.source, call.now_ms)
    return Answer(204)


def merge_contacts(portal: Portal, call: Call) -> Answer:
    """POST merge: 200 with the survivor, which has a new id."""
    primary, other = (
        portal.contacts.get(as_text(call.body.get(key), key)) for key in ("primaryObjectId", "objectIdToMerge")
    )
    if primary is None or other is None:
        raise not_found()
    survivor = portal.merge(primary, other, call.source, call.now_ms)
    return Answer(200, survivor.view(survivor.properties, portal.settings.portal_id))


def erase_contact(portal: Portal, call: Call) -> Answer:
    """POST gdpr-delete: for ever; an unknown address is blocked instead."""
    object_id = as_text(call.body.get("objectId"), "objectId")
    by_email = call.body.get("idProperty") == "email"
    contact = find(portal, object_id, "email" if by_email else None)
    if contact is not None:
        portal.delete(contact, call.source, call.now_ms, private=True)
    elif by_email:
        portal.blocked_emails.add(object_id.strip().lower())
    else:
        raise not_found()
    return Answer(204)
