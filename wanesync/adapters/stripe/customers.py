"""Stripe's customers in neutral form, and back into parameters (docs.stripe.com/api/customers)."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from wanesync.adapters.json_values import parse, rows, text, texts, whole
from wanesync.core.fields import FieldMap
from wanesync.core.ids import CONTACT_ID_KEY, PORTAL_ID_KEY
from wanesync.core.model import Record, Side, normalise_email

API_VERSION = "2026-10-28.endive"
"""The version stripe 16.1 is made for; objects inside events are used only if they are of this version."""
LOCALES = "preferred_locales"
ADDRESS = "address"
METADATA = "metadata"
ADDRESS_PARTS = ("line1", "line2", "city", "state", "postal_code", "country")


def read_values(raw: Mapping[str, object], fields: FieldMap) -> dict[str, str]:
    """Return field -> canonical value of a customer object, "" for blank, missing and null."""
    by_path = _read_paths(raw)
    return {spec.name: spec.form.read_stripe(by_path.get(spec.stripe[0], "")) for spec in fields.specs}


def _read_paths(raw: Mapping[str, object]) -> dict[str, str]:
    """Return the raw text at each path (``email``, ``address.city``, ``metadata.KEY``; the first preferred locale)."""
    by_path = texts(raw)
    for top in (ADDRESS, METADATA):
        by_path |= {f"{top}.{part}": value for part, value in texts(raw.get(top)).items()}
    locales = rows(raw.get(LOCALES))
    by_path[LOCALES] = text(locales[0]) if locales else ""
    return by_path


def read_customer(raw: Mapping[str, object], fields: FieldMap, portal: str) -> Record:
    """Return the record of a customer object; ids of another portal in its metadata do not count."""
    metadata = texts(raw.get(METADATA))
    ours = bool(portal) and metadata.get(PORTAL_ID_KEY) == portal
    email = normalise_email(text(raw.get("email")))
    return Record(
        side=Side.STRIPE,
        id=text(raw.get("id")),
        values=read_values(raw, fields),
        emails=frozenset([email] if email else ()),
        other_id=metadata.get(CONTACT_ID_KEY, "") if ours else "",
        created_ms=(whole(raw.get("created")) or 0) * 1000,
        billed=_was_billed(raw),
        carry=_read_carry(raw),
    )


def _was_billed(raw: Mapping[str, object]) -> bool:
    # A currency is set by the first charge or invoice; so are a balance and a used invoice number.
    return bool(raw.get("currency") or raw.get("balance")) or (whole(raw.get("next_invoice_sequence")) or 1) > 1


def _read_carry(raw: Mapping[str, object]) -> dict[str, str]:
    address = texts(raw.get(ADDRESS))
    carry = {f"{ADDRESS}.{part}": address[part] for part in ADDRESS_PARTS if address.get(part)}
    locales = [text(entry) for entry in rows(raw.get(LOCALES))]
    if locales:
        carry[LOCALES] = orjson.dumps(locales).decode()
    return carry


def write_params(values: Mapping[str, str], current: Record | None, fields: FieldMap) -> dict[str, object]:
    """Return field -> canonical Stripe value as parameters of a create (``current`` None) or an update; "" clears.

    An address is sent whole, with the present values of the parts that are not written; further
    locales stay behind the first. On a create blank values are left out: there is nothing to clear.
    """
    carry = current.carry if current is not None else {}
    paths = {fields.by_name[name].stripe[0]: value for name, value in values.items()}
    params: dict[str, object] = {}
    address: dict[str, str] = {}
    metadata: dict[str, str] = {}
    for path, value in paths.items():
        top, _, part = path.partition(".")
        if current is None and not value:
            continue
        if top == ADDRESS:
            address[part] = value
        elif top == METADATA:
            metadata[part] = value
        elif path == LOCALES:
            params[path] = _locales(value, carry)
        else:
            params[path] = value
    if address:
        params[ADDRESS] = _address(address, carry)
    if metadata:
        params[METADATA] = metadata
    return params


def _address(written: Mapping[str, str], carry: Mapping[str, str]) -> dict[str, str] | str:
    held = {part: carry[f"{ADDRESS}.{part}"] for part in ADDRESS_PARTS if f"{ADDRESS}.{part}" in carry}
    whole_address = {part: written.get(part, held.get(part, "")) for part in ADDRESS_PARTS}
    if not any(whole_address.values()):
        return ""
    # A part that is cleared is sent blank; one that never held anything is left out.
    return {part: value for part, value in whole_address.items() if value or part in held}


def _locales(first: str, carry: Mapping[str, str]) -> list[str] | str:
    if not first:
        return ""
    held = [text(entry) for entry in rows(parse(carry.get(LOCALES, "[]")))]
    return [first, *(locale for locale in held[1:] if locale != first)]
