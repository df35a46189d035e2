"""A side that is unreachable, refuses its key or has no requests left for the day, under steady load.

``python -m tests.bench.away`` runs every case for two hours of virtual time; ``--json FILE`` writes the figures.
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

from tests.bench.virtual_installation import LIMITS, VirtualInstallation, never_answer, refuse, revoke_key
from wanesync.core.jobs import MAX_UNUSABLE_ANSWERS, Job, JobKind
from wanesync.core.model import Side
from wanesync.ops.status import read_status
from wanesync.store.tables.jobs import Jobs
from wanesync.worker.lane import Lane

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
WARM_UP_MS, COOL_DOWN_MS, REST_MS = 15_000, MINUTE_MS, 30 * MINUTE_MS
POLL_MS = 50
TOLERANCE = 1.07
CHAIN_S = 3.0  # a single job: its consecutive requests, and the webhook between them
PURCHASES_S = 5.0
# The intervals of probe calls (30 s unreachable, 60 s paused) and one second.
PROBE_UNREACHABLE_S, PROBE_PAUSED_S = 31.0, 61.0
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
class Outage:
    """The figures of one outage.

    ``waited``: jobs of the side at its return, ``waited_purchases`` of them. ``first_write_s`` and
    ``purchases_s`` (until all waiting ones are on their contacts) count from the return, ``drained_s`` (until
    every waiting job is done) from the first answer. ``bound_s``: the requests of that time ÷ the limit.
    ``probes_per_min``: requests to the side during the outage. ``claims_per_min``, ``rounds_per_min``: jobs
    claimed, and transactions that looked for jobs, by lane, in the fullest minute of the outage. ``attempts``:
    the highest number of attempts of a job. ``unequal``: people that differ between both sides at the end.
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
class LaneCounter:
    """Counts rounds and claims per lane and minute."""

    installation: VirtualInstallation

    def __post_init__(self) -> None:
        self.rounds: Counter[tuple[Side, int]] = Counter()
        self.claims: Counter[tuple[Side, int]] = Counter()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count every round of a lane and every claimed job in this context."""
        fill, claim = Lane.fill, Jobs.claim

        def filled(lane: Lane, *args: object, **options: object) -> object:
            self.rounds[lane.side, self.installation.clock.now // MINUTE_MS] += 1
            return fill(lane, *args, **options)  # type: ignore[arg-type] # passed on as they came

        def claimed(jobs: Jobs, lane: Side, *args: object, **options: object) -> list[Job]:
            found = claim(jobs, lane, *args, **options)  # type: ignore[arg-type] # passed on as they came
            self.claims[lane, self.installation.clock.now // MINUTE_MS] += len(found)
            return found

        with patch.object(Lane, "fill", filled), patch.object(Jobs, "claim", claimed):
            yield

    def fullest(self, counts: Counter[tuple[Side, int]], from_ms: int, to_ms: int) -> dict[str, int]:
        """The fullest whole minute of each lane between two times."""
        minutes = range(-(-from_ms // MINUTE_MS), to_ms // MINUTE_MS)
        return {str(side): max((counts[side, minute] for minute in minutes), default=0) for side in Side}


@contextmanager
def fault(installation: VirtualInstallation, side: Side, kind: str) -> Iterator[None]:
    """Inject a fault of one side in this context."""
    limiter = installation.hubspot.rate_limiter
    settings = limiter.settings
    installation.fault |= (
        {side: {"refuse": refuse, "silent": never_answer, "key": revoke_key}[kind]} if kind != "quota" else {}
    )
    if kind == "quota":
        limiter.settings = replace(settings, daily_limit=1)
    try:
        yield
    finally:
        installation.fault.pop(side, None)
        limiter.settings = settings


def measure(case: str, hours: float, between_ms: int, seed: int = 1) -> Outage:
    """Run one outage under a steady load of one edit on each side every ``between_ms``."""
    installation = VirtualInstallation(between_ms, random.Random(seed))
    counter = LaneCounter(installation)
    try:
        with counter.counting():
            return _run(case, installation, counter, hours)
    finally:
        installation.close()


def _run(case: str, installation: VirtualInstallation, counter: LaneCounter, hours: float) -> Outage:
    side, kind = CASES[case]
    between_ms, installation.between_ms = installation.between_ms, 1_000
    installation.run(WARM_UP_MS)
    installation.between_ms = between_ms
    installation.buyers = list(installation.existing[Side.STRIPE])
    left_ms = installation.clock.now
    with fault(installation, side, kind):
        installation.run(int(hours * HOUR_MS))
        alarms = read_status(installation.store).alarms
    back_ms = installation.clock.now
    waiting = installation.waiting(side)
    purchases = {payment for payment in installation.paid if payment not in installation.landed}
    while waiting.keys() & installation.waiting(side).keys() and installation.clock.now < back_ms + HOUR_MS:
        installation.run(POLL_MS)
    drained_ms = installation.clock.now
    installation.run(COOL_DOWN_MS)
    installation.quiet = True
    quiet_ms = installation.clock.now
    while installation.clock.now < quiet_ms + REST_MS and not (
        installation.clock.now > quiet_ms + COOL_DOWN_MS and installation.is_idle()
    ):
        installation.run(MINUTE_MS)
    good = [r for r in installation.requests if r.side is side and r.at_ms >= back_ms and r.status // 100 == 2]
    never_ms = back_ms + HOUR_MS
    first_ms = min((r.at_ms for r in good), default=never_ms)
    meanwhile = [
        installation.landed[payment] - paid_ms
        for payment, paid_ms in installation.paid.items()
        if installation.landed.get(payment, back_ms) < back_ms
    ]
    calls = sum(-(-n // BATCH[side, kind]) for kind, n in Counter(waiting.values()).items())
    return Outage(
        case=case,
        hours=hours,
        changes=2 * installation.turn,
        waited=len(waiting),
        waited_purchases=sum(kind is JobKind.PURCHASE for kind in waiting.values()),
        alarms=alarms,
        dead=installation.dead(),
        attempts=installation.most_attempts(),
        asked_per_min=round(
            sum(r.side is side and left_ms <= r.at_ms < back_ms for r in installation.requests) / (60 * hours), 2
        ),
        rounds_per_min=counter.fullest(counter.rounds, left_ms + MINUTE_MS, back_ms),
        claims_per_min=counter.fullest(counter.claims, left_ms + MINUTE_MS, back_ms),
        first_answer_s=(first_ms - back_ms) / 1000,
        first_write_s=(min((r.at_ms for r in good if r.writes), default=never_ms) - back_ms) / 1000,
        purchases_s=(max((installation.landed.get(p, never_ms) for p in purchases), default=back_ms) - back_ms) / 1000,
        drained_s=(drained_ms - first_ms) / 1000,
        bound_s=calls / LIMITS[side],
        sent_s=sum(r.at_ms <= drained_ms for r in good) / LIMITS[side],
        meanwhile_purchases_max_s=max(meanwhile, default=0) / 1000,
        rate_limited=sum(r.status == 429 and not left_ms <= r.at_ms < back_ms for r in installation.requests),
        unequal=installation.unequal(),
        paid=len(installation.paid),
        landed=len(installation.paid.keys() & installation.landed.keys()),
    )


def broken_rules(outage: Outage) -> list[str]:
    """The violated rules as messages."""
    side, kind = CASES[outage.case]
    probe_s = PROBE_UNREACHABLE_S if kind in ("refuse", "silent") else PROBE_PAUSED_S
    changes_per_min = outage.changes / (60 * outage.hours)
    most = 12 + 2 * changes_per_min
    bound_s = TOLERANCE * max(outage.bound_s, outage.sent_s) + CHAIN_S
    rules = {
        f"{outage.dead} dead letters": outage.dead == 0,
        f"{outage.attempts} attempts counted": outage.attempts <= (MAX_UNUSABLE_ANSWERS if kind == "silent" else 0),
        f"no alarm names {side}": any(alarm.startswith((f"{side} does not", f"{side} is")) for alarm in outage.alarms),
        f"{outage.asked_per_min} requests a minute to the side": outage.asked_per_min <= 4 + 0.5 / outage.hours,
        f"rounds a minute: {outage.rounds_per_min}": max(outage.rounds_per_min.values()) <= most,
        f"jobs claimed a minute: {outage.claims_per_min}": max(outage.claims_per_min.values()) <= most,
        f"first write after {outage.first_write_s} s": outage.first_write_s <= probe_s,
        f"purchases there after {outage.purchases_s} s": outage.purchases_s <= outage.first_answer_s + PURCHASES_S,
        f"drained in {outage.drained_s} s, bound {bound_s} s": outage.drained_s <= bound_s,
        f"purchases meanwhile {outage.meanwhile_purchases_max_s} s": outage.meanwhile_purchases_max_s <= PURCHASES_S,
        f"{outage.rate_limited} requests too many": outage.rate_limited == 0,
        f"{outage.unequal} people differ between both sides": outage.unequal == 0,
        f"{outage.paid} purchases, {outage.landed} on their contacts": outage.paid == outage.landed,
    }
    return [what for what, holds in rules.items() if not holds]


def main(arguments: Sequence[str]) -> int:
    """Run the command: the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.away", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="how long the fault lasts")
    parser.add_argument("--between-ms", type=int, default=1_000, help="one change on each side in this time")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only these cases")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    found = []
    for case in options.case or list(CASES):
        began = time.monotonic()
        found.append(measure(case, options.hours, options.between_ms, options.seed))
        sys.stdout.write(f"{case} ({time.monotonic() - began:.0f} s)\n")
        sys.stdout.writelines(f"  {name}: {figure}\n" for name, figure in asdict(found[-1]).items() if name != "case")
        sys.stdout.writelines(f"  VIOLATED: {what}\n" for what in broken_rules(found[-1]))
        sys.stdout.flush()
    if options.json:
        options.json.write_text(json.dumps([asdict(outage) for outage in found], indent=2))
    return int(any(map(broken_rules, found)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
