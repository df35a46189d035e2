"""What a plan file says: which fields of whom would become what, without a value anybody could read.

A plan is made by ``reconcile --plan-out`` and carried out by ``--apply`` only where the same is still to be done.
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
    """Whose plan it is and when it was made (ms). ``counts``: class -> how many differences there were in all."""

    portal: str
    account: str
    mode: str
    fields_version: str
    made_ms: int
    counts: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The first lines of the file."""
        return {
            "version": VERSION,
            "made_ms": self.made_ms,
            "pins": {"portal": self.portal, "account": self.account, "mode": self.mode},
            "fields_version": self.fields_version,
            "counts": dict(self.counts),
        }


@dataclass(frozen=True, slots=True)
class FieldStep:
    """One field that would be written: on which side, and hashes of what it holds and of what it would hold."""

    writes: Side
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One difference to be repaired. ``sealed``: its values, for whoever holds the key (base64)."""

    kind: DifferenceClass
    key: str
    hubspot_id: str
    stripe_id: str
    steps: Mapping[str, FieldStep]
    sealed: str = field(default="", compare=False)

    def as_json(self) -> dict[str, object]:
        """One line of the file."""
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
    """The head of a file. Raises ``ConfigError``: it is no plan, or one of another version of the format."""
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
    """A line of a file whose digest is right."""
    data = json.loads(text)
    steps = {
        name: FieldStep(Side(step["writes"]), step["from"], step["to"]) for name, step in sorted(data["fields"].items())
    }
    ids = data["key"], data["hubspot_id"], data["stripe_id"]
    return PlanItem(DifferenceClass(data["class"]), *ids, steps, data["sealed"])


def check_header(head: PlanHeader, now: PlanHeader) -> list[str]:
    """Why a plan may not be carried out here, in words: other accounts, another field map."""
    problems = [
        f"the plan is for {what} {planned or '(unknown)'}, this database belongs to {ours or '(unknown)'}"
        for what, planned, ours in (
            ("HubSpot portal", head.portal, now.portal),
            ("Stripe account", head.account, now.account),
            ("Stripe mode", head.mode, now.mode),
        )
        if planned != ours
    ]
    if head.fields_version != now.fields_version:
        problems.append("the field map was changed since the plan was made: make it again with --plan-out")
    return problems


def propose(difference: Difference, hashed: Hash) -> PlanItem:
    """What is to be done about a difference, in hashes."""
    steps = {}
    for name, value in sorted(difference.fields.items()):
        if value.writes:
            side = Side(value.writes)
            before = value.stripe if side is Side.STRIPE else value.hubspot
            ends = (_hash(hashed, difference.key, name, side, text) for text in (before, value.after))
            steps[name] = FieldStep(side, *ends)
    return PlanItem(difference.kind, difference.key, difference.hubspot_id, difference.stripe_id, steps)


def values_of(difference: Difference) -> dict[str, list[str]]:
    """Field -> [HubSpot's value, Stripe's, what would be written]: what an item seals."""
    return {name: [value.hubspot, value.stripe, value.after] for name, value in sorted(difference.fields.items())}


def _hash(hashed: Hash, key: str, name: str, side: Side, value: str) -> str:
    """Bound to its place, so that the same value in two places cannot be told to be the same."""
    return hashed(json.dumps(["plan", key, name, str(side), value]))


@dataclass(frozen=True, slots=True)
class Deviation:
    """What is no longer as planned of one key. ``fields``: those that changed meanwhile, in order."""

    key: str
    kinds: tuple[DifferenceClass, ...]
    fields: tuple[str, ...]


def find_deviation(planned: Iterable[PlanItem], now: Iterable[Difference], hashed: Hash) -> Deviation | None:
    """Whether all that would now be done about a key is what was planned, no more and no less; None: it is."""
    planned = list(planned)
    fresh = [propose(difference, hashed) for difference in now if difference.kind in ACTIONABLE]
    then, today = ({_name(item): item for item in items} for items in (planned, fresh))
    if then == today:
        return None
    fields = set()
    for name in then.keys() | today.keys():
        old, new = (dict(items[name].steps) if name in items else {} for items in (then, today))
        fields |= {f for f in old.keys() | new.keys() if old.get(f) != new.get(f)}
    return Deviation(planned[0].key, tuple(sorted({item.kind for item in planned})), tuple(sorted(fields)))


def _name(item: PlanItem) -> tuple[DifferenceClass, str, str, str]:
    return item.kind, item.key, item.hubspot_id, item.stripe_id
