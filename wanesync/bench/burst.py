"""``bench burst``: 10,000 contacts in a minute through the narrow door of Stripe, beside what is possible at all."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise

from wanesync.bench.arrivals import PAIRS, Arrivals, Load
from wanesync.bench.figures import describe_machine, percentile, spread
from wanesync.bench.mishaps import Blows, Mishaps
from wanesync.bench.observed import Observer, Span
from wanesync.bench.stage import Limits, Running, build_sandbox, run_everything
from wanesync.bench.verdict import come_to_rest, judge
from wanesync.core.model import Side
from wanesync.sandbox.server import clock_ms

WITHIN_S = 30.0
SAMPLE_MS = 1000
REST_S = 120.0
BUSY_S = 2.0
"""Work waits while at least so many seconds' worth of creations are not done."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Stripe's counts at one moment: requests so far, contacts that arrived and are not done."""

    at_ms: int
    requests: int
    waiting: int


@dataclass(slots=True)
class Measured:
    """The figures, and the spans they come from."""

    figures: dict[str, object]
    contacts: list[Span]
    purchases: list[Span]
    customers: list[Span]
    load: Load
    limits: Limits


@dataclass(slots=True)
class _Run:
    """One burst under way."""

    running: Running
    arrivals: Arrivals
    observer: Observer
    limits: Limits
    blows: Blows
    samples: list[Sample] = field(default_factory=list)
    pause: threading.Event = field(default_factory=threading.Event)

    def carry_out(self) -> None:
        """Let everything arrive, then wait until it is done or far too late."""
        start_ms = self.observer.start_ms
        half_ms = self.arrivals.load.seconds * 500
        for offset_ms, activity, number in self.arrivals.due():
            while (wait_ms := start_ms + offset_ms - clock_ms()) > 0:
                self._sample()
                self.pause.wait(min(wait_ms, 20) / 1000)
            if offset_ms >= half_ms:
                self.blows.strike()
            activity(number)
        self.blows.finish()
        limit_ms = start_ms + 1000 * (3 * bound_s(self.arrivals.load, self.limits) + 60)
        self.observer.look()
        while self.observer.left() and clock_ms() < limit_ms:
            self.pause.wait(0.1)
            self._sample()
            self.observer.look()

    def _sample(self) -> None:
        now_ms = clock_ms()
        if self.samples and now_ms < self.samples[-1].at_ms + SAMPLE_MS:
            return
        self.running.check()
        self.observer.look()
        requests = _number(self.running.sandbox.stats()[str(Side.STRIPE)], "requests")
        waiting = sum(contact_id not in self.observer.done_ms for contact_id in self.arrivals.contacts)
        self.samples.append(Sample(now_ms, requests, waiting))


def measure(load: Load, limits: Limits, workers: int, database: str | None, mishaps: Mishaps | None = None) -> Measured:
    """Run one burst; keys as in the design's doors, latencies from the edit's commit to the other side's.

    ``database``: None, an address, or ``postgres`` for one of the bench's own. Raises ConfigError.
    """
    mishaps = mishaps or Mishaps()
    mishaps.check(database)
    sandbox = build_sandbox(limits)
    arrivals = Arrivals(sandbox, load)
    arrivals.plant_buyers()
    with run_everything(sandbox, database, limits, workers) as running:
        for machine in sandbox.machines.values():
            machine.set_faults(mishaps.faults)
        costs = _Costs(running)
        run = _Run(running, arrivals, Observer(arrivals, clock_ms()), limits, Blows(mishaps, running))
        run.carry_out()
        figures = _figures(run) | costs.figures(load)
        # Whatever comes late, such as a third delivery or a rescued job, must change nothing any more.
        figures |= {"at_rest": come_to_rest(running, REST_S), **judge(arrivals), "extra_records": _extra(run)}
        figures["machine"] = describe_machine(running.stage.database)
    spans = run.observer.spans
    contacts, charges, addresses = spans(arrivals.contacts), spans(arrivals.charges), spans(arrivals.addresses)
    return Measured(figures, contacts, charges, addresses, load, limits)


class _Costs:
    """CPU of the processes since it was made."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._before = self._now()

    def _now(self) -> tuple[float, float, float]:
        workers = sum((*(worker.cpu_s() for worker in self._running.workers), *self._running.gone_cpu_s))
        return workers, self._running.server.cpu_s(), time.process_time()

    def figures(self, load: Load) -> dict[str, object]:
        """Milliseconds per contact of the workers, the web process, and the sandbox with this bench."""
        names = ("worker_cpu_ms_per_contact", "serve_cpu_ms_per_contact", "sandbox_cpu_ms_per_contact")
        spent = (after - before for after, before in zip(self._now(), self._before, strict=True))
        return {name: round(1000 * cpu_s / load.contacts, 2) for name, cpu_s in zip(names, spent, strict=True)}


