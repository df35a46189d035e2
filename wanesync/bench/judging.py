"""``bench judge``: the time to judge the events of one record that a script touches every moment."""

from __future__ import annotations

import time
from dataclasses import replace

from wanesync.bench import BenchFailed
from wanesync.core.evidence.lost_updates import judge_events
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.model import Change, Event, PendingWrite, Record, Side, StoredRecord, WriteKind, WriteResult

NOW_MS = 1_700_000_000_000
INTERVAL_MS = 50
"""Time between two events: 2,000 of them lie within the 10 minutes in which a write of ours may matter."""
USERS_SHARE = 2
"""Every second event is a user's, the others are of an app and may be ours."""


def measure(events: int, writes: int) -> dict[str, object]:
    """Judge ``events`` events of one contact beside ``writes`` updates of ours, and a tenth of the events.

    ``judge_s``: the time for all. ``growth``: how many times that of a tenth. Raises BenchFailed.
    """
    few_s, many_s = (_judge(max(1, events // part), writes) for part in (10, 1))
    return {"events": events, "writes": writes, "judge_s": round(many_s, 3), "growth": round(many_s / few_s, 1)}


def _judge(events: int, writes: int) -> float:
    record = StoredRecord(Record(Side.HUBSPOT, "1", {"city": "the last one"}), 0, 0, 0)
    window = [
        Event(
            str(number),
            Side.HUBSPOT,
            "updated",
            "1",
            NOW_MS + number * INTERVAL_MS,
            {"city": f"City {number}"},
            source="user:CRM_UI/1" if number % USERS_SHARE else "app:INTEGRATION/1",
            received_ms=NOW_MS + number * INTERVAL_MS,
            read=True,
        )
        for number in range(events)
    ]
    own = PendingWrite("", Side.HUBSPOT, WriteKind.UPDATE, "contact:1", "cus_1", "1", "", "{}", {})
    step = max(1, events // writes)
    sent = [
        replace(
            own,
            id=str(number),
            changes={"city": Change("old", f"City {number * step}", "old")},
            sent_ms=NOW_MS + number * step * INTERVAL_MS,
            result=WriteResult.OK if number % USERS_SHARE else WriteResult.LOST,
        )
        for number in range(writes)
    ]
    began_s = time.perf_counter()
    outcome = judge_events(record, window, sent, FieldMap(DEFAULT_FIELDS), NOW_MS + events * INTERVAL_MS)
    took_s = time.perf_counter() - began_s
    if len(outcome.judged) != events:
        raise BenchFailed(f"{len(outcome.judged)} of {events} events were judged")
    return took_s
