"""Property definitions of contacts, and the check of values against them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from wanesync.sandbox.hubspot.answers import Json, Problem, Refusal, iso, parse_ms

UNIQUE_LIMIT = 10  # unique properties per object type
TYPES = {"string", "number", "date", "datetime", "enumeration", "bool"}
STAGES = (
    "subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist",
    "other",
)  # fmt: skip
EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s.,;<>]{2,}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A validation rule of a portal, enforced on API writes since 2026-09 (changelog, write validation enforcement)."""

    pattern: str = ""
    min_length: int = 0
    max_length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False

    def refuses(self, value: str) -> str:
        """What is wrong with a value; "" if nothing is."""
        if self.pattern and not re.fullmatch(self.pattern, value):
            return "does not match the format that is required"
        if len(value) < self.min_length or (self.max_length is not None and len(value) > self.max_length):
            return "does not have the length that is required"
        bounds = (self.minimum, self.maximum)
        if bounds != (None, None):
            number = float(value) if _is_valid(finite, value) else math.nan
            low, high = (-math.inf if bounds[0] is None else bounds[0]), (math.inf if bounds[1] is None else bounds[1])
            return "" if low <= number <= high else "is not in the range that is required"
        return ""


@dataclass(frozen=True, slots=True)
class Property:
    """One definition. Without ``options``, any value is valid; changes of a ``hidden`` property send no webhook.

    ``keeps``: how many characters of a text are stored. ``archived``: it vanishes from answers, and writes to it are
    refused as to one that never was. ``rule``: what the portal's admin allows.
    """

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
    archived: bool = False
    keeps: int | None = None
    rule: Rule | None = None

    def keep(self, value: str) -> str:
        """The value as it is stored and answered: of a type other than text in HubSpot's own form."""
        form = FORMS.get(self.type)
        if form is not None and value:
            value = form(value)
        elif self.several and value:
            chosen = [option for option in value.split(";") if option]
            # In the order of the definition, whichever the order in which they were sent.
            value = ";".join([option for option, _ in self.options if option in chosen] or chosen)
        return value if self.keeps is None else value[: self.keeps]

    def tell(self, value: str) -> str:
        """The stored value as a webhook holds it: days and times in epoch milliseconds."""
        return str(parse_ms(value)) if value and self.type in ("date", "datetime") else value

    @property
    def several(self) -> bool:
        """Whether it takes several options, joined by ``;``."""
        return self.type == "enumeration" and self.field_type == "checkbox"

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
            if name not in self.by_name or self.by_name[name].archived
        ]

    def standing(self, names: Iterable[str]) -> list[str]:
        """The names without archived properties; unknown ones stay."""
        return [name for name in names if name not in self.by_name or not self.by_name[name].archived]

    def lacking(self, values: Mapping[str, str]) -> list[Problem]:
        """One problem per property that a creation must have and does not."""
        return [
            Problem(item.name, "MISSING_REQUIRED_PROPERTY", f'"{item.name}" is required')
            for item in self.by_name.values()
            if item.rule is not None and item.rule.required and not values.get(item.name)
        ]

    def redefine(self, name: str, values: Mapping[str, str]) -> None:
        """Add or change a definition as an admin does. Raises Refusal for an unknown setting.

        ``type``; ``field_type`` (``checkbox``: several options); ``options`` (joined by ``;``, empty: any value);
        ``read_only``, ``archived``, ``required`` (true or false); ``keeps`` (characters stored); the portal's rule:
        ``pattern``, ``min_length``, ``max_length``, ``minimum``, ``maximum``. An empty value takes a setting away.
        """
        if name not in self.by_name:
            self.add(Property(name, name, defined=False))
        item, rule = self.by_name[name], self.by_name[name].rule or Rule()
        try:
            for key, value in values.items():
                if key in RULE_SETTINGS:
                    rule = replace(rule, **{key: RULE_SETTINGS[key](value)})  # type: ignore[arg-type] # typed by the table
                else:
                    item = replace(item, **{key: SETTINGS[key](value)})  # type: ignore[arg-type] # typed by the table
        except (KeyError, ValueError, re.error) as cause:
            known = ", ".join(sorted({*SETTINGS, *RULE_SETTINGS}))
            raise Refusal(400, "VALIDATION_ERROR", f"property {name}: settings are {known}") from cause
        self.by_name[name] = replace(item, rule=None if rule == Rule() else rule)

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
        chosen = {option for option in value.split(";") if option} if item.several else {value}
        faults = (
            (item.name == "email" and not EMAIL.fullmatch(value.strip()), "INVALID_EMAIL", "is not an e-mail address"),
            (options and chosen - options, "INVALID_OPTION", "was not one of the allowed options"),
            (item.type == "number" and not _is_valid(finite, value), "INVALID_NUMBER", "was not a valid number"),
            (item.type == "bool" and value.lower() not in ("true", "false"), "INVALID_OPTION", "was not true or false"),
            (item.type == "date" and not _is_valid(_midnight, value), "INVALID_DATE", "was not a valid date"),
            (item.type == "datetime" and not _is_valid(parse_ms, value), "INVALID_DATE", "was not a valid date"),
        )
        found = next((Problem(item.name, code, f"{value} {text}") for wrong, code, text in faults if wrong), None)
        if found is None and item.rule is not None and not by_user and (wrong := item.rule.refuses(value)):
            return Problem(item.name, "PROPERTY_VALIDATION_RULE", f"{value} {wrong}")
        return found


def later_stage(old: str | None, new: str) -> bool:
    """Whether a lifecycle stage may follow another: only forward, unless it was cleared."""
    return old is None or new == "" or STAGES.index(new) >= STAGES.index(old)


def finite(value: str) -> float:
    """The finite number in a text, without Python's own spellings (``1_000``). Raises ValueError."""
    if not value.isascii() or "_" in value:
        raise ValueError("expected a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("expected a finite number")
    return number


def _midnight(value: str) -> int:
    """Epoch milliseconds of a day, which must be midnight in UTC. Raises ValueError."""
    at_ms = parse_ms(value)
    if at_ms % 86_400_000:
        raise ValueError("expected midnight in UTC")
    return at_ms


def _plain(value: str) -> str:
    return f"{Decimal(value.strip()).normalize() + 0:f}"


FORMS: Mapping[str, Callable[[str], str]] = {
    "date": lambda value: iso(_midnight(value))[:10],
    "datetime": lambda value: iso(parse_ms(value)).replace(".000Z", "Z"),
    "number": _plain,
    "bool": str.lower,
}
"""Type -> the form in which HubSpot answers its values (developers.hubspot.com/docs/api/faq for times; numbers, flags
and what webhooks hold: not tried on a real account)."""


def _flag(value: str) -> bool:
    if value.lower() not in ("true", "false", ""):
        raise ValueError("expected true or false")
    return value.lower() == "true"


SETTINGS: Mapping[str, Callable[[str], object]] = {
    "type": lambda value: value or "string",
    "field_type": lambda value: value or "text",
    "options": lambda value: tuple((option, option) for option in value.split(";") if option),
    "read_only": _flag,
    "archived": _flag,
    "keeps": lambda value: int(value) if value else None,
}
RULE_SETTINGS: Mapping[str, Callable[[str], object]] = {
    "pattern": lambda value: re.compile(value).pattern,
    "min_length": lambda value: int(value or 0),
    "max_length": lambda value: int(value) if value else None,
    "minimum": lambda value: float(value) if value else None,
    "maximum": lambda value: float(value) if value else None,
    "required": _flag,
}


def _is_valid(read: Callable[[str], float], value: str) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True
