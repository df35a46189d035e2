"""The contact endpoints: one contact, the listing, and batches of up to 100 inputs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from wanesync.sandbox.hubspot.answers import (
    Answer,
    Json,
    Refusal,
    bad_request,
    batch,
    conflict,
    invalid,
    missing,
    not_found,
)
from wanesync.sandbox.hubspot.call import Call, as_text, optional_text, record
from wanesync.sandbox.hubspot.contacts import BY_DEFAULT, Contact, number_of
from wanesync.sandbox.hubspot.portal import Portal, addresses

LIST_LIMIT = 100  # contacts of a page (HubSpot, contacts guide)
LIST_LIMIT_WITH_HISTORY = 50  # with propertiesWithHistory, same source


def find_visible(portal: Portal, record_id: str, id_property: str | None, now_ms: int) -> Contact | None:
    """The contact a read finds: one that was created a moment ago may not be there yet."""
    contact = find(portal, record_id, id_property)
    return contact if contact is not None and contact.visible_ms <= now_ms else None


def find(portal: Portal, record_id: str, id_property: str | None) -> Contact | None:
    """The live contact with an id, e-mail address or unique value; merged ids lead to the survivor."""
    if id_property is None:
        return portal.contacts.get(record_id)
    if id_property == "email":
        return portal.contacts.by_value("email", record_id, portal.settings.secondary_email_reads)
    if id_property not in portal.contacts.uniques:
        raise non_unique(portal, id_property)
    return portal.contacts.by_value(id_property, record_id)


def non_unique(portal: Portal, name: str) -> Exception:
    """400 for an ``idProperty`` whose values are not unique."""
    return bad_request(
        f"Unable to perform update/upsert by non-unique 0-1 property {name} in portal ID {portal.settings.portal_id}"
    )


def values_of(holder: Mapping[str, object]) -> dict[str, str]:
    """The member ``properties`` of a write as strings; null clears like the empty string."""
    if holder.get("associations"):
        raise bad_request("associations of contacts are not supported by this stand-in")
    given = record(holder.get("properties"), "properties")
    return {name: _value(value, name) for name, value in given.items()}


def _value(value: object, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, float) else as_text(value, name)


def view_of(portal: Portal, call: Call, contact: Contact) -> Json:
    """A contact with the properties and histories that the call requests."""
    histories = call.names("propertiesWithHistory")
    asked = portal.properties.standing(call.names("properties") or BY_DEFAULT)
    view = contact.view(asked, portal.settings.portal_id)
    return {**view, "propertiesWithHistory": contact.histories(histories)} if histories else view


def read_contact(portal: Portal, call: Call) -> Answer:
    """GET one, by id or ``idProperty``; ``archived=true`` reads the recycle bin."""
    record_id = call.variables[0]
    if call.flag("archived"):
        contact = portal.contacts.archived.get(number_of(record_id) or 0)
    else:
        contact = find_visible(portal, record_id, call.query.get("idProperty"), call.now_ms)
    if contact is None:
        raise not_found()
    return Answer(200, view_of(portal, call, contact))


def list_contacts(portal: Portal, call: Call) -> Answer:
    """GET a page by ascending id; ``after`` is the first id of the next page."""
    max_limit = LIST_LIMIT_WITH_HISTORY if call.names("propertiesWithHistory") else LIST_LIMIT
    limit = call.whole("limit", 10, 1, max_limit)
    after = call.whole("after", 0, 0, 10**18)
    store = portal.contacts
    archived = call.flag("archived")
    order, contacts = (store.archived_order, store.archived) if archived else (store.order, store.live)
    start = bisect_left(order, after)
    body: Json = {"results": [view_of(portal, call, contacts[number]) for number in order[start : start + limit]]}
    if start + limit < len(order):
        following = str(order[start + limit])
        body["paging"] = {"next": {"after": following, "link": f"?after={following}"}}
    return Answer(200, body)


def create_contact(portal: Portal, call: Call) -> Answer:
    """POST: 201, or 409 with the holder of the e-mail address."""
    contact = portal.create(values_of(call.body), call.source, call.now_ms)
    return Answer(201, contact.written(contact.properties, portal.settings.portal_id))


def update_contact(portal: Portal, call: Call) -> Answer:
    """PATCH: only the given properties change; an empty value clears."""
    contact = find(portal, call.variables[0], call.query.get("idProperty"))
    if contact is None:
        raise not_found()
    values = values_of(call.body)
    portal.change(contact, values, call.source, call.now_ms)
    return Answer(200, contact.written(values, portal.settings.portal_id))


def archive_contact(portal: Portal, call: Call) -> Answer:
    """DELETE: into the recycle bin; 204 also for an unknown id."""
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
    survivor = portal.merge(primary, other, call.source, call.now_ms, keeps_id=portal.settings.merge_keeps_id)
    return Answer(200, survivor.view(survivor.properties, portal.settings.portal_id))


def erase_contact(portal: Portal, call: Call) -> Answer:
    """POST gdpr-delete: permanently; an unknown e-mail address is blocked instead."""
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


def read_contacts(portal: Portal, call: Call) -> Answer:
    """POST batch/read: existing contacts by ascending surviving id; a 207 lists the others.

    ``archived=true`` reads the recycle bin.
    """
    archived = call.flag("archived")
    ids = [as_text(entry.get("id"), "id") for entry in call.inputs({"id"})]
    id_property = optional_text(call.body.get("idProperty"), "idProperty")
    found: dict[int, Contact] = {}
    lacking: list[str] = []
    for record_id in dict.fromkeys(ids):
        if archived:
            contact = portal.contacts.archived.get(number_of(record_id) or 0)
        else:
            contact = find_visible(portal, record_id, id_property, call.now_ms)
        if contact is None:
            lacking.append(record_id)
        else:
            found[contact.id] = contact
    results = [view_of(portal, call, found[number]) for number in sorted(found)]
    return batch(200, results, [missing(lacking).item(None)] if lacking else [], call.now_ms)


def create_contacts(portal: Portal, call: Call) -> Answer:
    """POST batch/create: with a trace id on every input each is validated alone, otherwise the first error refuses all.

    An unknown property refuses the whole batch in both cases, as recorded.
    """
    inputs = call.inputs({"properties", "associations", "objectWriteTraceId"})
    records = [values_of(entry) for entry in inputs]
    traces = [optional_text(entry.get("objectWriteTraceId"), "objectWriteTraceId") for entry in inputs]
    refuse_unknown(portal, records)
    if None in traces or len(set(traces)) < len(traces):
        refuse_whole(portal, call, records)
    results: list[Json] = []
    errors: list[Json] = []
    for values, trace in zip(records, traces, strict=True):
        try:
            contact = portal.create(values, call.source, call.now_ms)
            results.append(contact.written(contact.properties, portal.settings.portal_id))
        except Refusal as refusal:
            errors.append(refusal.item(trace))
    return batch(201, results, errors, call.now_ms)


def update_contacts(portal: Portal, call: Call) -> Answer:
    """POST batch/update: by id or unique property; a 207 lists the ids of the inputs that failed."""
    inputs = call.inputs({"id", "idProperty", "properties", "objectWriteTraceId"})
    records = [values_of(entry) for entry in inputs]
    refuse_duplicates(inputs)
    refuse_unknown(portal, records)
    for entry in inputs:
        check_id_property(portal, entry, {*portal.contacts.uniques})
    results: list[Json] = []
    errors: list[Json] = []
    for entry, values in zip(inputs, records, strict=True):
        record_id = as_text(entry.get("id"), "id")
        contact = find(portal, record_id, optional_text(entry.get("idProperty"), "idProperty"))
        try:
            if contact is None:
                raise missing([record_id])
            portal.change(contact, values, call.source, call.now_ms)
            results.append(contact.written(values, portal.settings.portal_id))
        except Refusal as refusal:
            errors.append(named(refusal, entry))
    return batch(200, results, errors, call.now_ms)


def upsert_contacts(portal: Portal, call: Call) -> Answer:
    """POST batch/upsert: by e-mail or unique property; ``new`` in each result is true for a creation."""
    inputs = call.inputs({"id", "idProperty", "properties", "objectWriteTraceId"})
    records = [values_of(entry) for entry in inputs]
    refuse_duplicates(inputs)
    refuse_unknown(portal, records)
    for entry in inputs:
        check_id_property(portal, entry, {"email", *portal.contacts.uniques}, required=True)
    results: list[Json] = []
    errors: list[Json] = []
    for entry, values in zip(inputs, records, strict=True):
        record_id, name = as_text(entry.get("id"), "id"), as_text(entry.get("idProperty"), "idProperty")
        contact = find(portal, record_id, name)
        new = contact is None
        try:
            if contact is None:
                contact = portal.create({name: record_id, **values}, call.source, call.now_ms)
            else:
                portal.change(contact, values, call.source, call.now_ms)
            results.append({**contact.written(values, portal.settings.portal_id), "new": new})
        except Refusal as refusal:
            errors.append(named(refusal, entry))
    return batch(200, results, errors, call.now_ms)


def archive_contacts(portal: Portal, call: Call) -> Answer:
    """POST batch/archive: 204; unknown ids are ignored."""
    for entry in call.inputs({"id"}):
        contact = portal.contacts.get(as_text(entry.get("id"), "id"))
        if contact is not None:
            portal.delete(contact, call.source, call.now_ms)
    return Answer(204)


def refuse_unknown(portal: Portal, records: Iterable[Mapping[str, str]]) -> None:
    """Raise the 400 that lists every occurrence of an unknown property."""
    problems = [problem for values in records for problem in portal.properties.unknown(values)]
    if problems:
        raise invalid(problems)


def refuse_whole(portal: Portal, call: Call, records: Sequence[Mapping[str, str]]) -> None:
    """Refuse a batch without trace ids: all invalid values, otherwise the first conflict."""
    problems = [problem for values in records for problem in portal.properties.problems(values, by_user=False)]
    if problems:
        raise invalid(problems)
    taken: set[tuple[str, str]] = set()
    for values in records:
        portal.check(None, values, call.source)
        keys = {("email", email) for email in addresses(values)}
        keys |= {(name, values[name]) for name in portal.contacts.uniques if values.get(name)}
        if keys & taken:
            raise conflict(None)
        taken |= keys


def refuse_duplicates(inputs: Iterable[Mapping[str, object]]) -> None:
    """Raise the 400 for an id that occurs twice in one batch of changes."""
    seen: set[str] = set()
    twice: list[str] = []
    for entry in inputs:
        record_id = as_text(entry.get("id"), "id")
        if record_id in seen:
            twice.append(record_id)
        seen.add(record_id)
    if twice:
        message = f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique"
        raise Refusal(400, "VALIDATION_ERROR", message, context={"ids": twice})


def check_id_property(portal: Portal, entry: Mapping[str, object], allowed: set[str], required: bool = False) -> None:
    """Raise the 400 for an ``idProperty`` that the batch does not support."""
    name = optional_text(entry.get("idProperty"), "idProperty")
    if name is None and required:
        raise bad_request("idProperty is required")
    if name is not None and name not in allowed:
        raise non_unique(portal, name)


def named(refusal: Refusal, entry: Mapping[str, object]) -> Json:
    """The error of one input of a batch, with its id and its trace id."""
    trace_id = optional_text(entry.get("objectWriteTraceId"), "objectWriteTraceId")
    return refusal.item(trace_id, as_text(entry.get("id"), "id"))
