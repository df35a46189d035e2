"""HubSpot's contacts in neutral form, and back into properties."""

from __future__ import annotations

from collections.abc import Mapping

from wanesync.adapters.checked_values import (
    MAX_ID_CHARS,
    MAX_VALUE_CHARS,
    TOO_LONG,
    IncompleteElement,
    InvalidElement,
    check_id,
    check_text,
    find_faults,
    is_too_long,
)
from wanesync.adapters.json_values import epoch_ms, is_flag, mapping, texts
from wanesync.core.fields import FieldMap
from wanesync.core.ids import CUSTOMER_ID_PROPERTY, INTENT_PROPERTY
from wanesync.core.model import Record, Side, normalise_email

MORE_EMAILS = "hs_additional_emails"
MERGED = "hs_merged_object_ids"
MERGED_AT = "hs_calculated_merged_vids"
CREATED, MODIFIED = "createdate", "lastmodifieddate"
OURS = (CUSTOMER_ID_PROPERTY, INTENT_PROPERTY)
_NESTED = (dict, list)
_SCALARS = frozenset({str, int, float, bool, type(None)})
MAX_MERGED_IDS = 500
"""Contacts merged into one: HubSpot allows 250 (knowledge.hubspot.com, merge records)."""
_EXTRA = ("email", *OURS, MORE_EMAILS, MERGED, MERGED_AT, CREATED, MODIFIED)


def properties_to_read(fields: FieldMap) -> list[str]:
    """Return the mapped properties and those every record needs; no others are requested."""
    return list(dict.fromkeys((*fields.properties(), *_EXTRA)))


def field_names(fields: FieldMap) -> dict[str, str]:
    """Return property -> name of its field."""
    return {name: spec.name for spec in fields.specs for name in spec.hubspot}


def read_contact(raw: Mapping[str, object], fields: FieldMap, *, whole: bool = True) -> Record:
    """Return the record of a contact in an answer.

    ``whole``: all mapped properties were asked for; a field is unknown where one of its properties is missing, which
    is not null, or too long (docs/correctness.md#missing-is-not-null). Answers to updates hold only the properties that
    were written: fields of other properties are left out. Raises ``IncompleteElement`` (without what every answer
    holds) and ``InvalidElement`` (a value that cannot be stored).
    """
    own_id = read_id(raw)
    if not own_id:
        raise IncompleteElement("a contact with no usable record id")
    if not is_flag(raw.get("archived")):
        raise IncompleteElement(f"contact {own_id} whose archived is neither true nor false")
    properties, too_long = _check_properties(raw.get("properties"), fields, own_id)
    values: dict[str, str] = {}
    unknown = set(too_long)
    for spec in fields.specs:
        if spec.name in unknown:
            continue
        parts = [properties[name] for name in spec.hubspot if name in properties]
        if len(parts) == len(spec.hubspot):
            values[spec.name] = spec.form.read_hubspot(parts) if any(parts) else ""
        elif whole:
            unknown.add(spec.name)
    modified_ms = epoch_ms(properties.get(MODIFIED)) or epoch_ms(raw.get("updatedAt"))
    if whole and ("email" not in properties or not modified_ms):
        raise IncompleteElement(f"contact {own_id} without email or {MODIFIED}")
    return Record(
        side=Side.HUBSPOT,
        id=own_id,
        values=values,
        emails=_read_emails(properties),
        other_id=check_text(properties.get(CUSTOMER_ID_PROPERTY, ""), CUSTOMER_ID_PROPERTY, MAX_ID_CHARS).strip(),
        intent=check_text(properties.get(INTENT_PROPERTY, ""), INTENT_PROPERTY, MAX_ID_CHARS).strip(),
        created_ms=epoch_ms(properties.get(CREATED)) or epoch_ms(raw.get("createdAt")),
        modified_ms=modified_ms,
        merged_ids=_merged_ids(properties, own_id),
        unknown=frozenset(unknown),
    )


def _check_properties(given: object, fields: FieldMap, own_id: str) -> tuple[dict[str, str], frozenset[str]]:
    """Return the properties as texts, and the fields of those that are too long.

    No answer shows an address or an id that is too long as an unknown field: they say who this is.
    """
    if not isinstance(given, dict):
        raise IncompleteElement(f"contact {own_id} without properties")
    properties = texts(given)
    if not _SCALARS.issuperset(map(type, given.values())):
        for name, value in given.items():
            if isinstance(value, _NESTED):
                raise InvalidElement(f"{name[:MAX_ID_CHARS]} is not a text")
    too_long: set[str] = set()
    for name, fault in find_faults(properties).items():
        held_by = [spec.name for spec in fields.specs if name in spec.hubspot]
        if not (held_by and is_too_long(fault)) or name in _EXTRA:
            raise InvalidElement(
                f"{name} {fault}" if name in (*_EXTRA, *fields.properties()) else f"a property {fault}"
            )
        too_long.update(held_by)
    return properties, frozenset(too_long)


def read_remains(raw: object, fields: FieldMap) -> Record | None:
    """Return what a contact that cannot be used still shows: id and addresses; None without both."""
    contact = mapping(raw)
    properties = texts(contact.get("properties"))
    try:
        own_id = check_id(contact.get("id"))
        addresses = "".join(properties.get(name, "") for name in ("email", MORE_EMAILS))
        check_text(addresses, "email")
    except InvalidElement:
        return None
    emails, unknown = _read_emails(properties), frozenset(fields.by_name)
    return Record(Side.HUBSPOT, own_id, emails=emails, unknown=unknown) if emails else None


def read_id(raw: Mapping[str, object]) -> str:
    """Return the id of a contact that cannot be used, "" if that cannot be read either."""
    try:
        return check_id(raw.get("id"))
    except InvalidElement:
        return ""


def describe_too_long(raw: Mapping[str, object], record: Record, fields: FieldMap) -> list[str]:
    """Return a reason for each field that is unknown because its value is too long; one that is missing has none."""
    shown = mapping(raw.get("properties"))
    return [
        f"field {name}: {', '.join(fields.by_name[name].hubspot)} {TOO_LONG.format(MAX_VALUE_CHARS)}"
        for name in sorted(record.unknown)
        if all(each in shown for each in fields.by_name[name].hubspot)
    ]


def _read_emails(properties: Mapping[str, str]) -> frozenset[str]:
    addresses = (properties.get("email", ""), *properties.get(MORE_EMAILS, "").split(";"))
    return frozenset(filter(None, map(normalise_email, addresses)))


def _merged_ids(properties: Mapping[str, str], own_id: str) -> tuple[str, ...]:
    # hs_calculated_merged_vids pairs each id with the time of its merge: "12:1700000000000;13:…".
    plain = properties.get(MERGED, "").split(";")
    timed = (entry.partition(":")[0] for entry in properties.get(MERGED_AT, "").split(";"))
    ids = (entry.strip() for entry in (*plain, *timed))
    merged = tuple(dict.fromkeys(entry for entry in ids if entry and entry != own_id))
    if len(merged) > MAX_MERGED_IDS or any(len(entry) > MAX_ID_CHARS for entry in merged):
        raise InvalidElement(f"{MERGED} holds more or longer ids than HubSpot makes")
    return merged


def write_properties(values: Mapping[str, str], fields: FieldMap) -> dict[str, str]:
    """Return field -> canonical HubSpot value as raw properties; "" clears."""
    properties: dict[str, str] = {}
    for name, value in values.items():
        spec = fields.by_name[name]
        properties |= zip(spec.hubspot, spec.form.hubspot_parts(value), strict=True)
    return properties
