"""A side that is away, refuses its key or has used up its day, under steady load: what waits, and how it comes back.

``python -m tests.bench.away`` plays every case for two hours of virtual time; ``--json FILE`` keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from unittest.mock import patch

import structlog

from tests.bench.town import LIMITS, Town, fall_silent, refuse, revoke_key
from wanesync.core.jobs import MAX_UNUSABLE_ANSWERS, Job, JobKind
from wanesync.core.model import Side
from wanesync.ops.status import read_status
from wanesync.store.tables.jobs import Jobs
from wanesync.worker.lane import Lane

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
WARM_UP_MS, COOL_DOWN_MS, REST_MS = 15_000, MINUTE_MS, 30 * MINUTE_MS
LOOK_MS = 50
SHARE = 1.07
CHAIN_S = 3.0  # what a single job takes: requests that follow one another, and the webhook between them
PURCHASES_S = 5.0
PROBE_AWAY_S, PROBE_PAUSED_S = 31.0, 61.0
BATCH = {(Side.HUBSPOT, kind): 100 for kind in JobKind} | {(Side.STRIPE, kind): 1 for kind in JobKind}
CASES = {
    "hubspot refuses connections": (Side.HUBSPOT, "refuse"),
    "stripe refuses connections": (Side.STRIPE, "refuse"),
    "hubspot falls silent": (Side.HUBSPOT, "silent"),
    "stripe falls silent": (Side.STRIPE, "silent"),
    "hubspot's key is revoked": (Side.HUBSPOT, "key"),
    "stripe's key is revoked": (Side.STRIPE, "key"),
    "hubspot's day is used up": (Side.HUBSPOT, "quota"),
}


@dataclass(frozen=True, slots=True)
class Absence:
    """What one absence came to.

    ``waited``: jobs of the side at its return, ``waited_purchases`` of them. ``first_write_s`` and ``purchases_s`` (all
    that waited are on their contacts) count from the return, ``drained_s`` from the first answer: until every job that
    waited is done. ``bound_s``: the requests of that time ÷ the limit. ``probes_per_min``: requests to the side while
    away. ``claims_per_min``, ``rounds_per_min``: jobs claimed, and transactions that looked for some, by lane, in the
    fullest minute of the absence. ``attempts``: the most that any job was counted. ``unequal``: people who are not the
    same on both sides at the end.
    """

    case: str
    hours: float
    changes: int
    waited: int
    waited_purchases: int
    alarms: Sequence[str]
    dead: int
    attempts: int
    asked_per_min: float
    rounds_per_min: dict[str, int]
    claims_per_min: dict[str, int]
    first_answer_s: float
    first_write_s: float
    purchases_s: float
    drained_s: float
    bound_s: float
    sent_s: float
    meanwhile_purchases_max_s: float
    rate_limited: int
    unequal: int
    paid: int
    landed: int


@dataclass
class Tally:
    """Rounds and claims per lane and minute."""

    town: Town

    def __post_init__(self) -> None:
        self.rounds: Counter[tuple[Side, int]] = Counter()
        self.claims: Counter[tuple[Side, int]] = Counter()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """While it lasts, every round of a lane and every claimed job counts."""
        fill, claim = Lane.fill, Jobs.claim

        def filled(lane: Lane, *args: object, **options: object) -> object:
            self.rounds[lane.side, self.town.clock.now // MINUTE_MS] += 1
            return fill(lane, *args, **options)  # type: ignore[arg-type] # passed on as they came

        def claimed(jobs: Jobs, lane: Side, *args: object, **options: object) -> list[Job]:
            found = claim(jobs, lane, *args, **options)  # type: ignore[arg-type] # passed on as they came
            self.claims[lane, self.town.clock.now // MINUTE_MS] += len(found)
            return found

        with patch.object(Lane, "fill", filled), patch.object(Jobs, "claim", claimed):
            yield

    def fullest(self, counts: Counter[tuple[Side, int]], from_ms: int, to_ms: int) -> dict[str, int]:
        """The fullest whole minute of each lane between two times."""
        minutes = range(-(-from_ms // MINUTE_MS), to_ms // MINUTE_MS)
        return {str(side): max((counts[side, minute] for minute in minutes), default=0) for side in Side}


@contextmanager
def trouble(town: Town, side: Side, kind: str) -> Iterator[None]:
    """The side is in trouble for as long as this lasts."""
    gate = town.hubspot.rate_limiter
    settings = gate.settings
    town.trouble |= (
        {side: {"refuse": refuse, "silent": fall_silent, "key": revoke_key}[kind]} if kind != "quota" else {}
    )
    if kind == "quota":
        gate.settings = replace(settings, daily_limit=1)
    try:
        yield
    finally:
        town.trouble.pop(side, None)
        gate.settings = settings


def measure(case: str, hours: float, between_ms: int, seed: int = 1) -> Absence:
    """Play one absence under a steady load, one change on each side every ``between_ms``."""
    town = Town(between_ms, random.Random(seed))
    tally = Tally(town)
    try:
        with tally.counting():
            return _play(case, town, tally, hours)
    finally:
        town.close()


# One figure after the other: splitting it would only hide what is counted from when.
def _play(case: str, town: Town, tally: Tally, hours: float) -> Absence:
    side, kind = CASES[case]
    between_ms, town.between_ms = town.between_ms, 1_000
    town.run(WARM_UP_MS)
    town.between_ms = between_ms
    town.buyers = list(town.living[Side.STRIPE])
    left_ms = town.clock.now
    with trouble(town, side, kind):
        town.run(int(hours * HOUR_MS))
        alarms = read_status(town.store).alarms
    back_ms = town.clock.now
    waiting = town.waiting(side)
    purchases = {payment for payment in town.paid if payment not in town.landed}
    while waiting.keys() & town.waiting(side).keys() and town.clock.now < back_ms + HOUR_MS:
        town.run(LOOK_MS)
    drained_ms = town.clock.now
    town.run(COOL_DOWN_MS)
    town.quiet = True
    quiet_ms = town.clock.now
    while town.clock.now < quiet_ms + REST_MS and not (town.clock.now > quiet_ms + COOL_DOWN_MS and town.at_rest()):
        town.run(MINUTE_MS)
    good = [r for r in town.requests if r.side is side and r.at_ms >= back_ms and r.status // 100 == 2]
    never_ms = back_ms + HOUR_MS
    first_ms = min((r.at_ms for r in good), default=never_ms)
    meanwhile = [
        town.landed[payment] - paid_ms
        for payment, paid_ms in town.paid.items()
        if town.landed.get(payment, back_ms) < back_ms
    ]
    calls = sum(-(-n // BATCH[side, kind]) for kind, n in Counter(waiting.values()).items())
    return Absence(
        case=case,
        hours=hours,
        changes=2 * town.turn,
        waited=len(waiting),
        waited_purchases=sum(kind is JobKind.PURCHASE for kind in waiting.values()),
        alarms=alarms,
        dead=town.dead(),
        attempts=town.most_attempts(),
        asked_per_min=round(
            sum(r.side is side and left_ms <= r.at_ms < back_ms for r in town.requests) / (60 * hours), 2
        ),
        rounds_per_min=tally.fullest(tally.rounds, left_ms + MINUTE_MS, back_ms),
        claims_per_min=tally.fullest(tally.claims, left_ms + MINUTE_MS, back_ms),
        first_answer_s=(first_ms - back_ms) / 1000,
        first_write_s=(min((r.at_ms for r in good if r.writes), default=never_ms) - back_ms) / 1000,
        purchases_s=(max((town.landed.get(p, never_ms) for p in purchases), default=back_ms) - back_ms) / 1000,
        drained_s=(drained_ms - first_ms) / 1000,
        bound_s=calls / LIMITS[side],
        sent_s=sum(r.at_ms <= drained_ms for r in good) / LIMITS[side],
        meanwhile_purchases_max_s=max(meanwhile, default=0) / 1000,
        rate_limited=sum(r.status == 429 and not left_ms <= r.at_ms < back_ms for r in town.requests),
        unequal=town.unequal(),
        paid=len(town.paid),
        landed=len(town.paid.keys() & town.landed.keys()),
    )


def broken_rules(absence: Absence) -> list[str]:
    """What went wrong, in words; nothing if all is well."""
    side, kind = CASES[absence.case]
    comes_back_s = PROBE_AWAY_S if kind in ("refuse", "silent") else PROBE_PAUSED_S
    changes_per_min = absence.changes / (60 * absence.hours)
    most = 12 + 2 * changes_per_min
    bound_s = SHARE * max(absence.bound_s, absence.sent_s) + CHAIN_S
    rules = {
        f"{absence.dead} dead letters": absence.dead == 0,
        f"{absence.attempts} attempts counted": absence.attempts <= (MAX_UNUSABLE_ANSWERS if kind == "silent" else 0),
        f"no alarm names {side}": any(alarm.startswith((f"{side} does not", f"{side} is")) for alarm in absence.alarms),
        f"asked {absence.asked_per_min} times a minute": absence.asked_per_min <= 4 + 0.5 / absence.hours,
        f"rounds a minute: {absence.rounds_per_min}": max(absence.rounds_per_min.values()) <= most,
        f"jobs claimed a minute: {absence.claims_per_min}": max(absence.claims_per_min.values()) <= most,
        f"first write after {absence.first_write_s} s": absence.first_write_s <= comes_back_s,
        f"purchases there after {absence.purchases_s} s": absence.purchases_s <= absence.first_answer_s + PURCHASES_S,
        f"drained in {absence.drained_s} s, bound {bound_s} s": absence.drained_s <= bound_s,
        f"purchases meanwhile {absence.meanwhile_purchases_max_s} s": absence.meanwhile_purchases_max_s <= PURCHASES_S,
        f"{absence.rate_limited} requests too many": absence.rate_limited == 0,
        f"{absence.unequal} people are not the same on both sides": absence.unequal == 0,
        f"{absence.paid} purchases, {absence.landed} on their contacts": absence.paid == absence.landed,
    }
    return [what for what, holds in rules.items() if not holds]


def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.away", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="how long the side is in trouble")
    parser.add_argument("--between-ms", type=int, default=1_000, help="one change on each side in this time")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only these cases")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    found = []
    for case in chosen.case or list(CASES):
        began = time.monotonic()
        found.append(measure(case, chosen.hours, chosen.between_ms, chosen.seed))
        sys.stdout.write(f"{case} ({time.monotonic() - began:.0f} s)\n")
        sys.stdout.writelines(f"  {name}: {figure}\n" for name, figure in asdict(found[-1]).items() if name != "case")
        sys.stdout.writelines(f"  BROKEN: {what}\n" for what in broken_rules(found[-1]))
        sys.stdout.flush()
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(absence) for absence in found], indent=2))
    return int(any(map(broken_rules, found)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