def _figures(run: _Run) -> dict[str, object]:
    load, limits, observer = run.arrivals.load, run.limits, run.observer
    contacts = [span.took_s for span in observer.spans(run.arrivals.contacts)]
    stats = run.running.sandbox.stats()
    answers_ms = [took for watch in run.running.watches.values() for took in watch.answers_ms]
    largest = {side: _number(stats[str(side)], "largest_window_1s") for side in Side}
    within = sum(took <= WITHIN_S for took in contacts) / load.contacts
    return {
        "drained_s": round(observer.last_s(), 2),
        "bound_s": round(bound_s(load, limits), 2),
        **spread(contacts, "s"),
        "share_within_30_s": round(within, 4),
        "bound_share_within_30_s": round(_bound_share(load, limits), 4),
        "windows_over_limit": sum(watch.windows_over for watch in run.running.watches.values()),
        "largest_window": {str(side): number for side, number in largest.items()},
        "rate_limited": sum(_number(side, "rate_limited") for side in stats.values()),
        "utilisation": _utilisation(run.samples, limits.stripe),
        "purchases_p99_s": _p99(observer.spans(run.arrivals.charges)),
        "customers_p99_s": _p99(observer.spans(run.arrivals.addresses)),
        "webhook_p99_s": round(percentile(answers_ms, 0.99) / 1000, 3),
        "left": observer.left(),
        "requests": {side: counts["operations"] for side, counts in stats.items()},
        "workers": len(run.running.workers),
    }


def bound_s(load: Load, limits: Limits) -> float:
    """No program can be done earlier: the last contact arrives, or Stripe's limit has let all of them through."""
    return max(load.seconds, load.contacts / limits.stripe)


def bound_latency_s(load: Load, limits: Limits, arrived_s: float) -> float:
    """The least latency of the contact that arrives then, first come first served at the limit."""
    per_s = load.contacts / load.seconds
    return max(0.0, arrived_s * (per_s / limits.stripe - 1))


def _bound_share(load: Load, limits: Limits) -> float:
    slope = load.contacts / load.seconds / limits.stripe - 1
    return 1.0 if slope <= 0 else min(1.0, WITHIN_S / slope / load.seconds)


def _utilisation(samples: list[Sample], limit: int) -> float | None:
    """Requests sent of those allowed, over the seconds at whose both ends work waits; None when it never does."""
    spans = [(a, b) for a, b in pairwise(samples) if min(a.waiting, b.waiting) >= BUSY_S * limit]
    time_s = sum(b.at_ms - a.at_ms for a, b in spans) / 1000
    return round(sum(b.requests - a.requests for a, b in spans) / (limit * time_s), 4) if time_s else None


def _p99(spans: list[Span]) -> float | None:
    return round(percentile([span.took_s for span in spans], 0.99), 3) if spans else None


def _extra(run: _Run) -> int:
    """Records too many or too few on both sides together, when everything is done."""
    load = run.arrivals.load
    expected = load.contacts + load.customers + min(load.purchases, PAIRS)
    return sum(abs(len(machine.records()) - expected) for machine in run.running.sandbox.machines.values())


def _number(stats: object, name: str) -> int:
    value = stats.get(name) if isinstance(stats, dict) else None
    return value if isinstance(value, int) else 0
