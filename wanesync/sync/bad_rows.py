"""A batch that cannot be committed is halved until the item at fault is found (docs/correctness.md#bad-rows)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from wanesync.core.errors import DatabaseRefused, DatabaseUnavailable, DecryptionFailed
from wanesync.core.jobs import DeadClass, JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.store.database import Tx

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_halves(
    items: Sequence[_T],
    work: Callable[[Sequence[_T]], list[_R]],
    set_aside: Callable[[_T, Exception], list[_R]],
) -> list[_R]:
    """Do the work for all items at once; if it fails, for each half by itself, and set aside an item that fails alone.

    ``work`` must leave nothing behind when it raises (a savepoint). Raises ``DatabaseUnavailable``.
    """
    try:
        return work(items)
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - one bad item must not affect the others
        if len(items) < 2:
            return [result for item in items for result in set_aside(item, error)]
    middle = len(items) // 2
    return [*in_halves(items[:middle], work, set_aside), *in_halves(items[middle:], work, set_aside)]


def find_fault(error: Exception) -> DeadClass | None:
    """Return why a job that fails with this error can never succeed as it is; None if another attempt may."""
    if isinstance(error, DecryptionFailed):
        return DeadClass.DAMAGED
    # Python's own errors for text that is no text, and for a number that no column holds.
    if isinstance(error, DatabaseRefused | UnicodeError | OverflowError):
        return DeadClass.UNSTORABLE
    return None


def note_damaged(tx: Tx, error: DecryptionFailed) -> None:
    """Note that our copy of a record cannot be decrypted, and queue a read, which replaces it; else do nothing."""
    side, _, record_id = error.row.partition(":")
    if error.table == "records" and side in tuple(Side):
        tx.records.note_damaged(Side(side), record_id, str(error))
        tx.jobs.put(JobRequest(Side(side), JobKind.READ, record_id, Priority.LIVE_BULK))
