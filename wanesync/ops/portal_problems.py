"""Alarms for what the HubSpot account lacks, as the newest check found it (docs/correctness.md#start-checks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wanesync.sync.loader import read_portal_state

if TYPE_CHECKING:
    from wanesync.store.database import Tx


def find_portal_alarms(tx: Tx) -> list[str]:
    """Return a line for each thing the account lacks, with what mends it."""
    return [problem.text for problem in read_portal_state(tx).problems]
