"""How many jobs wait and run, by lane, kind and priority."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wanesync.core.jobs import JobKind
    from wanesync.core.model import Side
    from wanesync.store.database import Store
    from wanesync.store.tables.jobs import Depth


def list_jobs(store: Store, side: Side | None = None, kind: JobKind | None = None) -> list[Depth]:
    """Count ready and running jobs by lane, kind and priority, of one side or kind or of all."""
    with store.reading() as tx:
        return [row for row in tx.jobs.depth() if side in (None, row["lane"]) and kind in (None, row["kind"])]
