"""What events are worth: the order of Stripe's, and whether an observed value got lost (CORRECTNESS section 4)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from wanesync.core.model import Event, Record, StoredRecord

MAX_OWN_WRITE_AGE_MS = 600_000
MS_PER_SECOND = 1000


@dataclass(slots=True)
class EventsReading:
    """What unread Stripe events come to: a copy to store, a deletion, or the wish for one read."""

    store: Record | None = None
    at_ms: int = 0
    deleted: bool = False
    needs_read: bool = False


def read_stripe_events(
    stored: StoredRecord | None, events: Sequence[Event], answered: Collection[str]
) -> EventsReading:
    """Take the newest usable object of a customer's unread events, if their order is beyond doubt.

    ``seen``: our copy. ``answered``: keys of own writes whose answer is recorded. Stripe's ``created``
    has whole seconds and its events come in any order: an event gives its object only above the
    interval of our copy and alone in its second; inside the interval one read tells; below it is old.
    """
    out = EventsReading()
    low, high = (stored.valid_from_ms // MS_PER_SECOND, stored.valid_to_ms // MS_PER_SECOND) if stored else (-1, -1)
    gone = stored is not None and stored.deleted
    for event in sorted(events, key=lambda e: e.occurred_ms):
        second = event.occurred_ms // MS_PER_SECOND
        if event.kind == "deleted":
            gone = out.deleted = True
        elif gone:
            continue
        elif second > high:
            alone = not any(
                e is not event and e.occurred_ms // MS_PER_SECOND == second and e.kind != "deleted" for e in events
            )
            if alone and event.record is not None:
                out.store, out.at_ms, low, high = event.record, second * MS_PER_SECOND, second, second
            else:
                out.needs_read = True
        elif second >= low and not (event.request_key and event.request_key in answered):
            out.needs_read = True
    if out.deleted:
        out.needs_read = False
    return out
