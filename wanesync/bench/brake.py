"""``bench brake``: an import overwrites everybody; how many it gets at, how soon it is noticed, and who has to wait."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from wanesync.bench import BenchFailed
from wanesync.bench.figures import describe_machine, percentile, spread
from wanesync.bench.stage import Limits, Running, build_sandbox, run_everything
from wanesync.config.model import load
from wanesync.core.model import Side
from wanesync.sandbox.seed_data import make_person
from wanesync.sandbox.server import Sandbox, clock_ms
from wanesync.store.database import Store
from wanesync.wiring import open_state

POLL_S = 0.1
IDLE_POLLS = 20
LOOK_EVERY = 20
PATIENCE_S = 1800.0
_FIRST_NEW = 5_000_000
"""New contacts are numbered from here, so that they are nobody's customer."""
_CITY = {Side.HUBSPOT: "city", Side.STRIPE: "address.city"}


@dataclass(frozen=True, slots=True)
class Wish:
    """``contacts`` overwritten by one import in ``seconds``; the brake stops it after ``people``.

    ``creations``: contacts created before that. ``per_s``: edits a person makes on each side meanwhile.
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
    """One edit of the person."""

    side: Side
    record_id: str
    value: str


@dataclass(slots=True)
class _Bench:
    """One run: everybody is the same on both sides, and everything runs."""

    wish: Wish
    running: Running
    store: Store
    pairs: list[tuple[str, str]]
    pause: threading.Event = field(default_factory=threading.Event)
    edits: list[_Edit] = field(default_factory=list)
    began_ms: int = 0
    alarm_ms: int = 0
    _asked: Future[None] | None = None

    @property
    def sandbox(self) -> Sandbox:
        """Both stand-ins."""
        return self.running.sandbox

    def create(self) -> int:
        """New contacts, at once; how many of them have no customer in the end."""
        rng = random.Random(2)  # noqa: S311 - made-up people
        wanted = len(self.sandbox.records(Side.STRIPE)) + self.wish.creations
        for number in range(self.wish.creations):
            human = make_person(_FIRST_NEW + number, rng)
            self.sandbox.edit(Side.HUBSPOT, "create", None, {"email": human.email, "company": human.company})
        self.rest()
        return wanted - len(self.sandbox.records(Side.STRIPE))

    def overwrite(self) -> None:
        """The import, and a person at work on both sides until everything is dealt with."""
        self.began_ms = clock_ms()
        span_ms = self.wish.seconds * 1000 / len(self.pairs)
        # The person's own people: fewer on each side than the brake allows.
        own = min(400, self.wish.people, len(self.pairs))
        for number, (contact_id, _) in enumerate(self.pairs):
            while (wait_ms := self.began_ms + number * span_ms - clock_ms()) > 0:
                self._work(own)
                self.pause.wait(min(wait_ms, 20) / 1000)
            self.sandbox.edit(Side.HUBSPOT, "import", contact_id, {"company": f"Imported {number}"})
        # The person goes on for as long as the rest of the import is on its way to be held.
        polls = 0
        deadline_ms = clock_ms() + PATIENCE_S * 1000
        while polls % LOOK_EVERY or self._held_people() < len(self.pairs) - self.wish.people:
            self._check(deadline_ms)
            self._work(own)
            polls += 1
            self.pause.wait(POLL_S)
        self.rest()

    def _held_people(self) -> int:
        return sum(people for _, people in self.held())

    def rest(self) -> None:
        """Wait until no webhook is under way and nothing is queued."""
        deadline_ms = clock_ms() + PATIENCE_S * 1000
        quiet, polls = 0, 0
        while quiet < IDLE_POLLS:
            self._check(deadline_ms)
            # Counting a long queue costs the programs under measurement their time.
            if quiet or polls % LOOK_EVERY == 0:
                quiet = 0 if self._busy() else quiet + 1
            polls += 1
            self.pause.wait(POLL_S)

    def _check(self, deadline_ms: float) -> None:
        self.running.check()
        if clock_ms() > deadline_ms:
            raise BenchFailed(f"not everything was dealt with within {PATIENCE_S:g} s")

    def _busy(self) -> bool:
        if any(_whole(counts["webhooks_waiting"]) for counts in self.sandbox.stats().values()):
            return True
        with self.store.reading() as tx:
            return any(row["ready"] or row["running"] for row in tx.jobs.depth())

    def _work(self, own: int) -> None:
        """The person's edits that are due; and whether the alarm is on."""
        number = len(self.edits)
        if number < (clock_ms() - self.began_ms) * self.wish.per_s * len(Side) / 1000:
            side = list(Side)[number % 2]
            # Each side has its own half of them: nobody is edited on both.
            place = (number // 2 % max(1, own // 2)) * 2 + (side is Side.STRIPE)
            edit = _Edit(side, self.pairs[place][side is Side.STRIPE], f"Town {number}")
            self.sandbox.edit(side, "update", edit.record_id, {_CITY[side]: edit.value})
            self.edits.append(edit)
        if self._asked is None and self.held():
            operator = ThreadPoolExecutor(1)
            self._asked = operator.submit(self._ask)
            operator.shutdown(wait=False)

    def _ask(self) -> None:
        """What an operator does; nobody waits for it."""
        self.running.stage.run("status", "--json")
        self.alarm_ms = clock_ms()

    def join(self) -> None:
        """Wait until status has answered, if it was asked. Raises what it raised."""
        if self._asked is not None:
            self._asked.result()

    def held(self) -> list[tuple[str, int]]:
        """Open holds as status tells them: source and people."""
        with self.store.reading() as tx:
            return [(row.source, row.people) for row in tx.holds.all()]

    def overwritten(self) -> list[int]:
        """When each customer got an imported value."""
        first: dict[str, int] = {}
        for entry in self.entries(Side.STRIPE):
            if entry[2].startswith("Imported"):
                first.setdefault(entry[1], entry[0])
        return sorted(first.values())

    def entries(self, side: Side) -> Iterator[tuple[int, str, str]]:
        """(at, record id, value) of every committed value."""
        with self.sandbox.lock:
            found = self.sandbox.machines[side].journal.after(0)
        for entry in found:
            for value in entry.changes.values():
                yield entry.at_ms, entry.record_id, value

    def latencies(self) -> list[float]:
        """Seconds until each of the person's edits, or a newer one of the same record, was on the other side.

        Infinity for one that never was.
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


def measure(wish: Wish, database: str | None) -> dict[str, object]:
    """The figures; times from the commits of both stand-ins. Raises BenchFailed."""
    with _ready(wish, database) as bench:
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
            "contacts": wish.contacts,
            "people": wish.people,
            "overwritten": len(overwritten),
            "held": sum(people for _, people in held),
            "holds": len(held),
            "alarm_s": round((bench.alarm_ms - overwritten[-1]) / 1000, 2) if overwritten and bench.alarm_ms else None,
            "alarm_after_first_edit_s": round((bench.alarm_ms - bench.began_ms) / 1000, 2) if bench.alarm_ms else None,
            "settled_s": round((settled_ms - bench.began_ms) / 1000, 1),
            **{f"person_{name}": value for name, value in spread(took, "s").items()},
            "person_edits": len(took),
            "person_lost": sum(span == float("inf") for span in took),
            "creations": wish.creations,
            "creations_missing": missing,
            "creations_held": tripped,
            "changed_by_discard": changed,
            "held_after_discard": len(bench.held()),
            "webhook_p99_s": round(percentile(_answers(bench.running), 0.99) / 1000, 3),
            "windows_over_limit": sum(watch.windows_over for watch in bench.running.watches.values()),
            "rate_limited": sum(_whole(counts["rate_limited"]) for counts in stats.values()),
            "workers": wish.workers,
            "machine": describe_machine(bench.running.stage.database),
        }


@contextmanager
def _ready(wish: Wish, database: str | None) -> Iterator[_Bench]:
    sandbox = build_sandbox(wish.limits)
    pairs = _plant(sandbox, wish.contacts)
    with run_everything(sandbox, database, wish.limits, wish.workers, brake__people=str(wish.people)) as running:
        store = open_state(load(None, running.stage.env), migrate=False)
        try:
            bench = _Bench(wish, running, store, pairs)
            bench.rest()
            yield bench
        finally:
            store.close()


def _plant(sandbox: Sandbox, count: int) -> list[tuple[str, str]]:
    """People who are the same on both sides: (contact id, customer id)."""
    rng = random.Random(1)  # noqa: S311 - made-up people
    pairs = []
    for number in range(count):
        human = replace(make_person(number, rng), company=f"Old {number}", business=False)
        contact_id = sandbox.edit(Side.HUBSPOT, "create", None, human.contact())
        pairs.append((contact_id, sandbox.edit(Side.STRIPE, "create", None, human.customer())))
    return pairs


def _discard(bench: _Bench) -> int:
    """Leave everything as it is: how many customers are another than before."""
    before = _companies(bench.sandbox)
    bench.running.stage.run("hold", "discard", "all", "--yes")
    bench.rest()
    after = _companies(bench.sandbox)
    return sum(before[record_id] != company for record_id, company in after.items())


def _companies(sandbox: Sandbox) -> dict[str, str]:
    return {row["id"]: row.get("business_name", "") for row in sandbox.records(Side.STRIPE)}


def _answers(running: Running) -> list[int]:
    return [took for watch in running.watches.values() for took in watch.answers_ms]


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
