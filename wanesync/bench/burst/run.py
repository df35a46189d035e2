"""``bench burst``: thousands of contacts in a minute through the rate limit of Stripe, beside the theoretical bound."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise

from wanesync.bench.burst.database_cost import read_database_cost, read_pickup
from wanesync.bench.burst.load import BUYERS, Arrivals, Load
from wanesync.bench.burst.results import JournalObserver, Span, count_wrong, wait_until_idle
from wanesync.bench.environment import OWN_POSTGRES, Limits, Running, build_sandbox, run_everything
from wanesync.bench.figures import describe_machine, percentile, percentiles
from wanesync.config.model import load as load_config
from wanesync.core.errors import ConfigError, WanesyncError
from wanesync.core.model import Side
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.server import clock_ms
from wanesync.wiring import open_database

WITHIN_S = 30.0
"""The target for the latency of a contact."""
NO_TARGET_S = 86_400
"""A target that every change can meet, so that the earliest arrival goes first."""
SAMPLE_MS = 1000
IDLE_S = 120.0
"""The longest wait for late work at the end, such as a third delivery or a job of a killed worker."""
BUSY_S = 2.0
"""The queue counts as busy with creations for at least this many seconds."""
REORDER_MS = 2_000
"""With several deliveries, each copy of a webhook is delayed by a random time up to this."""
DATABASE_DOWN_S = 1.0


@dataclass(frozen=True, slots=True)
class Failures:
    """The injected failures. ``deliveries``: of each webhook. The kills happen when half of the load has arrived."""

    deliveries: int = 1
    kill_worker: bool = False
    kill_database: bool = False

    def check(self, database: str | None) -> None:
        """Raise ConfigError when the database to kill is not a temporary one."""
        if self.kill_database and database != OWN_POSTGRES:
            problem = f"--kill-database needs --database {OWN_POSTGRES}: only the benchmark's own Postgres is killed"
            raise ConfigError([problem])

    @property
    def faults(self) -> Faults:
        """The faults of the webhooks."""
        return Faults(deliveries=self.deliveries, reorder_ms=REORDER_MS) if self.deliveries > 1 else Faults()


@dataclass(slots=True)
class FailureInjector:
    """Kills once, in a thread of its own, so that the load continues meanwhile."""

    failures: Failures
    running: Running
    _thread: threading.Thread | None = None
    _errors: list[WanesyncError] = field(default_factory=list)

    def start(self) -> None:
        """Start, if there is anything to kill and it has not started yet."""
        if self._thread is None and (self.failures.kill_worker or self.failures.kill_database):
            self._thread = threading.Thread(target=self._carry_out, name="injector")
            self._thread.start()

    def finish(self) -> None:
        """Wait until everything killed runs again. Raises the error of the thread."""
        if self._thread is not None:
            self._thread.join()
        if self._errors:
            raise self._errors[0]

    def _carry_out(self) -> None:
        try:
            if self.failures.kill_worker:
                self._replace_worker()
            cluster = self.running.environment.cluster
            if self.failures.kill_database and cluster is not None:
                cluster.crash()
                threading.Event().wait(DATABASE_DOWN_S)
                cluster.start()
        except WanesyncError as error:
            self._errors.append(error)

    def _replace_worker(self) -> None:
        """Start the new worker first, so that ``Running.check`` never finds an ended one."""
        killed, fresh = self.running.workers[0], self.running.environment.start("worker")
        self.running.workers[0] = fresh
        self.running.killed_cpu_s.append(killed.cpu_s())
        killed.kill()
        fresh.first_line()


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of Stripe at one time: requests so far, and contacts that arrived and are not done."""

    at_ms: int
    requests: int
    waiting: int


@dataclass(slots=True)
class BurstResult:
    """The figures, and the latencies behind them."""

    figures: dict[str, object]
    contacts: list[Span]
    purchases: list[Span]
    customers: list[Span]
    load: Load
    limits: Limits


