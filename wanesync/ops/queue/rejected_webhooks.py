"""Webhooks set aside: parts of a signed request that could not be understood, and were stored as they came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wanesync.store.database import Store
    from wanesync.store.tables.events import RejectedRow


@dataclass(frozen=True, slots=True)
class RejectedList:
    """The newest webhooks set aside, and how many there are in all."""

    rows: Sequence[RejectedRow]
    total: int


def list_rejected(store: Store, limit: int) -> RejectedList:
    """List the webhooks set aside, the newest first."""
    with store.reading() as tx:
        return RejectedList(tx.rejected.list(limit), tx.rejected.count())
