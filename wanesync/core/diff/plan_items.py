"""Plan files: which fields of which records would change, without readable values.

``reconcile --plan-out`` makes a plan file; ``--apply`` carries it out only where the same changes are still due.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from wanesync.core.diff.difference import ACTIONABLE, Difference, DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side

VERSION = 1
Hash = Callable[[str], str]
"""A keyed hash of a text."""


@dataclass(frozen=True, slots=True)
class PlanHeader:
    """The accounts a plan belongs to and when it was made (ms); ``counts``: class -> number of all differences."""

    portal: str
    account: str
    mode: str
    fields_version: str
    made_ms: int
    counts: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the header as JSON: the first lines of the file."""
        return {
            "version": VERSION,
            "made_ms": self.made_ms,
            "pins": {"portal": self.portal, "account": self.account, "mode": self.mode},
            "fields_version": self.fields_version,
            "counts": dict(self.counts),
        }


@dataclass(frozen=True, slots=True)
class FieldStep:
    """One field that would be written: on which side, and the hashes of its values before and after."""

    writes: Side
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One difference to be repaired; ``sealed``: its encrypted values (base64)."""

    kind: DifferenceClass
    key: str
    hubspot_id: str
    stripe_id: str
    steps: Mapping[str, FieldStep]
    sealed: str = field(default="", compare=False)

    def as_json(self) -> dict[str, object]:
        """Return the item as JSON: one line of the file."""
        return {
            "class": str(self.kind),
            "key": self.key,
            "hubspot_id": self.hubspot_id,
            "stripe_id": self.stripe_id,
            "fields": {
                name: {"writes": str(step.writes), "from": step.before, "to": step.after}
                for name, step in self.steps.items()
            },
            "sealed": self.sealed,
        }


def read_header(text: str) -> PlanHeader:
    """Parse the header of a file; raise ``ConfigError`` if it is no plan or one of another format version."""
    try:
        data = json.loads(text)
        if data["version"] != VERSION:
            raise ConfigError(["the plan was made by another version of wanesync: make it again with --plan-out"])
        pins, counts = data["pins"], {str(kind): int(n) for kind, n in data["counts"].items()}
        named = (str(pins["portal"]), str(pins["account"]), str(pins["mode"]), str(data["fields_version"]))
        return PlanHeader(*named, made_ms=int(data["made_ms"]), counts=counts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(["this is no plan of wanesync, or it was altered: make one with --plan-out"]) from error


def read_item(text: str) -> PlanItem:
    """Parse a line of a file whose digest was verified."""
    data = json.loads(text)
    steps = {
        name: FieldStep(Side(step["writes"]), step["from"], step["to"]) for name, step in sorted(data["fields"].items())
    }
    ids = data["key"], data["hubspot_id"], data["stripe_id"]
    return PlanItem(DifferenceClass(data["class"]), *ids, steps, data["sealed"])


def check_header(header: PlanHeader, now: PlanHeader) -> list[str]:
    """Return why a plan may not be carried out here: other accounts, another field map."""
    problems = [
        f"the plan is for {what} {planned or '(unknown)'}, this database belongs to {ours or '(unknown)'}"
        for what, planned, ours in (
            ("HubSpot portal", header.portal, now.portal),
            ("Stripe account", header.account, now.account),
            ("Stripe mode", header.mode, now.mode),
        )
        if planned != ours
    ]
    if header.fields_version != now.fields_version:
        problems.append("the field map was changed since the plan was made: make it again with --plan-out")
    return problems


def propose(difference: Difference, hashed: Hash) -> PlanItem:
    """Return the item of a difference, with hashes instead of values."""
    steps = {}
    for name, value in sorted(difference.fields.items()):
        if value.writes:
            side = Side(value.writes)
            before = value.stripe if side is Side.STRIPE else value.hubspot
            ends = (_hash(hashed, difference.key, name, side, text) for text in (before, value.after))
            steps[name] = FieldStep(side, *ends)
    return PlanItem(difference.kind, difference.key, difference.hubspot_id, difference.stripe_id, steps)


def values_of(difference: Difference) -> dict[str, list[str]]:
    """Return field -> [HubSpot's value, Stripe's value, value to be written]: what an item encrypts."""
    return {name: [value.hubspot, value.stripe, value.after] for name, value in sorted(difference.fields.items())}


def _hash(hashed: Hash, key: str, name: str, side: Side, value: str) -> str:
    """Return a hash bound to its place, so that equal values in two places have different hashes."""
    return hashed(json.dumps(["plan", key, name, str(side), value]))


@dataclass(frozen=True, slots=True)
class Deviation:
    """What no longer matches the plan of one key; ``fields``: those that changed since, in order."""

    key: str
    kinds: tuple[DifferenceClass, ...]
    fields: tuple[str, ...]


def find_deviation(planned: Iterable[PlanItem], now: Iterable[Difference], hashed: Hash) -> Deviation | None:
    """Return how the differences of a key deviate from its plan; None if exactly the planned changes are still due."""
    planned = list(planned)
    current = [propose(difference, hashed) for difference in now if difference.kind in ACTIONABLE]
    before, after = ({_identify(item): item for item in items} for items in (planned, current))
    if before == after:
        return None
    fields = set()
    for name in before.keys() | after.keys():
        old, new = (dict(items[name].steps) if name in items else {} for items in (before, after))
        fields |= {f for f in old.keys() | new.keys() if old.get(f) != new.get(f)}
    return Deviation(planned[0].key, tuple(sorted({item.kind for item in planned})), tuple(sorted(fields)))


def _identify(item: PlanItem) -> tuple[DifferenceClass, str, str, str]:
    return item.kind, item.key, item.hubspot_id, item.stripe_id
