"""What the HubSpot account must have: our own properties, every mapped one in a usable form, the event of purchases.

Pure: the facts of an account in, the problems out. A problem pauses one field or one kind of write, nothing else
(docs/correctness.md#start-checks).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache

from wanesync.core.fields import FieldMap, FieldSpec
from wanesync.core.ids import CUSTOMER_ID_PROPERTY, INTENT_PROPERTY
from wanesync.core.model import Change, Side
from wanesync.core.purchases import ROLL_UP_PROPERTIES, Sink
from wanesync.core.setup.permissions import SEND_EVENTS, WRITE_CONTACTS
from wanesync.core.values.countries import find_code

OWN_PROPERTIES = (CUSTOMER_ID_PROPERTY, INTENT_PROPERTY)
"""Properties every contact we create carries; their values must be unique."""
COMMAND = "run wanesync init --hubspot"
ADD_SCOPE = "add it to the app and install the app again"
UNCHECKED = "HubSpot was not checked yet: a worker with its key does so when it starts"
SETUP_WAIT = "HubSpot lacks what wanesync init --hubspot creates"
"""The reason shown for jobs that wait for the set-up of the account."""
TEXT_FORMS = frozenset({"email", "phone", "name"})
"""Canonical forms whose values are free text."""
OTHER_TYPES = frozenset({"number", "bool", "date", "datetime", "enumeration"})
"""Types of properties that take no free text (developers.hubspot.com/docs/api/crm/properties)."""
FORM_TYPES: Mapping[str, frozenset[str]] = {
    "date": frozenset({"date", "string"}),
    "datetime": frozenset({"datetime", "string"}),
    "number": frozenset({"number", "string"}),
    "bool": frozenset({"bool", "enumeration", "string"}),
    "choices": frozenset({"enumeration", "string"}),
}
"""Canonical forms of typed values -> the types of properties that take them."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)*")
OPTION_FORMS: Mapping[str, Callable[[str], bool]] = {
    "country": lambda option: bool(find_code(option)),
    "language": lambda option: _LANGUAGE.fullmatch(option) is not None,
}
"""Canonical forms with a known set of values -> whether an option is one of them."""
MAX_SHOWN_OPTIONS = 3
"""Options that one line names; our choice."""
UNREADABLE_TYPES = frozenset({"object_coordinates", "json"})


@dataclass(frozen=True, slots=True)
class PropertyFacts:
    """One contact property of an account.

    ``version``: changes whenever its definition does, options among it. ``options``: the values a drop-down takes.
    """

    type: str = "string"
    read_only: bool = False
    unique: bool = False
    version: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortalFacts:
    """What an account has. ``has_event``: None where custom events cannot be read (another subscription or scope).

    ``scopes``: of the key, None where HubSpot does not list them.
    """

    properties: Mapping[str, PropertyFacts]
    has_event: bool | None = None
    scopes: frozenset[str] | None = None


class SetupProblemKind(StrEnum):
    """What a problem pauses: one field, contacts that would be created, or purchases of the configured kind."""

    FIELD = "field"
    CREATIONS = "creations"
    PURCHASES = "purchases"


