"""Stripe's customers in neutral form, and back into parameters (docs.stripe.com/api/customers)."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from wanesync.adapters.json_values import mapping, parse, rows, text, whole
from wanesync.core.fields import FieldMap
from wanesync.core.ids import CONTACT_ID_KEY, PORTAL_ID_KEY
from wanesync.core.model import Record, Side, normalise_email

API_VERSION = "2026-10-28.endive"
"""The version stripe 16.1 is made for; objects inside events are used only if they are of this version."""
LOCALES = "preferred_locales"
ADDRESS = "address"
ADDRESS_PARTS = ("line1", "line2", "city", "state", "postal_code", "country")


def read_path(raw: Mapping[str, object], path: str) -> str:
    """The raw text at ``email``, ``address.city``, ``metadata.KEY``; of ``preferred_locales`` the first."""
    if path == LOCALES:
        locales = rows(raw.get(LOCALES))
        return text(locales[0]) if locales else ""
    top, _, part = path.partition(".")
    return text(mapping(raw.get(top)).get(part)) if part else text(raw.get(top))


def read_values(raw: Mapping[str, object], fields: FieldMap) -> dict[str, str]:
    """Field -> canonical value, "" for blank, missing and null."""
    return {spec.name: spec.form.read_stripe(read_path(raw, spec.stripe[0])) for spec in fields.specs}


def read_customer(raw: Mapping[str, object], fields: FieldMap, portal: str) -> Record:
    """A record from a customer object; ids of another portal in its metadata do not count."""
    metadata = mapping(raw.get("metadata"))
    ours = bool(portal) and text(metadata.get(PORTAL_ID_KEY)) == portal
    email = normalise_email(text(raw.get("email")))
    return Record(
        side=Side.STRIPE,
        id=text(raw.get("id")),
        values=read_values(raw, fields),
        emails=frozenset([email] if email else ()),
        other_id=text(metadata.get(CONTACT_ID_KEY)) if ours else "",
        created_ms=(whole(raw.get("created")) or 0) * 1000,
        billed=_was_billed(raw),
        carry=_read_carry(raw),
    )


def _was_billed(raw: Mapping[str, object]) -> bool:
    # A currency is set by the first charge or invoice; a balance or a used invoice number says the same.
    return bool(raw.get("currency") or raw.get("balance")) or (whole(raw.get("next_invoice_sequence")) or 1) > 1


def _read_carry(raw: Mapping[str, object]) -> dict[str, str]:
    address = mapping(raw.get(ADDRESS))
    carry = {f"{ADDRESS}.{part}": text(address.get(part)) for part in ADDRESS_PARTS if text(address.get(part))}
    locales = [text(entry) for entry in rows(raw.get(LOCALES))]
    if locales:
        carry[LOCALES] = orjson.dumps(locales).decode()
    return carry


def write_params(values: Mapping[str, str], current: Record | None, fields: FieldMap) -> dict[str, object]:
    """Field -> canonical Stripe value, as parameters of a create (``current`` None) or an update; "" clears.

    An address goes out whole, with what it held before in the parts that are not written; further
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
        elif top == "metadata":
            metadata[part] = value
        elif path == LOCALES:
            params[path] = _locales(value, carry)
        else:
            params[path] = value
    if address:
        params[ADDRESS] = _address(address, carry)
    if metadata:
        params["metadata"] = metadata
    return params


def _address(written: Mapping[str, str], carry: Mapping[str, str]) -> dict[str, str] | str:
    held = {part: carry[f"{ADDRESS}.{part}"] for part in ADDRESS_PARTS if f"{ADDRESS}.{part}" in carry}
    whole_address = {part: written.get(part, held.get(part, "")) for part in ADDRESS_PARTS}
    if not any(whole_address.values()):
        return ""
    # A part that is cleared goes out blank; one that never held anything needs no mention.
    return {part: value for part, value in whole_address.items() if value or part in held}


def _locales(first: str, carry: Mapping[str, str]) -> list[str] | str:
    if not first:
        return ""
    held = [text(entry) for entry in rows(parse(carry.get(LOCALES, "[]")))]
    return [first, *(locale for locale in held[1:] if locale != first)]
