"""What tests of the limits share."""

from __future__ import annotations

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side
from wanesync.store import Store

DAY_MS = 86_400_000


def rate_refusal(side: Side, scope: str) -> CallError:
    """A 429 that names a scope."""
    return CallError(side, Failure.RATE_LIMITED, "rate_limit", status=429, scope=scope)


def effective(store: Store, scope: str) -> float:
    """What is handed out of a scope."""
    with store.reading() as tx:
        return tx.rates.all()[scope].effective


def journalled(store: Store) -> list[tuple[str, object, object]]:
    """(kind, scope, to) of every line of the journal, the oldest first."""
    with store.reading() as tx:
        return [(row.kind, row.data["scope"], row.data.get("to")) for row in reversed(tx.journal.latest(100))]
