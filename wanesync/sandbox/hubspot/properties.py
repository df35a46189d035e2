"""Property definitions of contacts, and the check of values against them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from wanesync.sandbox.hubspot.answers import Json, Problem, Refusal, iso, parse_ms

UNIQUE_LIMIT = 10  # unique properties per object type
TYPES = {"string", "number", "date", "datetime", "enumeration", "bool"}
STAGES = (
    "subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist",
    "other",
)  # fmt: skip
EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s.,;<>]{2,}")


@dataclass(frozen=True, slots=True)
class Property:
    """One definition. Without ``options``, any value is valid; changes of a ``hidden`` property send no webhook."""

    name: str
    label: str
    type: str = "string"
    field_type: str = "text"
    group: str = "contactinformation"
    description: str = ""
    options: tuple[tuple[str, str], ...] = ()
    unique: bool = False
    read_only: bool = False
    defined: bool = True  # by HubSpot
    hidden: bool = False
    created_ms: int = 0

    def view(self) -> Json:
        """The definition in an answer."""
        return {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group,
            "options": [
                {"label": label, "value": value, "displayOrder": order, "hidden": False}
                for order, (value, label) in enumerate(self.options)
            ],
            "displayOrder": -1,
            "calculated": False,
            "externalOptions": False,
            "hasUniqueValue": self.unique,
            "hidden": self.hidden,
            "hubspotDefined": self.defined,
            "formField": not self.read_only,
            "archived": False,
            "createdAt": iso(self.created_ms),
            "updatedAt": iso(self.created_ms),
            "modificationMetadata": {
                "archivable": not self.defined,
                "readOnlyDefinition": self.defined,
                "readOnlyValue": self.read_only,
            },
        }


def _standard() -> Iterable[Property]:
    for name in ("firstname", "lastname", "address", "city", "state", "zip", "country", "company", "jobtitle",
                 "website", "fax", "salutation", "industry", "message"):  # fmt: skip
        yield Property(name, name.capitalize())
    yield Property("email", "Email", unique=True)
    yield Property("phone", "Phone Number", field_type="phonenumber")
    yield Property("mobilephone", "Mobile Phone Number", field_type="phonenumber")
    # HubSpot has a long list of languages; the stand-in accepts any value.
    yield Property("hs_language", "Preferred language", "enumeration", "select")
    stages = tuple((stage, stage.capitalize()) for stage in STAGES)
    yield Property("lifecyclestage", "Lifecycle Stage", "enumeration", "radio", options=stages)
    for name in ("createdate", "lastmodifieddate"):
        yield Property(name, name, "datetime", "date", read_only=True, hidden=True)
    yield Property("hs_object_id", "Record ID", "number", "number", read_only=True, hidden=True)
    yield Property("hs_additional_emails", "Additional email addresses", "enumeration", "checkbox", read_only=True)
    for name in ("hs_merged_object_ids", "hs_calculated_merged_vids", "hs_object_source", "hs_object_source_id",
                 "hs_object_source_label"):  # fmt: skip
        yield Property(name, name, read_only=True, hidden=True)


class PropertyStore:
    """The definitions of a portal: those of HubSpot and custom ones."""

    def __init__(self) -> None:
        self.by_name: dict[str, Property] = {item.name: item for item in _standard()}
        self.groups: dict[str, str] = {"contactinformation": "Contact information"}

    def uniques(self) -> list[str]:
        """The custom properties with unique values."""
        return [item.name for item in self.by_name.values() if item.unique and not item.defined]

    def add(self, item: Property) -> None:
        """Add a custom property. Raises Refusal: exists (409), unknown group or too many unique ones (400)."""
        if item.name in self.by_name:
            message = f"A property named '{item.name}' already exists."
            raise Refusal(409, "OBJECT_ALREADY_EXISTS", message)
        if item.group not in self.groups:
            raise Refusal(400, "VALIDATION_ERROR", f"property group {item.group} does not exist")
        if item.type not in TYPES:
            raise Refusal(400, "VALIDATION_ERROR", f"type must be one of {', '.join(sorted(TYPES))}")
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", item.name):
            raise Refusal(400, "VALIDATION_ERROR", "name: lower-case letters, digits and underscores are allowed")
        if item.unique and len(self.uniques()) >= UNIQUE_LIMIT:
            raise Refusal(400, "VALIDATION_ERROR", f"at most {UNIQUE_LIMIT} properties can have unique values")
        self.by_name[item.name] = item

    def unknown(self, names: Iterable[str]) -> list[Problem]:
        """One problem per unknown name."""
        return [
            Problem(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
            for name in names
            if name not in self.by_name
        ]

    def problems(self, values: Mapping[str, str], by_user: bool) -> list[Problem]:
        """The invalid values of one record, unknown names left out; an empty value clears."""
        found = (self._problem(self.by_name[name], values[name], by_user) for name in values if name in self.by_name)
        return [problem for problem in found if problem is not None]

    def _problem(self, item: Property, value: str, by_user: bool) -> Problem | None:
        # Users edit the additional e-mail addresses in HubSpot; the API cannot write them.
        if item.read_only and not (by_user and item.name == "hs_additional_emails"):
            return Problem(item.name, "READ_ONLY_VALUE", f'"{item.name}" is a read only property')
        if value == "":
            return None
        options = {option for option, _ in item.options}
        faults = (
            (item.name == "email" and not EMAIL.fullmatch(value.strip()), "INVALID_EMAIL", "is not an e-mail address"),
            (options and value not in options, "INVALID_OPTION", "was not one of the allowed options"),
            (item.type == "number" and not _is_valid(finite, value), "INVALID_NUMBER", "was not a valid number"),
            (
                item.type in ("date", "datetime") and not _is_valid(parse_ms, value),
                "INVALID_DATE",
                "was not a valid date",
            ),
        )
        return next((Problem(item.name, code, f"{value} {text}") for wrong, code, text in faults if wrong), None)


def later_stage(old: str | None, new: str) -> bool:
    """Whether a lifecycle stage may follow another: only forward, unless it was cleared."""
    return old is None or new == "" or STAGES.index(new) >= STAGES.index(old)


def finite(value: str) -> float:
    """The finite number in a text. Raises ValueError."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("expected a finite number")
    return number


def _is_valid(read: Callable[[str], float], value: str) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True
