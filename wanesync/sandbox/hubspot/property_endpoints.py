"""Endpoints for the property definitions of contacts."""

from __future__ import annotations

from collections.abc import Mapping

from wanesync.sandbox.hubspot.answers import Answer, Refusal, bad_request, not_found
from wanesync.sandbox.hubspot.call import Call, as_text, listed, record
from wanesync.sandbox.hubspot.portal import Portal
from wanesync.sandbox.hubspot.properties import Property

REQUIRED = ("groupName", "name", "label", "type", "fieldType")
MEMBERS = {
    *REQUIRED, "description", "options", "hasUniqueValue", "hidden", "displayOrder", "formField", "externalOptions",
}  # fmt: skip


def list_properties(portal: Portal, _call: Call) -> Answer:
    """GET all definitions, archived ones left out."""
    items = portal.properties.by_name.values()
    return Answer(200, {"results": [item.view() for item in items if not item.archived]})


def read_property(portal: Portal, call: Call) -> Answer:
    """GET one definition, or 404."""
    item = portal.properties.by_name.get(call.variables[0])
    if item is None or item.archived:
        raise not_found()
    return Answer(200, item.view())


def create_property(portal: Portal, call: Call) -> Answer:
    """POST a custom definition: 201; 409 when the name exists. Uniqueness cannot be changed later."""
    given = call.body
    lacking = [key for key in REQUIRED if not given.get(key)]
    if lacking:
        raise bad_request(f"required fields are missing: {', '.join(lacking)}")
    group, name, label, kind, field_type = (as_text(given[key], key) for key in REQUIRED)
    item = Property(
        name=name,
        label=label,
        type=kind,
        field_type=field_type,
        group=group,
        description=as_text(given.get("description") or "", "description"),
        options=read_options(given),
        unique=given.get("hasUniqueValue") is True,
        defined=False,
        created_ms=call.now_ms,
    )
    portal.properties.add(item)
    if item.unique:
        portal.contacts.uniques[item.name] = {}
        portal.search_index.indexed.append(item.name)
    return Answer(201, item.view())


def list_groups(portal: Portal, _call: Call) -> Answer:
    """GET the property groups."""
    groups = portal.properties.groups.items()
    return Answer(200, {"results": [_group(name, label) for name, label in groups]})


def create_group(portal: Portal, call: Call) -> Answer:
    """POST a property group: 201; 409 when the name exists."""
    name, label = (as_text(call.body.get(key), key) for key in ("name", "label"))
    if name in portal.properties.groups:
        raise Refusal(409, "OBJECT_ALREADY_EXISTS", f"A property group named '{name}' already exists.")
    portal.properties.groups[name] = label
    return Answer(201, dict(_group(name, label)))


def read_options(given: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """The options of a definition as (value, label)."""
    options = [record(option, "options") for option in listed(given.get("options"), "options")]
    return tuple((as_text(option.get("value"), "value"), as_text(option.get("label"), "label")) for option in options)


def _group(name: str, label: str) -> dict[str, object]:
    return {"name": name, "label": label, "displayOrder": -1, "archived": False}
