"""Settles conflicts as a person decided: the decisions are applied as those of a file, and workers write the values.

docs/correctness.md#settled-by-a-person
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wanesync.core.diff.decisions import Decision
from wanesync.core.errors import ConfigError, GuardError, NotFound
from wanesync.core.jobs import Priority
from wanesync.ops.people.conflicts import ConflictEntry, Pick, make_entries
from wanesync.ops.people.search import find_refs
from wanesync.reconcile.apply_decisions import CHANGED, CheckedDecisions, DecisionApplier
from wanesync.store.clock import Clock, DatabaseClock
from wanesync.store.tables.conflicts import NEWEST, ConflictFilter

if TYPE_CHECKING:
    from wanesync.core.fields import FieldMap
    from wanesync.core.operating.operators import Operator
    from wanesync.store.database import Store
    from wanesync.sync.runtime import Runtime

PAGE_ROWS = 500
"""Conflicts that one transaction reads."""
FEW_ENTRIES = 20
"""At most so many fields settled at once count as a person's single edits, ahead of bulk work (our choice)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for all selected conflicts.

    ``value``: the typed one, of ``Pick.VALUE``. ``conflict_id``: of the one kept value that is right, of ``Pick.KEPT``;
    "" where each field has only one.
    """

    pick: Pick
    value: str = ""
    conflict_id: str = ""


@dataclass(frozen=True, slots=True)
class ConflictSelection:
    """The conflicts to be settled, by field and person."""

    entries: Sequence[ConflictEntry]

    @property
    def conflicts(self) -> int:
        """How many conflicts are closed when all of it is settled."""
        return sum(len(entry.rows) for entry in self.entries)

    @property
    def people(self) -> int:
        """How many people they are of."""
        return len({entry.refs for entry in self.entries})


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a selection. ``left``: (conflict id, why it was not settled). ``cleared``: values cleared.

    ``conflicts``: those that were closed, or would be. ``fields``: settled fields of people. ``jobs``: queued writes.
    """

    conflicts: int
    fields: int
    people: int
    cleared: int
    jobs: int
    left: Sequence[tuple[str, str]] = field(default=())


def find_ids(store: Store, texts: Iterable[str]) -> tuple[str, ...]:
    """Return the ids that some texts stand for: an address for its records, any other text for itself.

    Raises NotFound for an address that no record has.
    """
    found: list[str] = []
    with store.reading() as tx:
        for text in texts:
            if "@" not in text:
                found.append(text)
            elif refs := find_refs(store, tx, text):
                found += sorted({end for one in tx.links.of_records(refs) for end in (one.hubspot_id, one.stripe_id)})
                found += sorted({record_id for _, record_id in refs} - set(found))
            else:
                raise NotFound("no record has this address: they are stored once they were listed or changed")
    return tuple(found)


def select_conflicts(store: Store, fields: FieldMap, wanted: ConflictFilter, most: int) -> ConflictSelection:
    """Return what a filter selects, with all other conflicts of the same field and person. At most ``most`` fields.

    Raises NotFound for an id that no open conflict, record or link has.
    """
    entries: dict[tuple[object, str], ConflictEntry] = {}
    place = NEWEST
    while len(entries) < most:
        with store.reading() as tx:
            rows = tx.conflicts.find(wanted, PAGE_ROWS, place)
            refs = {ref for entry in make_entries(tx, fields, rows) for ref in entry.refs}
            refs |= {(row.conflict.side, row.conflict.record_id) for row in rows}
            near = tx.conflicts.of_records(sorted(refs))
            chosen = {row.id for row in rows}
            for entry in make_entries(tx, fields, near):
                if any(row.id in chosen for row in entry.rows):
                    entries.setdefault((entry.refs, entry.field), entry)
        if len(rows) < PAGE_ROWS:
            break
        place = (rows[-1].at_ms, rows[-1].id)
    if wanted.people and not entries:
        raise NotFound(f"no open conflict is of {', '.join(wanted.people[:3])}: wanesync conflicts list shows them")
    return ConflictSelection([*entries.values()][:most])


