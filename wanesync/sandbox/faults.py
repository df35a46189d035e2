"""The faults a stand-in injects, as probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities between 0 and 1, except ``deliveries`` (a count) and what is in milliseconds (``…_ms``)."""

    deliveries: int = 1  # how often each webhook is delivered
    duplicate: float = 0.0  # a webhook is delivered once more
    reorder_ms: int = 0  # each webhook is delayed by a random time up to this
    drop: float = 0.0  # a webhook is never delivered
    lost_answer: float = 0.0  # a write takes effect, its response is lost
    error_503: float = 0.0  # refused before any effect
    error_500: float = 0.0  # Stripe: a 500 stored under the idempotency key; HubSpot: 502 after a create took effect
    lock: float = 0.0  # Stripe: 429 lock_timeout
    read_lag_ms: int = 0  # HubSpot: reads do not find a new contact for a random time up to this
    empty_answer: float = 0.0  # a record or batch is answered with 200 and an empty object
    partial_answer: float = 0.0  # 200 without the id, a member, a property, or one of the results
    odd_source: float = 0.0  # HubSpot: the sourceId of an event is very long, or holds U+0000 or half an emoji
    refused_repeat: float = 0.0  # HubSpot: an event whose uuid it has is refused (409, 400 or 207), not swallowed
    object_events: float = 0.0  # HubSpot: an event comes in the object.* shape of project apps, too
    endless_list: float = 0.0  # HubSpot: a page of a listing names a next one, which is empty, under an ever-new cursor
    gone_cursor: float = 0.0  # Stripe: a list is refused (400) whose starting_after or ending_before was deleted
    huge_answer: float = 0.0  # over HTTP: an answer of 1 GB
    gzip_bomb: float = 0.0  # over HTTP: an answer of 1 MB that unpacks to 1 GB


PROFILES: Mapping[str, Faults] = {
    "none": Faults(),
    "webhooks": Faults(duplicate=0.2, reorder_ms=800),
    "rough": Faults(
        duplicate=0.1, reorder_ms=500, drop=0.005, lost_answer=0.02, error_503=0.02, error_500=0.01, lock=0.01
    ),
    "lossy": Faults(drop=0.2),
}


def parse(mapping: Mapping[str, object]) -> Faults:
    """Read faults from names and numbers, as the control endpoint receives them.

    Raises ValueError with every unknown name and every value out of range.
    """
    known = {field.name for field in fields(Faults)}
    problems = [f"unknown fault {name!r}" for name in mapping if name not in known]
    numbers = {"reorder_ms": 0, "read_lag_ms": 0, "deliveries": 1}
    least = dict(numbers)
    chances: dict[str, float] = {}
    for name, value in mapping.items():
        if name not in known:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            problems.append(f"{name}: expected a number")
        elif name in numbers:
            numbers[name] = int(value)
            if value != numbers[name] or value < least[name]:
                problems.append(f"{name}: expected an integer of at least {least[name]}")
        elif 0 <= value <= 1:
            chances[name] = float(value)
        else:
            problems.append(f"{name}: expected a probability between 0 and 1")
    if problems:
        raise ValueError("; ".join(problems) + f" (faults are: {', '.join(sorted(known))})")
    return Faults(**numbers, **chances)  # type: ignore[arg-type] # whole numbers and probabilities by name
