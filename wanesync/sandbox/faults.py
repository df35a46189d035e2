"""What may go wrong between a client and a stand-in, as probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities between 0 and 1, but for ``deliveries`` (a number) and ``reorder_ms`` (milliseconds)."""

    deliveries: int = 1  # each webhook is delivered so many times
    duplicate: float = 0.0  # a webhook is delivered once more
    reorder_ms: int = 0  # each webhook is delayed by up to this much, at random, so order is lost
    drop: float = 0.0  # a webhook is never delivered
    retry_fail: float = 0.0  # accepted and without effect
    lost_answer: float = 0.0  # a write is carried out, its answer never arrives
    error_503: float = 0.0  # refused before any effect
    error_500: float = 0.0  # Stripe: a stored 500; HubSpot: 502 after the effect of a create
    lock: float = 0.0  # Stripe: 429 lock_timeout


PROFILES: Mapping[str, Faults] = {
    "none": Faults(),
    "webhooks": Faults(duplicate=0.2, reorder_ms=800),
    "rough": Faults(
        duplicate=0.1, reorder_ms=500, drop=0.005, lost_answer=0.02, error_503=0.02, error_500=0.01, lock=0.01
    ),
    "lossy": Faults(drop=0.2),
}


def parse(mapping: Mapping[str, object]) -> Faults:
    """Faults from names and numbers, as the control door gets them.

    Raises ValueError that lists every unknown name and every value out of range.
    """
    known = {field.name for field in fields(Faults)}
    problems = [f"unknown fault {name!r}" for name in mapping if name not in known]
    numbers = {"reorder_ms": 0, "deliveries": 1}
    least = dict(numbers)
    chances: dict[str, float] = {}
    for name, value in mapping.items():
        if name not in known:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            problems.append(f"{name}: a number is wanted")
        elif name in numbers:
            numbers[name] = int(value)
            if value != numbers[name] or value < least[name]:
                problems.append(f"{name}: a whole number, {least[name]} or more, is wanted")
        elif 0 <= value <= 1:
            chances[name] = float(value)
        else:
            problems.append(f"{name}: a probability between 0 and 1 is wanted")
    if problems:
        raise ValueError("; ".join(problems) + f" (faults are: {', '.join(sorted(known))})")
    return Faults(reorder_ms=numbers["reorder_ms"], deliveries=numbers["deliveries"], **chances)
