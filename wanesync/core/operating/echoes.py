"""Echoes: which write of ours caused which webhook, as far as it shows (docs/correctness.md#echoes).

Stripe names the idempotency key of the request that caused an event. HubSpot names only that a program made the change,
so there a write is recognised by the value that it set and by its time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from wanesync.core.fields import part_equals
from wanesync.core.model import Event, PendingWrite, Side, WriteKind

USER_SOURCE = "user"
"""How the source of a HubSpot change begins that a user made, or another program."""
BEFORE_MS = 5_000
"""How far HubSpot's clock may be behind ours: an event is never earlier than its write by more; our choice."""
AFTER_MS = 600_000
"""How late a write that got no answer may take effect (docs/correctness.md#lost-updates); a later event is no echo."""


class Basis(StrEnum):
    """By what an echo is recognised."""

    KEY = "key"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Cause:
    """The write that caused an event, and by what that was recognised."""

    write_id: str
    basis: Basis


def find_cause(event: Event, writes: Iterable[PendingWrite]) -> Cause | None:
    """Return the write of ours that caused an event; None for an event of others, or one that no known write fits."""
    sent = [write for write in writes if write.side is event.side and write.sent_ms]
    if event.request_key:
        named = next((write for write in sent if write.idempotency_key == event.request_key), None)
        return Cause(named.id, Basis.KEY) if named else None
    if event.side is Side.STRIPE or event.source.startswith(USER_SOURCE):
        return None
    fitting = [write for write in sent if _fits(event, write)]
    newest = max(fitting, key=lambda write: write.sent_ms, default=None)
    return Cause(newest.id, Basis.VALUE) if newest else None


def _fits(event: Event, write: PendingWrite) -> bool:
    is_near = -BEFORE_MS <= event.occurred_ms - write.sent_ms <= AFTER_MS
    if not is_near or event.record_id != write.target_id:
        return False
    if event.kind == "created":
        return write.kind is WriteKind.CREATE
    return bool(event.values) and all(
        (change := write.changes.get(name.partition("/")[0])) is not None and part_equals(name, change.after, value)
        for name, value in event.values.items()
    )