@dataclass(frozen=True, slots=True)
class ConflictSettler:
    """Settles conflicts for one operator; what cannot be settled is left, with the reason."""

    runtime: Runtime
    operator: Operator
    clock: Clock = field(default_factory=DatabaseClock)

    def preview(self, selection: ConflictSelection, choice: Choice) -> Settled:
        """Return what ``settle`` would come to; changes nothing."""
        checked, left = self._examine(self._make_applier(selection), selection, choice)
        return _count(selection, left, checked.clears, jobs=0)

    def settle(
        self, selection: ConflictSelection, choice: Choice, progress: Callable[[int], None] = lambda _: None
    ) -> Settled:
        """Settle a selection: each person's conflicts in one transaction with its audit and journal entries.

        ``progress``: called with the number of fields settled.
        """
        applier = self._make_applier(selection)
        checked, left = self._examine(applier, selection, choice)
        lines = {key: [decision.line for decision in group] for key, group in checked.groups.items()}
        run_id = self.runtime.new_id(self.runtime.store.now_ms())
        applied = applier.apply(checked, run_id, progress)
        left |= {line: why for key, why in applied.left.items() for line in lines.get(key, ()) if line not in left}
        if applied.jobs:
            self.runtime.store.wake_workers()
        return _count(selection, left, applied.cleared, applied.jobs)

    def _make_applier(self, selection: ConflictSelection) -> DecisionApplier:
        priority = Priority.LIVE if len(selection.entries) <= FEW_ENTRIES else Priority.BULK
        return DecisionApplier(self.runtime, self.clock, self.operator, settles=True, priority=priority)

    def _examine(
        self, applier: DecisionApplier, selection: ConflictSelection, choice: Choice
    ) -> tuple[CheckedDecisions, dict[int, str]]:
        """Return what can be applied, and why the rest cannot, by the number of its entry."""
        decisions, left = _decide(selection, choice)
        checked, problems = applier.examine(decisions)
        left |= {problem.line: problem.reason for problem in problems}
        left |= {d.line: why for key, why in checked.damaged.items() for d in checked.groups[key]}
        return checked.only({d.line for d in decisions if d.line not in left}), left


def check_count(selection: ConflictSelection, expected: int) -> None:
    """Raise GuardError where another number of conflicts is selected by now than was confirmed."""
    if selection.conflicts != expected:
        raise GuardError(
            f"{selection.conflicts:,} conflicts are selected by now, and {expected:,} were confirmed: nothing was "
            "changed; look at them again, then confirm the new number"
        )


def mark_seen(store: Store, entry: ConflictEntry) -> str:
    """Return a keyed hash of what both sides hold, by which it is recognised that a value changed meanwhile."""
    return store.row_hash("\n".join(["seen", *(ref[1] for ref in entry.refs), *map(repr, entry.seen)]))


def check_seen(store: Store, entry: ConflictEntry, mark: str) -> None:
    """Raise GuardError where a value changed since it was shown."""
    if mark != mark_seen(store, entry):
        raise GuardError(f"nothing was changed: {CHANGED}")


def check_choice(choice: Choice) -> None:
    """Raise ConfigError for a choice without its value, or with one that it does not take."""
    if (choice.pick is Pick.VALUE) != bool(choice.value.strip()):
        raise ConfigError(["a value is given with the choice value, and with no other one"])


def _decide(selection: ConflictSelection, choice: Choice) -> tuple[list[Decision], dict[int, str]]:
    """Return the choice as decisions, by the number of their entry, and why some entries cannot be settled so."""
    decisions, left = [], dict[int, str]()
    for line, entry in enumerate(selection.entries):
        if choice.pick is not Pick.KEPT:
            decisions.append(entry.decide(line, choice.pick, choice.value))
            continue
        kept = [row for row in entry.kept if choice.conflict_id in ("", row.id)]
        if len(kept) == 1:
            decisions.append(entry.decide(line, Pick.KEPT, kept=kept[0]))
        else:
            left[line] = f"it has {len(kept) or 'no'} kept values: choose one of them by its id"
    return decisions, left


def _count(selection: ConflictSelection, left: dict[int, str], cleared: int, jobs: int) -> Settled:
    done = [entry for line, entry in enumerate(selection.entries) if line not in left]
    return Settled(
        conflicts=sum(len(entry.rows) for entry in done),
        fields=len(done),
        people=len({entry.refs for entry in done}),
        cleared=cleared,
        jobs=jobs,
        left=[(selection.entries[line].rows[0].id, why) for line, why in sorted(left.items())],
    )
