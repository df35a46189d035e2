"""What a pass decides: actions (intended writes) and what is to be remembered, as values that can be printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wanesync.core.change_guard import HeldValue
from wanesync.core.fields import FieldMap
from wanesync.core.matching import RecordRef
from wanesync.core.merge import Differ
from wanesync.core.model import Change, Conflict, Link, PendingWrite, Side, WriteKind, WriteResult

FIRST_LISTING = "first listing missing"
EXCLUDED = "excluded: no e-mail"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decided: the field map, whom to create, what to do with unlike values at first contact."""

    fields: FieldMap
    create_customers: bool = True
    create_contacts: bool = True
    differ: Differ = "keep"


@dataclass(frozen=True, slots=True)
class Action:
    """One intended API write. ``source_id``: the opposite record; ``target_id`` "" for a create."""

    side: Side
    kind: WriteKind
    source_id: str
    target_id: str
    changes: Mapping[str, Change]
    conflicts: tuple[Conflict, ...] = ()
    link_id: str = ""
    hmacs: frozenset[str] = frozenset()


@dataclass(slots=True)
class Plan:
    """What a pass wants, in the order in which it is carried out.

    ``locks``: keys to be held besides the pass's own. ``links``: new or changed links (version
    already raised; ``base_of`` says what each new one starts from is known in it). ``settled``:
    creates whose record was found. ``wake``: (lane, key) of write jobs to queue. ``actions``: at most
    one per side. ``wait``: not now, and why. ``held``: (link id, field, what is held back of it).
    ``unheld``: (link id, field) that is held no more.
    """

    locks: set[str] = field(default_factory=set)
    links: dict[str, Link] = field(default_factory=dict)
    linked: list[tuple[str, str]] = field(default_factory=list)
    settled: list[tuple[PendingWrite, WriteResult]] = field(default_factory=list)
    notes: dict[RecordRef, str] = field(default_factory=dict)
    tombstones: list[tuple[Side, str, frozenset[str]]] = field(default_factory=list)
    conflicts: list[tuple[Conflict, str]] = field(default_factory=list)
    wake: set[tuple[Side, str]] = field(default_factory=set)
    actions: dict[Side, Action] = field(default_factory=dict)
    wait: str = ""
    held: list[tuple[str, str, HeldValue]] = field(default_factory=list)
    unheld: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Nothing to write and nothing to remember."""
        return not (self.actions or self.changes or self.wait)

    @property
    def changes(self) -> bool:
        """Whether something is to be remembered."""
        remembered = (self.links, self.settled, self.notes, self.tombstones, self.conflicts, self.linked)
        return any(remembered) or bool(self.wake or self.held or self.unheld)
