"""The order of Stripe events: which of a customer's unread events may replace our copy without a read.

See docs/correctness.md#stripe-order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from wanesync.core.model import Event, Record, StoredRecord
from wanesync.core.ports import Timing

MS_PER_SECOND = 1000
"""Stripe's ``created`` has whole seconds (docs.stripe.com/api/events/object)."""


MAX_COPY_LAG_MS = 30_000
"""How long, in ms, a read may show a contact without a change that an event has reported. After it the event counts as
covered: HubSpot's two times may differ for good."""


MAX_LEAD_MS = 60_000
"""How far the clock that stamps answers may be ahead of ours, in ms, and be believed (a larger error is an alarm)."""


def bound_future(timing: Timing, now_ms: int) -> Timing:
    """Return the interval in which a copy was current; one that lies in the future begins in the past.

    Otherwise every event up to then would count as older than the copy; now each of them costs a read.
    """
    if timing.from_ms <= now_ms + MAX_LEAD_MS:
        return timing
    return Timing(now_ms - MAX_LEAD_MS, timing.to_ms)


def is_newer_than_copy(occurred_ms: int, received_ms: int, modified_ms: int, now_ms: int) -> bool:
    """Return whether a HubSpot event reports a change that our copy of the contact does not hold yet.

    ``modified_ms``: the copy's; both it and ``occurred_ms`` are HubSpot's times (docs/correctness.md#lost-updates).
    """
    return occurred_ms > modified_ms and now_ms - received_ms < MAX_COPY_LAG_MS


@dataclass(slots=True)
class EventsReading:
    """What a customer's unread events amount to.

    ``store``: the object to store as the newest copy, current at ``at_ms``. ``deleted``: the customer was deleted.
    ``needs_read``: the order is not certain, so that one read is needed.
    """

    store: Record | None = None
    at_ms: int = 0
    deleted: bool = False
    needs_read: bool = False


def read_stripe_events(
    stored: StoredRecord | None, events: Sequence[Event], answered: Collection[str]
) -> EventsReading:
    """Return the newest usable object of a customer's unread events, if their order is certain.

    ``stored``: our copy. ``answered``: idempotency keys of our writes whose answer is recorded. Stripe's events come in
    any order, and their times are whole seconds: an event's object is used only if the event is later than the interval
    of our copy and the only one in its second. Within the interval a read is needed; an earlier event is old.
    """
    reading = EventsReading()
    low, high = (stored.valid_from_ms // MS_PER_SECOND, stored.valid_to_ms // MS_PER_SECOND) if stored else (-1, -1)
    deleted = stored is not None and stored.deleted
    in_second = Counter(e.occurred_ms // MS_PER_SECOND for e in events if e.kind != "deleted")
    for event in sorted(events, key=lambda e: e.occurred_ms):
        second = event.occurred_ms // MS_PER_SECOND
        if event.kind == "deleted":
            deleted = reading.deleted = True
        elif deleted:
            continue
        elif second > high:
            if in_second[second] == 1 and event.record is not None:
                reading.store, reading.at_ms, low, high = event.record, second * MS_PER_SECOND, second, second
            else:
                reading.needs_read = True
        elif second >= low and not (event.request_key and event.request_key in answered):
            reading.needs_read = True
    if reading.deleted:
        reading.needs_read = False
    return reading
