"""Stripe's customers in neutral form, and back into parameters (docs.stripe.com/api/customers)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

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
from wanesync.adapters.json_values import MAX_MS, is_flag, parse, rows, text, texts, whole
from wanesync.core.fields import NAME_SOURCES, FieldMap, StripeReader
from wanesync.core.ids import CONTACT_ID_KEY, PORTAL_ID_KEY
from wanesync.core.model import MAX_FREE_KEYS, Record, Side, normalise_email

LOCALES = "preferred_locales"
FURTHER_LOCALES = "preferred_locales.further"
ADDRESS = "address"
METADATA = "metadata"
NEWER = ("business_name", "individual_name")
"""Attributes that Stripe's examples leave out where they are blank; where one is shown as null, both always are."""
_KEYS = "metadata."
_NO_TEXT = (dict, list, bool)
CARRIED = frozenset({ADDRESS, LOCALES, *NAME_SOURCES})
"""The attributes that ``read_carry`` looks at."""
MAX_LOCALES = 100
"""Preferred locales that are kept (our choice): more than there are languages a person reads."""
MAX_KEYS = 50
"""Metadata keys a customer holds (docs.stripe.com/api/metadata)."""
ADDRESS_PARTS = ("line1", "line2", "city", "state", "postal_code", "country")
_ADDRESS_PATHS = {part: f"{ADDRESS}.{part}" for part in ADDRESS_PARTS}


@dataclass(frozen=True, slots=True)
class CustomerValues:
    """The fields of a customer object: field -> canonical value, and the fields it does not hold.

    ``too_long``: those of the unknown fields whose value is too long; the others are missing.
    """

    values: Mapping[str, str]
    unknown: frozenset[str]
    too_long: frozenset[str]


def read_values(
    raw: Mapping[str, object], fields: FieldMap, readers: Sequence[StripeReader] | None = None
) -> CustomerValues:
    """Read the mapped fields of a customer object; Stripe shows every attribute, null where it is blank.

    So a field whose attribute is missing is unknown (docs/correctness.md#missing-is-not-null); metadata shows only the
    keys that are set. ``readers``: of those fields that are to be read; None: all. Raises ``InvalidElement`` for a
    value that cannot be stored.
    """
    if readers is None:
        readers = fields.stripe_readers
    by_path, paths = _read_paths(raw, fields.stripe_attributes), fields.stripe_paths
    faults = find_faults({name: by_path.get(path, "") for name, path, _ in readers})
    for name, fault in faults.items():
        if not is_too_long(fault) or paths[name] == "email":
            raise InvalidElement(f"{paths[name]} {fault}")
    values: dict[str, str] = {}
    unknown = set(faults)
    for name, path, read in readers:
        value = by_path.get(path)
        if name in unknown:
            continue
        if value:
            values[name] = read(value)
        elif value is not None or _lacks_key(raw, path):
            values[name] = ""
        else:
            unknown.add(name)
    if not all(source in by_path for source in NAME_SOURCES):
        unknown |= _names_of_unknown_origin(values, paths)
    if unknown:
        values = {name: value for name, value in values.items() if name not in unknown}
    return CustomerValues(values, frozenset(unknown), frozenset(faults))


def _lacks_key(raw: Mapping[str, object], path: str) -> bool:
    """Return whether a path is one of metadata that is shown without it: metadata holds the keys only that are set."""
    metadata = raw.get(METADATA)
    return path.startswith(_KEYS) and isinstance(metadata, dict) and path.removeprefix(_KEYS) not in metadata


def _names_of_unknown_origin(values: Mapping[str, str], paths: Mapping[str, str]) -> set[str]:
    """Return the name where Stripe may have filled it in from what is not shown (#names-stripe-fills-in)."""
    return {name for name, value in values.items() if value and paths[name] == "name"}


def _read_paths(raw: Mapping[str, object], attributes: Collection[str]) -> dict[str, str]:
    """Return the raw text at each path that is shown (``email``, ``address.city``, ``metadata.KEY``, one locale).

    ``attributes``: those that are not inside another one.
    """
    is_older = not any(name in raw and raw[name] is None for name in NEWER)
    by_path = dict.fromkeys(NEWER, "") if is_older else {}
    _put_texts(by_path, [(name, raw[name]) for name in attributes if name in raw])
    address, metadata, locales = raw.get(ADDRESS), raw.get(METADATA), raw.get(LOCALES)
    if isinstance(address, dict):
        _put_texts(by_path, [(path, address[part]) for part, path in _ADDRESS_PATHS.items() if part in address])
    elif ADDRESS in raw and address is None:
        by_path |= dict.fromkeys(_ADDRESS_PATHS.values(), "")
    if isinstance(metadata, dict):
        _put_texts(by_path, [(_KEYS + key, value) for key, value in metadata.items()])
    by_path.pop(LOCALES, None)
    if (isinstance(locales, list) and not isinstance((*locales, "")[0], _NO_TEXT)) or (
        LOCALES in raw and locales is None
    ):
        shown = rows(locales)
        by_path[LOCALES] = text(shown[0]) if shown else ""
    return by_path


def _put_texts(by_path: dict[str, str], shown: Iterable[tuple[str, object]]) -> None:
    """Put texts, numbers and null at their paths; anything else is no value of Stripe, and so not blank."""
    for path, value in shown:
        if isinstance(value, str):
            by_path[path] = value
        elif not isinstance(value, _NO_TEXT):
            by_path[path] = text(value)


