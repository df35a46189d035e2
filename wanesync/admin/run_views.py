"""Reconcile runs as pages and the API show them, and what both do with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wanesync.admin.security.masking import Kind
from wanesync.admin.security.visitors import Visitor
from wanesync.admin.services import AdminServices
from wanesync.core.diff.bulk_guards import MAX_OVERWRITE_SHARE, MIN_COUNTED_LINKS
from wanesync.core.diff.difference import SIDE_NAMES, DifferenceClass
from wanesync.core.fields import FieldMap
from wanesync.core.model import Side
from wanesync.core.normalize import NAME_PARTS
from wanesync.core.operating.reconcile_runs import Run
from wanesync.ops.reconcile.runs import PlannedChange, read_changes
from wanesync.reconcile.plan_files import PlanReader
from wanesync.reconcile.session import DEFAULT_MAX_CREATIONS, Step

STEPS: Mapping[str, str] = {
    Step.CONTACTS_LISTED: "HubSpot contacts listed",
    Step.CUSTOMERS_LISTED: "Stripe customers listed",
    Step.RECORDS_COMPARED: "records compared",
    Step.PLAN_CHECKED: "people and pairs checked against the plan",
}
"""Step -> its label, in the order in which they run."""
KINDS = {"email": Kind.EMAIL, "phone": Kind.PHONE, "name": Kind.NAME}


@dataclass(frozen=True, slots=True)
class StepView:
    """A step of a run at work. ``share``: of 100, None while the total is unknown."""

    label: str
    done: int
    total: int | None

    @property
    def share(self) -> int | None:
        """Return how much of it is done, in percent."""
        return min(100, self.done * 100 // self.total) if self.total else None


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field of a difference in masked values: before and after where it is written, else both sides."""

    name: str
    writes: str
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class Confirmations:
    """What an application must confirm by a number, 0 for nothing: people overwritten, people created."""

    overwritten: int
    created: int


def list_steps(run: Run) -> list[StepView]:
    """Return the steps that a run has begun, in their order."""
    progress = run.facts.progress
    return [StepView(label, *progress[step]) for step, label in STEPS.items() if step in progress]


def list_waits(run: Run) -> list[str]:
    """Return what the listings of a run at work wait for, a line for each side."""
    return [f"{SIDE_NAMES[Side(side)]} waits: {reason}" for side, reason in sorted(run.waits_for.items())]


def find_confirmations(run: Run) -> Confirmations:
    """Return the numbers that the guards will ask for (docs/correctness.md#bulk-guards)."""
    volume = run.facts.volume
    overwritten = volume.get("overwritten", 0)
    created = volume.get("created_customers", 0) + volume.get("created_contacts", 0)
    allowed = int(max(volume.get("links", 0), MIN_COUNTED_LINKS) * MAX_OVERWRITE_SHARE)
    return Confirmations(overwritten if overwritten > allowed else 0, created if created > DEFAULT_MAX_CREATIONS else 0)


def read_page(
    services: AdminServices, run_id: str, kind: DifferenceClass, after: str, limit: int
) -> tuple[list[PlannedChange], str]:
    """Return differences of one class, and the place behind them, "" at the end."""
    reader = PlanReader(services.store, FieldMap(services.config.specs).version)
    found = read_changes(reader, run_id, kind, after, limit + 1)
    return found[:limit], found[limit - 1].place if len(found) > limit else ""


def show_fields(visitor: Visitor, change: PlannedChange) -> list[FieldView]:
    """Return the fields of a difference with their values masked."""

    def masked(name: str, value: str) -> str:
        kind = KINDS.get(name, Kind.TEXT)
        return " ".join(visitor.mask(kind, part) for part in value.split(NAME_PARTS) if part)

    shown = []
    for one in change.fields:
        hubspot, stripe = masked(one.name, one.hubspot), masked(one.name, one.stripe)
        if one.writes:
            before = stripe if one.writes == Side.STRIPE else hubspot
            shown.append(FieldView(one.name, one.writes, before, masked(one.name, one.after), one.why))
        else:
            shown.append(FieldView(one.name, "", hubspot, stripe, one.why))
    return shown


def start_process(services: AdminServices, run_id: str) -> bool:
    """Start the process of a run that waits; False where this service cannot, so that a command must."""
    return services.reconciles is not None and services.reconciles.start(run_id)


def find_missing(services: AdminServices) -> list[str]:
    """Return the API keys that the configuration of this service does not name."""
    return services.reconciles.missing_keys() if services.reconciles else ["hubspot.access_token", "stripe.api_key"]
