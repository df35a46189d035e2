"""``bench brake``: an import overwrites every contact; how many customers change, how soon there is an alarm, and the
latency of other edits.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from wanesync.bench import BenchFailed
from wanesync.bench.environment import Limits, Running, build_sandbox, run_everything
from wanesync.bench.figures import describe_machine, percentile, percentiles
from wanesync.config.model import load
from wanesync.core.model import Side
from wanesync.sandbox.seed_data import make_person
from wanesync.sandbox.server import Sandbox, clock_ms
from wanesync.store.database import Store
from wanesync.wiring import open_database

POLL_S = 0.1
IDLE_POLLS = 20  # consecutive polls without work that count as idle
POLLS_PER_COUNT = 20  # counting a long queue takes time from the processes under measurement
MAX_WAIT_S = 1800.0
MAX_OWN_PEOPLE = 400
"""The user edits at most as many people, and fewer on each side than the change guard allows."""
_FIRST_NEW = 5_000_000
"""New contacts are numbered from here, so that they have no customer yet."""
_CITY = {Side.HUBSPOT: "city", Side.STRIPE: "address.city"}


@dataclass(frozen=True, slots=True)
class ChangeGuardOptions:
    """The options: ``contacts`` overwritten by one import in ``seconds``; the change guard stops it after ``people``.

    ``creations``: contacts created before that. ``per_s``: edits per second of a user on each side meanwhile.
    """

    contacts: int = 30_000
    people: int = 1_000
    creations: int = 10_000
    seconds: float = 60
    per_s: float = 2
    limits: Limits = field(default_factory=Limits)
    workers: int = 1


@dataclass(frozen=True, slots=True)
class _Edit:
    """One edit of the user."""

    side: Side
    record_id: str
    value: str


@dataclass(slots=True)
class _Run:
    """One run, which begins with equal records on both sides."""

    options: ChangeGuardOptions
    running: Running
    store: Store
    pairs: list[tuple[str, str]]
    pause: threading.Event = field(default_factory=threading.Event)
    edits: list[_Edit] = field(default_factory=list)
    began_ms: int = 0
    alarm_ms: int = 0
    _status_read: Future[None] | None = None

    @property
    def sandbox(self) -> Sandbox:
        """Both stand-ins."""
        return self.running.sandbox

    def create(self) -> int:
        """Create contacts at once: how many of them have no customer in the end."""
        rng = random.Random(2)  # noqa: S311 - made-up people
        wanted = len(self.sandbox.records(Side.STRIPE)) + self.options.creations
        for number in range(self.options.creations):
            person = make_person(_FIRST_NEW + number, rng)
            self.sandbox.edit(Side.HUBSPOT, "create", None, {"email": person.email, "company": person.company})
        self.wait_until_idle()
        return wanted - len(self.sandbox.records(Side.STRIPE))

    def overwrite(self) -> None:
        """Run the import, and edits of a user on both sides, until everything is done or held."""
        self.began_ms = clock_ms()
        span_ms = self.options.seconds * 1000 / len(self.pairs)
        own = min(MAX_OWN_PEOPLE, self.options.people, len(self.pairs))
        for number, (contact_id, _) in enumerate(self.pairs):
            while (wait_ms := self.began_ms + number * span_ms - clock_ms()) > 0:
                self._work(own)
                self.pause.wait(min(wait_ms, 20) / 1000)
            self.sandbox.edit(Side.HUBSPOT, "import", contact_id, {"company": f"Imported {number}"})
        # The user continues until the rest of the import is held.
        polls = 0
        deadline_ms = clock_ms() + MAX_WAIT_S * 1000
        while polls % POLLS_PER_COUNT or self._held_people() < len(self.pairs) - self.options.people:
            self._check(deadline_ms)
            self._work(own)
            polls += 1
            self.pause.wait(POLL_S)
        self.wait_until_idle()

    def _held_people(self) -> int:
        return sum(people for _, people in self.held())

    def wait_until_idle(self) -> None:
        """Wait until no webhook is in flight and no job is queued."""
        deadline_ms = clock_ms() + MAX_WAIT_S * 1000
        quiet, polls = 0, 0
        while quiet < IDLE_POLLS:
            self._check(deadline_ms)
            if quiet or polls % POLLS_PER_COUNT == 0:
                quiet = 0 if self._busy() else quiet + 1
            polls += 1
            self.pause.wait(POLL_S)

    def _check(self, deadline_ms: float) -> None:
        self.running.check()
        if clock_ms() > deadline_ms:
            raise BenchFailed(f"not everything was done within {MAX_WAIT_S:g} s")

    def _busy(self) -> bool:
        if any(_whole(counts["webhooks_waiting"]) for counts in self.sandbox.stats().values()):
            return True
        with self.store.reading() as tx:
            return any(row["ready"] or row["running"] for row in tx.jobs.depth())

    def _work(self, own: int) -> None:
        """Make the next edit of the user if it is due, and read the status once something is held."""
        number = len(self.edits)
        if number < (clock_ms() - self.began_ms) * self.options.per_s * len(Side) / 1000:
            side = list(Side)[number % 2]
            # Each side has people of its own, so that no person is edited on both sides.
            position = (number // 2 % max(1, own // 2)) * 2 + (side is Side.STRIPE)
            edit = _Edit(side, self.pairs[position][side is Side.STRIPE], f"Town {number}")
            self.sandbox.edit(side, "update", edit.record_id, {_CITY[side]: edit.value})
            self.edits.append(edit)
        if self._status_read is None and self.held():
            operator = ThreadPoolExecutor(1)
            self._status_read = operator.submit(self._read_status)
            operator.shutdown(wait=False)

    def _read_status(self) -> None:
        """Run ``wanesync status`` as an operator does, in a thread of its own."""
        self.running.environment.run("status", "--json")
        self.alarm_ms = clock_ms()

    def join(self) -> None:
        """Wait for the status if it is being read. Raises its error."""
        if self._status_read is not None:
            self._status_read.result()

    def held(self) -> list[tuple[str, int]]:
        """The open holds: source and number of people."""
        with self.store.reading() as tx:
            return [(row.source, row.people) for row in tx.holds.all()]

    def overwritten(self) -> list[int]:
        """The times at which customers got an imported value, ascending."""
        first: dict[str, int] = {}
        for entry in self.entries(Side.STRIPE):
            if entry[2].startswith("Imported"):
                first.setdefault(entry[1], entry[0])
        return sorted(first.values())

    def entries(self, side: Side) -> Iterator[tuple[int, str, str]]:
        """Every committed value: (time, record id, value)."""
        with self.sandbox.lock:
            found = self.sandbox.machines[side].journal.after(0)
        for entry in found:
            for value in entry.changes.values():
                yield entry.at_ms, entry.record_id, value

    def latencies(self) -> list[float]:
        """Seconds until each edit of the user, or a newer one of the same record, was on the other side.

        Infinity for an edit that never arrived.
        """
        times: dict[Side, dict[str, int]] = {Side.HUBSPOT: {}, Side.STRIPE: {}}
        for side, known in times.items():
            for at_ms, _, value in self.entries(side):
                known.setdefault(value, at_ms)
        took, arrived = [], dict[str, float]()
        for edit in reversed(self.edits):
            newest = min(
                times[edit.side.other].get(edit.value, float("inf")), arrived.get(edit.record_id, float("inf"))
            )
            arrived[edit.record_id] = newest
            took.append((newest - times[edit.side][edit.value]) / 1000)
        return took


def measure(options: ChangeGuardOptions, database: str | None) -> dict[str, object]:
    """The figures, with times from the commits of both stand-ins. Raises BenchFailed."""
    with _ready(options, database) as bench:
        missing = bench.create()
        tripped = len(bench.held())
        bench.overwrite()
        settled_ms = clock_ms()
        bench.join()
        overwritten = bench.overwritten()
        held = bench.held()
        took = bench.latencies()
        changed = _discard(bench)
        stats = bench.sandbox.stats()
        return {
            "contacts": options.contacts,
            "people": options.people,
            "overwritten": len(overwritten),
            "held": sum(people for _, people in held),
            "holds": len(held),
            "alarm_s": round((bench.alarm_ms - overwritten[-1]) / 1000, 2) if overwritten and bench.alarm_ms else None,
            "alarm_after_first_edit_s": round((bench.alarm_ms - bench.began_ms) / 1000, 2) if bench.alarm_ms else None,
            "settled_s": round((settled_ms - bench.began_ms) / 1000, 1),
            **{f"person_{name}": value for name, value in percentiles(took, "s").items()},
            "person_edits": len(took),
            "person_lost": sum(span == float("inf") for span in took),
            "creations": options.creations,
            "creations_missing": missing,
            "creations_held": tripped,
            "changed_by_discard": changed,
            "held_after_discard": len(bench.held()),
            "webhook_p99_s": round(percentile(_webhook_times(bench.running), 0.99) / 1000, 3),
            "windows_over_limit": sum(stand_in.windows_over for stand_in in bench.running.measured.values()),
            "rate_limited": sum(_whole(counts["rate_limited"]) for counts in stats.values()),
            "workers": options.workers,
            "machine": describe_machine(bench.running.environment.database),
        }


@contextmanager
def _ready(options: ChangeGuardOptions, database: str | None) -> Iterator[_Run]:
    sandbox = build_sandbox(options.limits)
    pairs = _create_pairs(sandbox, options.contacts)
    with run_everything(
        sandbox, database, options.limits, options.workers, brake__people=str(options.people)
    ) as running:
        store = open_database(load(None, running.environment.env), migrate=False)
        try:
            bench = _Run(options, running, store, pairs)
            bench.wait_until_idle()
            yield bench
        finally:
            store.close()


def _create_pairs(sandbox: Sandbox, count: int) -> list[tuple[str, str]]:
    """Create people that are equal on both sides: (contact id, customer id)."""
    rng = random.Random(1)  # noqa: S311 - made-up people
    pairs = []
    for number in range(count):
        person = replace(make_person(number, rng), company=f"Old {number}", business=False)
        contact_id = sandbox.edit(Side.HUBSPOT, "create", None, person.contact())
        pairs.append((contact_id, sandbox.edit(Side.STRIPE, "create", None, person.customer())))
    return pairs


def _discard(bench: _Run) -> int:
    """Discard the holds: how many customers changed by that."""
    before = _companies(bench.sandbox)
    bench.running.environment.run("hold", "discard", "all", "--yes")
    bench.wait_until_idle()
    after = _companies(bench.sandbox)
    return sum(before[record_id] != company for record_id, company in after.items())


def _companies(sandbox: Sandbox) -> dict[str, str]:
    return {row["id"]: row.get("business_name", "") for row in sandbox.records(Side.STRIPE)}


def _webhook_times(running: Running) -> list[int]:
    return [took for stand_in in running.measured.values() for took in stand_in.webhook_ms]


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