def read_customer(
    raw: Mapping[str, object],
    fields: FieldMap,
    portal: str,
    found: CustomerValues | None = None,
    carry: Mapping[str, str] | None = None,
) -> Record:
    """Return the record of a customer object; ids of another portal in its metadata do not count.

    ``found``, ``carry``: what ``read_values`` and ``read_carry`` returned for it, where they were called before. Raises
    ``IncompleteElement`` (no customer, or without e-mail or metadata, which every customer shows) and
    ``InvalidElement`` (a value that cannot be stored).
    """
    if raw.get("object") != "customer" or raw.get("deleted") is True or not is_flag(raw.get("deleted")):
        raise IncompleteElement("not a customer")
    own_id = check_id(raw.get("id"))
    if "email" not in raw or not isinstance(raw.get(METADATA), dict):
        raise IncompleteElement(f"customer {own_id} without email or metadata")
    metadata = texts(raw[METADATA])
    ours = bool(portal) and metadata.get(PORTAL_ID_KEY) == portal
    found = read_values(raw, fields) if found is None else found
    return Record(
        side=Side.STRIPE,
        id=own_id,
        values=found.values,
        emails=_read_emails(raw),
        other_id=check_text(metadata.get(CONTACT_ID_KEY, ""), CONTACT_ID_KEY, MAX_ID_CHARS) if ours else "",
        created_ms=_read_created_ms(raw),
        billed=_was_billed(raw),
        carry=read_carry(raw) if carry is None else carry,
        unknown=found.unknown,
        free_keys=max(0, min(MAX_FREE_KEYS, MAX_KEYS - len(metadata))),
    )


def read_remains(raw: Mapping[str, object], fields: FieldMap) -> Record | None:
    """Return what a customer that cannot be used still shows: id and address; None without both."""
    try:
        own_id, emails = check_id(raw.get("id")), _read_emails(raw)
    except InvalidElement:
        return None
    created_ms, unknown = _read_created_ms(raw), frozenset(fields.by_name)
    return Record(Side.STRIPE, own_id, emails=emails, created_ms=created_ms, unknown=unknown) if emails else None


def read_id(raw: Mapping[str, object]) -> str:
    """Return the id of a customer that cannot be used, "" if that cannot be read either."""
    try:
        return check_id(raw.get("id"))
    except InvalidElement:
        return ""


def describe_too_long(raw: Mapping[str, object], fields: FieldMap) -> list[str]:
    """Return a reason for each field that is unknown because its value is too long."""
    paths = {name: fields.by_name[name].stripe[0] for name in sorted(read_values(raw, fields).too_long)}
    return [f"field {name}: {path} {TOO_LONG.format(MAX_VALUE_CHARS)}" for name, path in paths.items()]


def _read_emails(raw: Mapping[str, object]) -> frozenset[str]:
    email = normalise_email(check_text(text(raw.get("email")), "email"))
    return frozenset([email] if email else ())


def _read_created_ms(raw: Mapping[str, object]) -> int:
    created_s = whole(raw.get("created")) or 0
    return created_s * 1000 if 0 <= created_s <= MAX_MS // 1000 else 0


def _was_billed(raw: Mapping[str, object]) -> bool:
    # A currency is set by the first charge or invoice; so are a balance and a used invoice number.
    return (
        bool(text(raw.get("currency")) or whole(raw.get("balance")))
        or (whole(raw.get("next_invoice_sequence")) or 1) > 1
    )


def read_carry(raw: Mapping[str, object]) -> dict[str, str]:
    """Return what is sent again with a part of it, and what Stripe may have filled the name in from.

    Raises ``InvalidElement`` for a text that cannot be stored.
    """
    address = texts(raw.get(ADDRESS))
    carry = {f"{ADDRESS}.{part}": address[part] for part in ADDRESS_PARTS if address.get(part)}
    locales = [check_text(text(entry), LOCALES, MAX_ID_CHARS) for entry in rows(raw.get(LOCALES))[:MAX_LOCALES]]
    if locales:
        carry[LOCALES] = orjson.dumps(locales).decode()
    if len(locales) > 1:
        carry[FURTHER_LOCALES] = orjson.dumps(locales[1:]).decode()
    carry |= {name: value for name in NAME_SOURCES if (value := text(raw.get(name)))}
    for name, fault in find_faults(carry).items():
        raise InvalidElement(f"{name} {fault}")
    return carry


def write_params(values: Mapping[str, str], current: Record | None, fields: FieldMap) -> dict[str, object]:
    """Return field -> canonical Stripe value as parameters of a create (``current`` None) or an update; "" clears.

    An address is sent whole, with the present values of the parts that are not written; further
    locales stay behind the first. On a create blank values are left out: there is nothing to clear.
    """
    carry = current.carry if current is not None else {}
    # A part of an address that is not mapped, and the further locales, have their path as name.
    by_name = fields.by_name
    paths = {by_name[name].stripe[0] if name in by_name else name: value for name, value in values.items()}
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
        elif top == LOCALES:
            params[LOCALES] = _locales(paths, carry)
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


def _locales(written: Mapping[str, str], carry: Mapping[str, str]) -> list[str] | str:
    held = [text(entry) for entry in rows(parse(carry.get(LOCALES, "[]")))]
    first = written.get(LOCALES, held[0] if held else "")
    if not first:
        return ""
    further = held[1:]
    if FURTHER_LOCALES in written:
        further = [text(entry) for entry in rows(parse(written[FURTHER_LOCALES] or "[]"))]
    return [first, *(locale for locale in further if locale != first)]


def list_unmapped(fields: FieldMap) -> list[str]:
    """Return the paths that a write of a mapped part sends along: unmapped address parts, further locales."""
    mapped = {spec.stripe[0] for spec in fields.specs}
    sent = [f"{ADDRESS}.{part}" for part in ADDRESS_PARTS if f"{ADDRESS}.{part}" not in mapped]
    sent = sent if any(path.startswith(f"{ADDRESS}.") for path in mapped) else []
    return [*sent, FURTHER_LOCALES] if LOCALES in mapped else sent
