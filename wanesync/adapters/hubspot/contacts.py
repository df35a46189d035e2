"""HubSpot's contacts in neutral form, and back into properties."""

from __future__ import annotations

from collections.abc import Mapping

from wanesync.adapters.json_values import epoch_ms, text, texts
from wanesync.core.fields import FieldMap
from wanesync.core.ids import CUSTOMER_ID_PROPERTY, INTENT_PROPERTY
from wanesync.core.model import Record, Side, normalise_email

MORE_EMAILS = "hs_additional_emails"
MERGED = "hs_merged_object_ids"
MERGED_AT = "hs_calculated_merged_vids"
CREATED, MODIFIED = "createdate", "lastmodifieddate"
OURS = (CUSTOMER_ID_PROPERTY, INTENT_PROPERTY)
_EXTRA = ("email", *OURS, MORE_EMAILS, MERGED, MERGED_AT, CREATED, MODIFIED)


def properties_to_read(fields: FieldMap) -> list[str]:
    """Return the mapped properties and those every record needs; no others are requested."""
    return list(dict.fromkeys((*fields.properties(), *_EXTRA)))


def field_names(fields: FieldMap) -> dict[str, str]:
    """Return property -> name of its field."""
    return {name: spec.name for spec in fields.specs for name in spec.hubspot}


def read_contact(raw: Mapping[str, object], fields: FieldMap, *, whole: bool = True) -> Record:
    """Return the record of a contact in an answer.

    ``whole``: missing properties are blank (reads, and contacts just created). Answers to updates hold only the
    properties that were written: fields of other properties are left out.
    """
    properties = texts(raw.get("properties"))
    values: dict[str, str] = {}
    for spec in fields.specs:
        if whole or all(name in properties for name in spec.hubspot):
            values[spec.name] = spec.form.read_hubspot([properties.get(name, "") for name in spec.hubspot])
    own_id = text(raw.get("id"))
    addresses = (properties.get("email", ""), *properties.get(MORE_EMAILS, "").split(";"))
    return Record(
        side=Side.HUBSPOT,
        id=own_id,
        values=values,
        emails=frozenset(filter(None, map(normalise_email, addresses))),
        other_id=properties.get(CUSTOMER_ID_PROPERTY, "").strip(),
        intent=properties.get(INTENT_PROPERTY, "").strip(),
        created_ms=epoch_ms(properties.get(CREATED)) or epoch_ms(raw.get("createdAt")),
        modified_ms=epoch_ms(properties.get(MODIFIED)) or epoch_ms(raw.get("updatedAt")),
        merged_ids=_merged_ids(properties, own_id),
    )


def _merged_ids(properties: Mapping[str, str], own_id: str) -> tuple[str, ...]:
    # hs_calculated_merged_vids pairs each id with the time of its merge: "12:1700000000000;13:…".
    plain = properties.get(MERGED, "").split(";")
    timed = (entry.partition(":")[0] for entry in properties.get(MERGED_AT, "").split(";"))
    ids = (entry.strip() for entry in (*plain, *timed))
    return tuple(dict.fromkeys(entry for entry in ids if entry and entry != own_id))


def write_properties(values: Mapping[str, str], fields: FieldMap) -> dict[str, str]:
    """Return field -> canonical HubSpot value as raw properties; "" clears."""
    properties: dict[str, str] = {}
    for name, value in values.items():
        spec = fields.by_name[name]
        properties |= zip(spec.hubspot, spec.form.hubspot_parts(value), strict=True)
    return properties