@dataclass(frozen=True, slots=True)
class SetupProblem:
    """Something the account lacks. ``name``: the field, or the sink of purchases; ``text``: with what mends it."""

    kind: SetupProblemKind
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class PortalState:
    """The result of the newest check, as the database keeps it."""

    problems: Sequence[SetupProblem] = ()
    paused_fields: frozenset[str] = field(init=False)
    blocked: frozenset[Side] = field(init=False)
    blocked_sinks: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Sort the problems by what they pause."""
        found = {kind: frozenset(p.name for p in self.problems if p.kind is kind) for kind in SetupProblemKind}
        object.__setattr__(self, "paused_fields", found[SetupProblemKind.FIELD])
        object.__setattr__(self, "blocked", frozenset({Side.HUBSPOT} if found[SetupProblemKind.CREATIONS] else ()))
        object.__setattr__(self, "blocked_sinks", found[SetupProblemKind.PURCHASES])

    def pack(self) -> str:
        """Return the state as JSON text."""
        return json.dumps([[problem.kind, problem.name, problem.text] for problem in self.problems])


READY = PortalState()
"""An account that lacks nothing, and one that is not checked at all (a simulated one)."""
NOT_CHECKED = PortalState((SetupProblem(SetupProblemKind.CREATIONS, "", UNCHECKED),))
"""Until the first check no contact is created."""


@lru_cache(maxsize=8)
def unpack_state(text: str) -> PortalState:
    """Return the state of a JSON text."""
    return PortalState(tuple(SetupProblem(SetupProblemKind(kind), name, why) for kind, name, why in json.loads(text)))


def find_problems(fields: FieldMap, facts: PortalFacts, sink: Sink | None, event_name: str) -> list[SetupProblem]:
    """Return everything an account lacks; ``sink`` None: purchases become custom events where the account has them."""
    return [
        *_check_scopes(facts.scopes, sink),
        *_check_own(facts.properties),
        *(problem for spec in fields.specs for problem in _check_field(spec, facts.properties)),
        *_check_sink(facts, sink, event_name),
    ]


def _check_scopes(scopes: frozenset[str] | None, sink: Sink | None) -> Iterable[SetupProblem]:
    """Name the scopes that the key lacks, before a write is refused for want of them."""
    if scopes is None:
        return
    if WRITE_CONTACTS not in scopes:
        text = f"HubSpot's key lacks the scope {WRITE_CONTACTS}: {ADD_SCOPE}; until then no contact is created"
        yield SetupProblem(SetupProblemKind.CREATIONS, WRITE_CONTACTS, text)
    if sink is Sink.CUSTOM_EVENT and SEND_EVENTS not in scopes:
        text = f"HubSpot's key lacks the scope {SEND_EVENTS}: {ADD_SCOPE}; until then purchases wait"
        yield SetupProblem(SetupProblemKind.PURCHASES, Sink.CUSTOM_EVENT, text)


def _check_own(properties: Mapping[str, PropertyFacts]) -> Iterable[SetupProblem]:
    missing = [name for name in OWN_PROPERTIES if name not in properties]
    if missing:
        text = f"HubSpot has no contact property {' and '.join(missing)}: {COMMAND}; until then no contact is created"
        yield SetupProblem(SetupProblemKind.CREATIONS, missing[0], text)
    for name in OWN_PROPERTIES:
        if name in properties and not properties[name].unique:
            text = (
                f"the values of HubSpot's contact property {name} are not unique: delete it there, then {COMMAND}; "
                "until then no contact is created"
            )
            yield SetupProblem(SetupProblemKind.CREATIONS, name, text)


def _check_field(spec: FieldSpec, properties: Mapping[str, PropertyFacts]) -> Iterable[SetupProblem]:
    for name in spec.hubspot:
        reason = _find_unusable(spec, name, properties)
        if reason:
            yield SetupProblem(
                SetupProblemKind.FIELD, spec.name, f"field {spec.name} is paused: HubSpot's contact property {reason}"
            )


def _find_unusable(spec: FieldSpec, name: str, properties: Mapping[str, PropertyFacts]) -> str:
    """Return why a mapped property cannot be used and what mends it, "" if it can."""
    found = properties.get(name)
    if found is None:
        near = difflib.get_close_matches(name, properties, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        return f"{name} does not exist{meant}: create it there, or name another one in [[field]]"
    if found.read_only and spec.direction.reaches(Side.HUBSPOT):
        return f'{name} is read-only: give the field direction = "to_stripe"'
    is_other = (spec.transform in TEXT_FORMS and found.type in OTHER_TYPES) or (
        found.type not in FORM_TYPES.get(spec.transform, {found.type})
    )
    if found.type in UNREADABLE_TYPES or is_other:
        return f"{name} is of type {found.type}, which holds no {spec.transform}: name another one in [[field]]"
    if found.type == "enumeration" and spec.direction.reaches(Side.HUBSPOT):
        return _find_unfit_options(spec, name, found.options)
    return ""


def _find_unfit_options(spec: FieldSpec, name: str, options: Sequence[str]) -> str:
    """Return why no option of a drop-down can hold what is written to it, "" if one can, or if none is listed.

    An option that lacks a single value is found out by writing: that value is parked.
    """
    is_fit = OPTION_FORMS.get(spec.transform)
    if is_fit is None or not options or any(is_fit(option) for option in options):
        return ""
    shown = ", ".join(options[:MAX_SHOWN_OPTIONS])
    return (
        f"{name} takes only its options ({shown}), and none is a {spec.transform}: give them the values that Stripe "
        "has as internal values, or name another property in [[field]]"
    )


def _check_sink(facts: PortalFacts, sink: Sink | None, event_name: str) -> Iterable[SetupProblem]:
    if sink is Sink.PROPERTIES:
        missing = [name for name in ROLL_UP_PROPERTIES if name not in facts.properties]
        if missing:
            text = f"HubSpot has no contact property {', '.join(missing)}: {COMMAND}; until then purchases wait"
            yield SetupProblem(SetupProblemKind.PURCHASES, Sink.PROPERTIES, text)
    elif sink is Sink.CUSTOM_EVENT and facts.has_event is None:
        text = (
            'HubSpot does not show its event definitions to this key, and purchases.sink is "custom_event": give the '
            'app the scope behavioral_events.event_definitions.read_write, or set the sink to "note"; until then '
            "purchases wait"
        )
        yield SetupProblem(SetupProblemKind.PURCHASES, Sink.CUSTOM_EVENT, text)
    elif sink in (None, Sink.CUSTOM_EVENT) and facts.has_event is False:
        text = f"HubSpot has no event definition {event_name}: {COMMAND}; until then purchases wait"
        yield SetupProblem(SetupProblemKind.PURCHASES, Sink.CUSTOM_EVENT, text)


DOUBT_INTERVAL_MS = 3_600_000
"""How often, in ms, a refusal that contradicts the newest check makes parked fields due again; our choice."""


@dataclass(frozen=True, slots=True)
class FieldDefinitions:
    """How the mapped properties were defined at the newest check, and when that changed.

    ``versions``: field -> the versions of its properties. ``changed_ms``: field -> when they changed (database time).
    ``options``: field -> key of a value -> the option that means it, where that is not what is written by default.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    changed_ms: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def follow(self, fields: FieldMap, facts: PortalFacts, now_ms: int) -> FieldDefinitions:
        """Return the definitions after a check; a field that is seen for the first time did not change."""
        found = {
            spec.name: "|".join(
                facts.properties[name].version if name in facts.properties else "missing" for name in spec.hubspot
            )
            for spec in fields.specs
        }
        changed = {name: now_ms for name, version in found.items() if self.versions.get(name, version) != version}
        earlier = {name: min(at_ms, now_ms) for name, at_ms in self.changed_ms.items()}
        return FieldDefinitions(found, {**earlier, **changed}, _find_options(fields, facts.properties))

    def find_changes(self, until_ms: int) -> Mapping[str, int]:
        """Return field -> when its definition changed, without times after ``until_ms``: a wrong clock set those.

        Believed, such a time would have each refused field tried again at once, over and over, until it has come.
        """
        return {name: at_ms for name, at_ms in self.changed_ms.items() if at_ms <= until_ms}

    def doubt(self, names: Collection[str], now_ms: int) -> FieldDefinitions:
        """Return the definitions after HubSpot refused properties as missing or read-only, which no check has seen.

        So the next check counts as a change and what was parked since is tried again; at most once an hour, in case
        the account goes on to contradict itself.
        """
        changed_ms = self.find_changes(now_ms)
        doubtful = {name: "refused" for name in names if changed_ms.get(name, 0) + DOUBT_INTERVAL_MS <= now_ms}
        return FieldDefinitions({**self.versions, **doubtful}, self.changed_ms, self.options)

    def choose_options(self, fields: FieldMap, values: Mapping[str, str]) -> Mapping[str, str]:
        """Return the values, each as the option of a drop-down that means it (docs/correctness.md#countries)."""
        if self.options.keys().isdisjoint(values):
            return values
        return {
            name: self.options[name].get(fields.by_name[name].key(value), value) if name in self.options else value
            for name, value in values.items()
        }

    def name_options(self, fields: FieldMap, changes: Mapping[str, Change]) -> Mapping[str, Change]:
        """Return the changes of a write to HubSpot with the options it sends: its events and answers name those."""
        chosen = self.choose_options(fields, {name: change.after for name, change in changes.items()})
        return {
            name: change
            if chosen[name] == change.after
            else replace(change, after=fields.by_name[name].form.read_hubspot((chosen[name],)))
            for name, change in changes.items()
        }

    def pack(self) -> str:
        """Return the definitions as JSON text."""
        return json.dumps([dict(self.versions), dict(self.changed_ms), dict(self.options)])


def _find_options(fields: FieldMap, properties: Mapping[str, PropertyFacts]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for spec in fields.specs:
        options = properties[spec.hubspot[0]].options if spec.hubspot[0] in properties else ()
        if len(spec.hubspot) > 1 or not options:
            continue
        others: dict[str, str] = {}
        for option in options:
            usual = spec.convert(Side.HUBSPOT, option, "")
            if usual not in options:
                others.setdefault(spec.key(option), option)
        if others:
            found[spec.name] = others
    return found


NO_DEFINITIONS = FieldDefinitions()
"""Of an account that was not checked."""


@lru_cache(maxsize=8)
def unpack_definitions(text: str) -> FieldDefinitions:
    """Return the definitions of a JSON text."""
    return FieldDefinitions(*json.loads(text))
