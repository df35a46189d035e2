"""Generations of the field map: which fields a copy holds that was made under an earlier map.

Each change of the map begins a new generation. Every field carries the generation in which it was last defined, and
every copy of a record, link, event and pending write the generation it was made in: a copy older than a field does not
hold it (docs/correctness.md#changes-of-the-field-map).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from wanesync.core.errors import FieldMapChanged
from wanesync.core.fields import FieldMap
from wanesync.core.ids import OUR_IDS
from wanesync.core.model import (
    BasePair,
    Event,
    Link,
    PendingWrite,
    Record,
    agreed_blank_key,
    filled_in_key,
    is_unmapped,
)

MAX_FORMER_MAPS = 100
"""How many earlier maps are remembered, so that a process that still has one is recognised; our choice."""


@dataclass(frozen=True, slots=True)
class FieldGenerations:
    """The map of this process as copies are seen through it.

    ``generation``: 0 without a map; then every copy is taken as it is. ``since``: field -> the generation in which it
    was last defined. ``placed``: field -> the one in which it was given its places on both sides. Every ``view_*``
    raises ``FieldMapChanged`` for a copy made under a later map.
    """

    generation: int = 0
    since: Mapping[str, int] = field(default_factory=dict)
    placed: Mapping[str, int] = field(default_factory=dict)

    def _is_current(self, generation: int) -> bool:
        if self.generation and generation > self.generation:
            raise FieldMapChanged
        return not self.generation or generation == self.generation

    def _holds(self, name: str, generation: int) -> bool:
        """Return whether a copy of a generation holds a field, or ``name/firstname`` of it, as it is defined now."""
        since = self.since.get(name.partition("/")[0])
        return since is not None and since <= generation

    def view_record(self, record: Record, generation: int) -> Record:
        """Return a record made in a generation; fields that it does not hold are unknown."""
        if self._is_current(generation):
            return record
        unknown = frozenset(name for name, since in self.since.items() if since > generation) | record.unknown
        values = {name: value for name, value in record.values.items() if self._holds(name, generation)}
        return replace(record, values=values, unknown=unknown & self.since.keys())

    def view_link(self, link: Link, generation: int) -> Link:
        """Return a link without the base and the parked values of fields that were not defined so: first contact.

        What no field holds is put back under every map (``core.model.is_unmapped``).
        Where only the form of a field's values is another, a blank that both sides had agreed on is remembered.
        """
        if self._is_current(generation):
            return link
        base = {name: pair for name, pair in link.base.items() if self._holds(name, generation)}
        base |= self._agreed_blanks(link, generation)
        parked = {name: park for name, park in link.parked.items() if name in OUR_IDS or self._holds(name, generation)}
        put_back = {
            name: back for name, back in link.put_back.items() if is_unmapped(name) or self._holds(name, generation)
        }
        return replace(link, base=base, parked=parked, put_back=put_back)

    def _agreed_blanks(self, link: Link, generation: int) -> dict[str, BasePair]:
        found = {}
        for name, since in self.since.items():
            pair = link.base.get(name)
            if since <= generation or self.placed.get(name, since) > generation or pair is None or all(pair):
                continue
            found[agreed_blank_key(name)] = pair
            if mark := link.base.get(filled_in_key(name)):
                found[filled_in_key(name)] = mark
        return found

    def view_event(self, event: Event, generation: int) -> Event:
        """Return an event without the values of fields that were not defined so.

        An object that lacks a field is no copy: the record is read instead.
        """
        if self._is_current(generation):
            return event
        values = {name: value for name, value in event.values.items() if self._holds(name, generation)}
        previous = {name: value for name, value in event.previous.items() if self._holds(name, generation)}
        record = self.view_record(event.record, generation) if event.record else None
        whole = None if record is not None and record.unknown else record
        return replace(event, values=values, previous=previous, record=whole)

    def view_write(self, write: PendingWrite, generation: int) -> PendingWrite:
        """Return a pending write without the changes of fields that were not defined so; its body stays exact."""
        if self._is_current(generation):
            return write
        changes = {name: change for name, change in write.changes.items() if self._holds(name, generation)}
        authorship = {name: found for name, found in write.authorship.items() if name in changes}
        redefined = frozenset(write.changes.keys() - changes.keys())
        return replace(write, changes=changes, authorship=authorship, redefined=redefined)


EVERY_FIELD = FieldGenerations()
"""The view of a program without a field map: every copy is taken as it is."""


class FieldState(NamedTuple):
    """A field of a stored map: its definition, the generation in which it was last defined, and that of its places."""

    definition: str
    since: int
    placed: int


@dataclass(frozen=True, slots=True)
class MapState:
    """What a database stores of its field map.

    ``version``: of the whole map (``FieldMap.version``). ``fields``: by name. ``former``: versions of earlier maps, the
    oldest first.
    """

    generation: int
    version: str
    fields: Mapping[str, FieldState]
    former: tuple[str, ...] = ()

    @property
    def generations(self) -> FieldGenerations:
        """Return the map as copies are seen through it."""
        since = {name: state.since for name, state in self.fields.items()}
        placed = {name: state.placed for name, state in self.fields.items()}
        return FieldGenerations(self.generation, since, placed)

    def pack(self) -> str:
        """Return the state as JSON text."""
        fields = {name: list(defined) for name, defined in self.fields.items()}
        state = {"generation": self.generation, "version": self.version, "fields": fields, "former": self.former}
        return json.dumps(state)

    @classmethod
    def unpack(cls, text: str) -> MapState:
        """Return the state of a JSON text."""
        data = json.loads(text)
        fields = {name: FieldState(*state) for name, state in data["fields"].items()}
        return cls(data["generation"], data["version"], fields, tuple(data["former"]))


def begin_generation(state: MapState | None, fields: FieldMap) -> MapState:
    """Return the state after a change to another map; a field that is defined as before keeps its generation."""
    generation = state.generation + 1 if state else 1
    known = state.fields if state else {}
    defined: dict[str, FieldState] = {}
    for spec in fields.specs:
        before = known.get(spec.name)
        definition = spec.definition
        if before and before.definition == definition:
            defined[spec.name] = before
        else:
            stays = before is not None and _places(before.definition) == _places(definition)
            defined[spec.name] = FieldState(definition, generation, before.placed if before and stays else generation)
    former = (*(v for v in state.former if v != fields.version), state.version)[-MAX_FORMER_MAPS:] if state else ()
    return MapState(generation, fields.version, defined, former)


def _places(definition: str) -> list[object]:
    """Return the properties and the path of a definition (``FieldSpec.definition``)."""
    hubspot, stripe, *_ = json.loads(definition)
    return [hubspot, stripe]


def describe_change(before: MapState | None, after: MapState) -> str:
    """Return which fields a change of map adds, defines otherwise and removes, as text for an operator."""
    known = before.fields if before else {}
    added = sorted(after.fields.keys() - known.keys())
    removed = sorted(known.keys() - after.fields.keys())
    others = sorted(name for name, state in after.fields.items() if state.since == after.generation and name in known)
    parts = (("added", added), ("changed", others), ("removed", removed))
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names) or "rules of its fields changed"
