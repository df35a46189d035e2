"""Guards of bulk runs: percentages and completeness (CORRECTNESS section 10). They stop before anything is queued."""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.core.errors import GuardError
from wanesync.core.model import Side, WriteKind
from wanesync.core.plan import Action, Plan

MAX_OVERWRITE_SHARE = 0.3
MIN_COUNTED_LINKS = 50


@dataclass(slots=True)
class Volume:
    """What a run would do, in people. ``links``: active links before it.

    ``link_only``: pairs to be linked of whom nothing is written. ``overwritten``: linked people who lose a value to
    another or to a blank (``cleared``). ``fills``: those who only gain values. ``addresses``: e-mails that change,
    which is where invoices go. ``writes_hubspot``: contacts written, whose modification dates move; ``writes_stripe``:
    customers written, each a ``customer.updated`` event.
    """

    links: int = 0
    link_only: int = 0
    fills: int = 0
    overwritten: int = 0
    cleared: int = 0
    created_customers: int = 0
    created_contacts: int = 0
    addresses: int = 0
    writes_hubspot: int = 0
    writes_stripe: int = 0

    @property
    def created(self) -> int:
        """Creations on both sides."""
        return self.created_customers + self.created_contacts

    def add(self, plan: Plan) -> None:
        """Count one plan."""
        if plan.linked and not plan.actions:
            self.link_only += len(plan.linked)
        for action in plan.actions.values():
            if action.kind is WriteKind.CREATE:
                self.add_creation(action.side, 1)
            else:
                self._add_update(action)

    def add_creation(self, side: Side, people: int) -> None:
        """Count people to be created on a side; a negative number takes them back."""
        if side is Side.STRIPE:
            self.created_customers += people
        else:
            self.created_contacts += people

    def _add_update(self, action: Action) -> None:
        changes = action.changes
        losing = [change for change in changes.values() if change.before]
        self.overwritten += bool(losing)
        self.cleared += any(not change.after for change in losing)
        self.fills += not losing
        self.addresses += "email" in changes and bool(changes["email"].before)
        if action.side is Side.STRIPE:
            self.writes_stripe += 1
        else:
            self.writes_hubspot += 1


def check_volume(volume: Volume) -> None:
    """Too many people would lose values: raises ``GuardError`` with the numbers and the way out."""
    allowed = int(max(volume.links, MIN_COUNTED_LINKS) * MAX_OVERWRITE_SHARE)
    if volume.overwritten > allowed:
        raise GuardError(
            f"{volume.overwritten} linked people would have values overwritten, of {volume.links} linked; more than "
            f"{allowed} needs your word: look at wanesync diff, then run it again with --force {volume.overwritten}"
        )


def check_listing(side: Side, linked: int, listed: int) -> None:
    """A side that shows fewer than half of its linked records is not believed: raises ``GuardError``."""
    if linked and listed * 2 < linked:
        raise GuardError(
            f"{side} listed only {listed} of the {linked} records that are linked: is it the right account, and is "
            "it complete? Nothing was written"
        )


def check_creations(volume: Volume, most: int | None) -> None:
    """More creations than were allowed: raises ``GuardError`` with the number."""
    if most is not None and volume.created > most:
        raise GuardError(
            f"{volume.created} people would be created ({volume.created_customers} customers, "
            f"{volume.created_contacts} contacts), more than --max-creates {most}: look at wanesync diff, then give "
            f"--max-creates {volume.created}. Nothing was written"
        )
