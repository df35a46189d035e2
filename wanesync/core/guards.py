"""Guards of bulk runs: percentages and completeness (CORRECTNESS section 10). They stop before anything is queued."""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.core.action import Plan
from wanesync.core.errors import GuardError
from wanesync.core.model import Side, WriteKind

OVERWRITE_SHARE = 0.3
LEAST_LINKS = 50


@dataclass(slots=True)
class Volume:
    """What a run would do. ``links``: active links before it; ``overwritten``: linked people who lose a value."""

    links: int = 0
    overwritten: int = 0
    created: int = 0

    def add(self, plan: Plan) -> None:
        """Count one plan."""
        for action in plan.actions.values():
            if action.kind is WriteKind.CREATE:
                self.created += 1
            elif any(change.before for change in action.changes.values()):
                self.overwritten += 1


def check_volume(volume: Volume) -> None:
    """Too many people would lose values: raises ``GuardError`` with the numbers and the way out."""
    allowed = int(max(volume.links, LEAST_LINKS) * OVERWRITE_SHARE)
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
