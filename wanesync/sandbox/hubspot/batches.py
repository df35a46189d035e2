"""Batch endpoints of contacts: up to 100 inputs, whole refusals and multi-status answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from wanesync.sandbox.hubspot.answers import Answer, Json, Refusal, bad_request, batch, conflict, invalid, missing
from wanesync.sandbox.hubspot.call import Call, as_text, optional_text
from wanesync.sandbox.hubspot.contacts import Contact
from wanesync.sandbox.hubspot.portal import Portal, addresses
from wanesync.sandbox.hubspot.records import find, non_unique, values_of, view_of


def read_contacts(portal: Portal, call: Call) -> Answer:
    """POST batch/read: found ones under their surviving ids, in no order of the request; 207 names the rest."""
    ids = [as_text(entry.get("id"), "id") for entry in call.inputs({"id"})]
    id_property = optional_text(call.body.get("idProperty"), "idProperty")
    found: dict[int, Contact] = {}
    lacking: list[str] = []
    for record_id in dict.fromkeys(ids):
        contact = find(portal, record_id, id_property)
        if contact is None:
            lacking.append(record_id)
        else:
            found[contact.id] = contact
    results = [view_of(portal, call, found[number]) for number in sorted(found)]
    return batch(200, results, [missing(lacking).item(None)] if lacking else [], call.now_ms)


def create_contacts(portal: Portal, call: Call) -> Answer:
    """POST batch/create: with a trace id on every input each is judged alone, else the first fault refuses all.

    An unknown property refuses the whole batch either way, as recorded.
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
    """POST batch/update: by id or unique property; what fails alone is named by its id in a 207."""
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
    """POST batch/upsert: by e-mail or unique property; each result says whether it is ``new``."""
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
    """POST batch/archive: 204; unknown ids are passed over."""
    for entry in call.inputs({"id"}):
        contact = portal.contacts.get(as_text(entry.get("id"), "id"))
        if contact is not None:
            portal.delete(contact, call.source, call.now_ms)
    return Answer(204)


def refuse_unknown(portal: Portal, records: Iterable[Mapping[str, str]]) -> None:
    """Properties nobody defined refuse the whole batch, each occurrence listed."""
    problems = [problem for values in records for problem in portal.properties.unknown(values)]
    if problems:
        raise invalid(problems)


def refuse_whole(portal: Portal, call: Call, records: Sequence[Mapping[str, str]]) -> None:
    """Without trace ids: all bad values, then the first conflict, refuse everything."""
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
    """The same id twice in one batch of changes: 400."""
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
    """Refuse an ``idProperty`` that a batch cannot go by."""
    name = optional_text(entry.get("idProperty"), "idProperty")
    if name is None and required:
        raise bad_request("idProperty is required")
    if name is not None and name not in allowed:
        raise non_unique(portal, name)


def named(refusal: Refusal, entry: Mapping[str, object]) -> Json:
    """The error of one input of a batch: its id and, if it had one, its trace id."""
    trace_id = optional_text(entry.get("objectWriteTraceId"), "objectWriteTraceId")
    return refusal.item(trace_id, as_text(entry.get("id"), "id"))
