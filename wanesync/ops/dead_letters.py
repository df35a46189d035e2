"""Dead letters: jobs that were given up, chosen and tried again by an operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from wanesync.core.errors import NotFound

if TYPE_CHECKING:
    from wanesync.store.database import Store
    from wanesync.store.tables.jobs import DeadLetter, JobFilter

UNLIMITED = 2**31 - 1
"""The largest number of rows that SQLite and Postgres both take as a limit."""
CHUNK_JOBS = 200
"""Jobs revived in one transaction: it stays short, and the workers go on in between."""


def choose_dead_letters(store: Store, ids: Sequence[str], which: JobFilter) -> list[DeadLetter]:
    """Return the dead letters of some ids, or without ids all that ``which`` describes.

    Raises NotFound for an id that no dead letter has.
    """
    with store.reading() as tx:
        found = tx.jobs.dead_letters(which, UNLIMITED)
    if not ids:
        return found
    wanted = set(ids)
    chosen = [letter for letter in found if letter.job.id in wanted]
    missing = sorted(wanted - {letter.job.id for letter in chosen})
    if missing:
        raise NotFound(f"no dead job has the id {missing[0]}: wanesync jobs --dead lists them; nothing was changed")
    return chosen


def count_classes(letters: Sequence[DeadLetter]) -> dict[str, int]:
    """Count dead letters by class, in the order of the classes' names."""
    return dict(sorted(Counter(letter.job.dead_class for letter in letters).items()))


def retry_dead_letters(store: Store, chosen: Sequence[DeadLetter], progress: Callable[[int], object] = int) -> int:
    """Make dead letters ready again, in short transactions. Returns how many were still dead letters.

    ``progress`` is called with the number of jobs of each transaction.
    """
    revived = 0
    for first in range(0, len(chosen), CHUNK_JOBS):
        ids = [letter.job.id for letter in chosen[first : first + CHUNK_JOBS]]
        revived += store.run(lambda tx, ids=ids: tx.jobs.retry(ids))  # type: ignore[misc] # binds the loop's value
        progress(len(ids))
    if revived:
        data = {"jobs": revived, "classes": dict(Counter(letter.job.dead_class for letter in chosen))}
        store.run(lambda tx: tx.journal.add("retried", None, "", "", data))
    return revived