@dataclass(slots=True)
class _Run:
    """One burst in progress."""

    running: Running
    arrivals: Arrivals
    observer: JournalObserver
    limits: Limits
    injector: FailureInjector
    samples: list[Sample] = field(default_factory=list)
    pause: threading.Event = field(default_factory=threading.Event)

    def carry_out(self) -> None:
        """Carry out the load, then wait until everything is done or the time-out."""
        start_ms = self.observer.start_ms
        half_ms = self.arrivals.load.seconds * 500
        for offset_ms, arrive, number in self.arrivals.due():
            while (wait_ms := start_ms + offset_ms - clock_ms()) > 0:
                self._sample()
                self.pause.wait(min(wait_ms, 20) / 1000)
            if offset_ms >= half_ms:
                self.injector.start()
            arrive(number)
        self.injector.finish()
        limit_ms = start_ms + 1000 * (3 * bound_s(self.arrivals.load, self.limits) + 60)
        self.observer.read()
        while self.observer.left() and clock_ms() < limit_ms:
            self.pause.wait(0.1)
            self._sample()
            self.observer.read()

    def _sample(self) -> None:
        now_ms = clock_ms()
        if self.samples and now_ms < self.samples[-1].at_ms + SAMPLE_MS:
            return
        self.running.check()
        self.observer.read()
        requests = _number(self.running.sandbox.stats()[str(Side.STRIPE)], "requests")
        waiting = sum(contact_id not in self.observer.done_ms for contact_id in self.arrivals.contacts)
        self.samples.append(Sample(now_ms, requests, waiting))


def measure(  # noqa: PLR0913 - what a burst consists of, and what disturbs it
    load: Load,
    limits: Limits,
    workers: int,
    database: str | None,
    failures: Failures | None = None,
    *,
    first_come: bool = False,
) -> BurstResult:
    """Run one burst. A latency is the time from the commit of an edit to the commit on the other side.

    ``database``: None, a URL, or ``postgres`` for a temporary one. ``first_come``: in the order of arrival, whatever is
    late. Raises ConfigError.
    """
    failures = failures or Failures()
    failures.check(database)
    sandbox = build_sandbox(limits)
    arrivals = Arrivals(sandbox, load)
    arrivals.create_buyers()
    overrides = {"sync__target_s": str(NO_TARGET_S)} if first_come else {}
    with run_everything(sandbox, database, limits, workers, **overrides) as running:
        return measure_running(running, arrivals, limits, failures)


def measure_running(running: Running, arrivals: Arrivals, limits: Limits, failures: Failures) -> BurstResult:
    """Run one burst through an installation that runs already; its buyers exist on both sides."""
    load = arrivals.load
    for stand_in in running.sandbox.machines.values():
        stand_in.set_faults(failures.faults)
    cpu, cost = _CpuUsage(running), read_database_cost(running.environment.database)
    run = _Run(running, arrivals, JournalObserver(arrivals, clock_ms()), limits, FailureInjector(failures, running))
    run.carry_out()
    figures = _figures(run) | cpu.figures(load)
    figures |= {"at_rest": wait_until_idle(running, IDLE_S), **count_wrong(arrivals), "extra_records": _extra(run)}
    figures |= read_database_cost(running.environment.database).figures_since(cost, load.contacts)
    with closing(open_database(load_config(None, running.environment.env))) as store:
        figures |= read_pickup(store)
    figures["machine"] = describe_machine(running.environment.database)
    spans = run.observer.spans
    contacts, charges, addresses = spans(arrivals.contacts), spans(arrivals.charges), spans(arrivals.addresses)
    return BurstResult(figures, contacts, charges, addresses, load, limits)


