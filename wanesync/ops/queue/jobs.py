"""Jobs that wait and run: how many, and those that an operator wants tried at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from wanesync.core.errors import ConfigError
from wanesync.ops.queue.bulk_runs import MAX_MARKED

if TYPE_CHECKING:
    from wanesync.core.jobs import JobKind
    from wanesync.core.model import Side
    from wanesync.core.operating.operators import Operator
    from wanesync.store.database import Store, Tx
    from wanesync.store.tables.jobs import Depth


def list_jobs(store: Store, side: Side | None = None, kind: JobKind | None = None) -> list[Depth]:
    """Count ready and running jobs by lane, kind and priority, of one side or kind or of all."""
    with store.reading() as tx:
        return [row for row in tx.jobs.depth() if side in (None, row["lane"]) and kind in (None, row["kind"])]


def try_now(store: Store, ids: Collection[str], operator: Operator) -> int:
    """Make jobs due that wait after a failed attempt. Returns how many of the ids did.

    A wait that a vendor asked for, and one for a condition, goes on. Raises ConfigError for none or too many ids.
    """
    if not 0 < len(ids) <= MAX_MARKED:
        raise ConfigError([f"name the jobs by their ids, 1 to {MAX_MARKED:,} of them"])

    def hurry(tx: Tx) -> int:
        made_due = tx.dead_letters.end_backoffs(ids)
        if made_due:
            tx.journal.add("tried at once", None, "", "", {"jobs": len(made_due)}, operator=operator)
            subject = min(made_due) if len(made_due) == 1 else f"{len(made_due)} jobs"
            tx.audit.add(operator, "jobs.try_now", subject, None, {"jobs": len(made_due)})
        return len(made_due)

    return store.run(hurry)
