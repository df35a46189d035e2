"""What was planted, held against what a comparison says it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wanesync.core.diff.difference import ACTIONABLE, DifferenceClass

PARKED = (
    DifferenceClass.CONFLICT,
    DifferenceClass.AMBIGUOUS,
    DifferenceClass.DUPLICATE,
    DifferenceClass.ORPHANED,
    DifferenceClass.EXCLUDED,
)
"""What a reconcile leaves as it is."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One planted difference: its class, its records ("" where there is none) and its fields (None: of no matter).

    Of an orphaned one only the record that is left is named: a program may know who it belonged to, or not.
    """

    kind: DifferenceClass
    hubspot_id: str
    stripe_id: str
    fields: frozenset[str] | None = None

    def fits(self, other: Truth) -> bool:
        """Whether a difference that was found is this one."""
        if self.kind is DifferenceClass.ORPHANED:
            mine, theirs = (self.hubspot_id, self.stripe_id), (other.hubspot_id, other.stripe_id)
            same = all(a in ("", b) for a, b in zip(mine, theirs, strict=True))
        else:
            same = (self.hubspot_id, self.stripe_id) == (other.hubspot_id, other.stripe_id)
        return same and self.kind is other.kind and (self.fields is None or self.fields == other.fields)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``missed``: planted and not found; ``invented``: found and not planted; each with its class and its records."""

    planted: int
    found: int
    missed: Sequence[Truth]
    invented: Sequence[Truth]

    def figures(self) -> dict[str, object]:
        """Numbers, and by class where something is wrong."""
        wrong = {"missed": self.missed, "invented": self.invented}
        numbers: dict[str, object] = {"planted": self.planted, "found": self.found}
        numbers |= {name: len(truths) for name, truths in wrong.items()}
        for name, truths in wrong.items():
            if truths:
                numbers[f"{name}_by_class"] = dict(Counter(str(truth.kind) for truth in truths))
        return numbers


def judge_found(planted: Sequence[Truth], found: Iterable[Truth]) -> Verdict:
    """Pair each difference found with the planted one it is, each once."""
    left: dict[tuple[DifferenceClass, str], Truth] = {}
    for truth in planted:
        left[truth.kind, truth.hubspot_id or truth.stripe_id] = truth
    invented: list[Truth] = []
    for each in found:
        spots = [(each.kind, each.hubspot_id), (each.kind, each.stripe_id)]
        spot = next((spot for spot in spots if spot in left and left[spot].fits(each)), None)
        if spot is None:
            invented.append(each)
        else:
            del left[spot]
    return Verdict(len(planted), len(planted) - len(left), list(left.values()), invented)


def read_found(document: Mapping[str, object]) -> list[Truth]:
    """The differences of ``diff --json``."""
    rows = document.get("differences")
    return [_read(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def count_class(document: Mapping[str, object], kinds: Iterable[DifferenceClass]) -> int:
    """How many differences of some classes the document counts."""
    counts = document.get("counts")
    return sum(n for kind in kinds if isinstance(counts, dict) and isinstance(n := counts.get(str(kind)), int))


def count_actionable(document: Mapping[str, object]) -> int:
    """How many a reconcile would repair."""
    return count_class(document, ACTIONABLE)


def _read(row: Mapping[str, object]) -> Truth:
    fields = row.get("fields")
    names = frozenset(map(str, fields)) if isinstance(fields, dict) else frozenset()
    return Truth(DifferenceClass(str(row["class"])), str(row["hubspot_id"] or ""), str(row["stripe_id"] or ""), names)