class _CpuUsage:
    """The CPU of the processes since its creation."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._before = self._now()

    def _now(self) -> tuple[float, float, float]:
        workers = sum((*(worker.cpu_s() for worker in self._running.workers), *self._running.killed_cpu_s))
        return workers, self._running.server.cpu_s(), time.process_time()

    def figures(self, load: Load) -> dict[str, object]:
        """Milliseconds per contact of the workers, the web process, and the sandbox with this benchmark."""
        names = ("worker_cpu_ms_per_contact", "serve_cpu_ms_per_contact", "sandbox_cpu_ms_per_contact")
        spent = (after - before for after, before in zip(self._now(), self._before, strict=True))
        return {name: round(1000 * cpu_s / load.contacts, 2) for name, cpu_s in zip(names, spent, strict=True)}


def _figures(run: _Run) -> dict[str, object]:
    load, limits, observer = run.arrivals.load, run.limits, run.observer
    contacts = [span.took_s for span in observer.spans(run.arrivals.contacts)]
    stats = run.running.sandbox.stats()
    webhook_ms = [took for stand_in in run.running.measured.values() for took in stand_in.webhook_ms]
    largest = {side: _number(stats[str(side)], "largest_window_1s") for side in Side}
    within = sum(took <= WITHIN_S for took in contacts) / load.contacts
    return {
        "drained_s": round(observer.last_s(), 2),
        "bound_s": round(bound_s(load, limits), 2),
        **percentiles(contacts, "s"),
        "share_within_30_s": round(within, 4),
        "bound_share_within_30_s": round(bound_share(load, limits), 4),
        "bound_share_first_come": round(bound_share_first_come(load, limits), 4),
        "windows_over_limit": sum(stand_in.windows_over for stand_in in run.running.measured.values()),
        "largest_window": {str(side): number for side, number in largest.items()},
        "rate_limited": sum(_number(side, "rate_limited") for side in stats.values()),
        "utilisation": _utilisation(run.samples, limits.stripe),
        "purchases_p99_s": _p99(observer.spans(run.arrivals.charges)),
        "customers_p99_s": _p99(observer.spans(run.arrivals.addresses)),
        "webhook_p99_s": round(percentile(webhook_ms, 0.99) / 1000, 3),
        "left": observer.left(),
        "requests": {side: counts["operations"] for side, counts in stats.items()},
        "workers": len(run.running.workers),
    }


def bound_s(load: Load, limits: Limits) -> float:
    """The earliest possible end: the last contact arrives, or the limit of Stripe has admitted all of them."""
    return max(load.seconds, load.contacts / limits.stripe)


def bound_latency_s(load: Load, limits: Limits, arrived_s: float) -> float:
    """The least possible latency of a contact that arrives then, served in order of arrival at the limit."""
    per_s = load.contacts / load.seconds
    return max(0.0, arrived_s * (per_s / limits.stripe - 1))


def bound_share(load: Load, limits: Limits) -> float:
    """The largest share that can be there within 30 s: those who cannot be in time come after all who can."""
    return min(1.0, limits.stripe * (load.seconds + WITHIN_S) / load.contacts)


def bound_share_first_come(load: Load, limits: Limits) -> float:
    """The largest share that can be there within 30 s if all are served in the order of arrival."""
    slope = load.contacts / load.seconds / limits.stripe - 1
    return 1.0 if slope <= 0 else min(1.0, WITHIN_S / slope / load.seconds)


def bound_latency_late_s(load: Load, limits: Limits, arrived_s: float) -> float:
    """The least possible latency of a contact that arrives then and cannot be in time: after all who can."""
    per_s = load.contacts / load.seconds
    first_late_s = WITHIN_S / (per_s / limits.stripe - 1)
    late = max(0.0, arrived_s - first_late_s) * (per_s - limits.stripe)
    return load.seconds + WITHIN_S + late / limits.stripe - arrived_s


def _utilisation(samples: list[Sample], limit: int) -> float | None:
    """The share of allowed requests that were sent, over the seconds with a busy queue at both ends, or None."""
    busy = [(start, end) for start, end in pairwise(samples) if min(start.waiting, end.waiting) >= BUSY_S * limit]
    time_s = sum(end.at_ms - start.at_ms for start, end in busy) / 1000
    sent = sum(end.requests - start.requests for start, end in busy)
    return round(sent / (limit * time_s), 4) if time_s else None


def _p99(spans: list[Span]) -> float | None:
    return round(percentile([span.took_s for span in spans], 0.99), 3) if spans else None


def _extra(run: _Run) -> int:
    """The number of missing and surplus records of both sides at the end."""
    load = run.arrivals.load
    expected = load.contacts + load.customers + min(load.purchases, BUYERS)
    return sum(abs(len(stand_in.records()) - expected) for stand_in in run.running.sandbox.machines.values())


def _number(stats: object, name: str) -> int:
    value = stats.get(name) if isinstance(stats, dict) else None
    return value if isinstance(value, int) else 0
