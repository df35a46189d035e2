"""Guards of bulk runs: they stop a run before anything is queued (docs/correctness.md#bulk-guards)."""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.core.errors import GuardError
from wanesync.core.model import Side, WriteKind
from wanesync.core.plan import Action, Plan

MAX_OVERWRITE_SHARE = 0.3
"""Of the active links: how many people may lose a value in one run without a confirmation."""
MIN_COUNTED_LINKS = 50
"""Links the share is taken of at least, so that a small installation is not stopped by a few changes."""


@dataclass(slots=True)
class Volume:
    """What a run would do, in people.

    ``links``: active links before the run. ``link_only``: pairs that are linked without a write. ``overwritten``:
    linked people who have a value replaced by another or by a blank (``cleared``). ``fills``: those who only gain
    values. ``addresses``: e-mail addresses that change, to which invoices are sent. ``writes_hubspot``: contacts
    written, whose modification dates change. ``writes_stripe``: customers written, each a ``customer.updated`` event.
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
        """Return the creations on both sides."""
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
        """Count people to be created on a side; a negative number takes them off again."""
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
    """Raise ``GuardError`` with the numbers and what to do if too many people would lose values."""
    allowed = int(max(volume.links, MIN_COUNTED_LINKS) * MAX_OVERWRITE_SHARE)
    if volume.overwritten > allowed:
        raise GuardError(
            f"{volume.overwritten} linked people would have values overwritten, of {volume.links} linked; more than "
            f"{allowed} must be confirmed: look at wanesync diff, then run it again with --force {volume.overwritten}"
        )


def check_listing(side: Side, linked: int, listed: int) -> None:
    """Raise ``GuardError`` if a side listed fewer than half of its linked records."""
    if linked and listed * 2 < linked:
        raise GuardError(
            f"{side} listed only {listed} of the {linked} records that are linked: is it the right account, and is "
            "it complete? Nothing was written"
        )


def check_creations(volume: Volume, max_creates: int | None) -> None:
    """Raise ``GuardError`` with the numbers if there are more creations than were allowed."""
    if max_creates is not None and volume.created > max_creates:
        people = "1 person" if volume.created == 1 else f"{volume.created} people"
        raise GuardError(
            f"{people} would be created (in Stripe {volume.created_customers}, in HubSpot "
            f"{volume.created_contacts}), more than --max-creates {max_creates}: look at wanesync diff, then "
            f"give --max-creates {volume.created}. Nothing was written"
        )
