"""Conflicts: values that did not win and are kept until an operator decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wanesync.core.model import Side
    from wanesync.store.database import Store
    from wanesync.store.tables.conflicts import ConflictRow


@dataclass(frozen=True, slots=True)
class ConflictList:
    """The newest open conflicts of a side and a field, and how many are open in all.

    ``people``: how many people's two sides differ, as ``status`` and ``diff`` count them. ``kept``: values that lost.
    """

    rows: Sequence[ConflictRow]
    total: int
    people: int
    kept: int


def list_conflicts(store: Store, side: Side | None, field: str, limit: int) -> ConflictList:
    """List open conflicts, the newest first. ``side`` None and ``field`` "" stand for all."""
    with store.reading() as tx:
        rows = tx.conflicts.list(side=side, field=field, limit=limit)
        return ConflictList(rows, tx.conflicts.count_open(), tx.conflicts.count_pairs(), tx.conflicts.count_kept())
