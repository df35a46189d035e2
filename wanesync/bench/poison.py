"""``bench poison``: one bad thing at a time, and the latency of all other edits meanwhile.

A record, an event, a listing, a property, a hot record and a guest that once stopped all sync for all people are each
played beside a steady trickle of edits of other people.
"""

from __future__ import annotations

import http.client
import random
import string
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

from wanesync.bench import BenchFailed
from wanesync.bench.environment import Limits, Running, build_sandbox, run_everything
from wanesync.bench.figures import describe_machine, percentile, percentiles
from wanesync.child_process import ChildFailed
from wanesync.config.model import load
from wanesync.core.model import Side
from wanesync.ops.alarms import read_alarms
from wanesync.sandbox.hubspot.webhooks import sign
from wanesync.sandbox.seed_data import make_person
from wanesync.sandbox.server import Sandbox, clock_ms
from wanesync.store.database import Store
from wanesync.wiring import open_database

PEOPLE = 60
"""People of the trickle, and some for the poisons; each edit is of another person than the one before."""
VICTIMS = 12
MAX_WAIT_S = 60.0
"""How long an edit is waited for, and an alarm: within it ``status --check`` names what is wrong."""
POLL_S = 0.25
HOT_EVENTS = 10_000
POST_EVENTS = 100
LONG_ID = 10_000
LONG_SOURCE = 8_000
FIELDS = {Side.HUBSPOT: "city", Side.STRIPE: "address.city"}


@dataclass(frozen=True, slots=True)
class PoisonOptions:
    """``names``: the poisons to play, all without any. Edits come for ``seconds`` with each, ``per_s`` on each side."""

    names: Sequence[str] = ()
    seconds: float = 15
    per_s: float = 2
    limits: Limits = field(default_factory=Limits)
    workers: int = 1


@dataclass(slots=True)
class _Run:
    """One installation, the people of the trickle and those who are poisoned."""

    options: PoisonOptions
    running: Running
    store: Store
    people: Sequence[tuple[str, str]]
    victims: list[tuple[str, str]]
    pause: threading.Event = field(default_factory=threading.Event)
    number: int = 0
    rng: random.Random = field(default_factory=lambda: random.Random(5))  # noqa: S311 - made-up values

    @property
    def sandbox(self) -> Sandbox:
        """Both stand-ins."""
        return self.running.sandbox

    def play(self, name: str) -> dict[str, object]:
        """Play one poison: the latencies of the others' edits, and how soon an alarm named it."""
        before, began_ms = set(read_alarms(self.store)), clock_ms()
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(POISONS[name], self)
            edits, named = self._edit_others(done, before, began_ms)
            done.result()
        took, more = self._wait_for(edits, before, began_ms)
        named = named or more
        if named is None and name in NAMED:
            named = self._wait_for_alarm(before, began_ms)
        arrived = [span for span in took if span is not None]
        return {
            **percentiles(arrived, "s"),
            "edits": len(edits),
            "lost": len(edits) - len(arrived),
            "named_s": round(named[0], 1) if named else "nothing to mend" if name not in NAMED else "not named",
            "alarm": named[1] if named else "",
        }

    def _edit_others(
        self, done: Future[None], before: set[str], began_ms: int
    ) -> tuple[list[tuple[Side, str]], tuple[float, str] | None]:
        edits: list[tuple[Side, str]] = []
        named: tuple[float, str] | None = None
        step_s = 1 / self.options.per_s
        start_ms = clock_ms()
        while not done.done() or clock_ms() < start_ms + self.options.seconds * 1000:
            for side in Side:
                person = self.people[self.number % len(self.people)]
                self.number += 1
                value = f"Town {self.number}"
                self.sandbox.edit(side, "update", person[side is Side.STRIPE], {FIELDS[side]: value})
                edits.append((side, value))
            named = named or self._find_alarm(before, began_ms)
            self.running.check()
            self.pause.wait(step_s)
        return edits, named

    def _wait_for(
        self, edits: Sequence[tuple[Side, str]], before: set[str], began_ms: int
    ) -> tuple[list[float | None], tuple[float, str] | None]:
        """The seconds of each edit, None for one that did not arrive in time."""
        deadline_ms = clock_ms() + MAX_WAIT_S * 1000
        named: tuple[float, str] | None = None
        while True:
            times = {side: self._first_times(side) for side in Side}
            there = [(times[side][value], times[side.other].get(value)) for side, value in edits]
            named = named or self._find_alarm(before, began_ms)
            if all(at_ms is not None for _, at_ms in there) or clock_ms() > deadline_ms:
                return [None if at_ms is None else (at_ms - from_ms) / 1000 for from_ms, at_ms in there], named
            self.pause.wait(POLL_S)

    def _wait_for_alarm(self, before: set[str], began_ms: int) -> tuple[float, str] | None:
        while clock_ms() < began_ms + MAX_WAIT_S * 1000:
            if found := self._find_alarm(before, began_ms):
                return found
            self.pause.wait(POLL_S)
        return None

    def _find_alarm(self, before: set[str], began_ms: int) -> tuple[float, str] | None:
        new = [alarm for alarm in read_alarms(self.store) if alarm not in before]
        return ((clock_ms() - began_ms) / 1000, new[0]) if new else None

    def _first_times(self, side: Side) -> dict[str, int]:
        with self.sandbox.lock:
            entries = self.sandbox.machines[side].journal.after(0)
        found: dict[str, int] = {}
        for entry in entries:
            for value in entry.changes.values():
                found.setdefault(value, entry.at_ms)
        return found

    # -- what poisons use

    def next_victim(self) -> tuple[str, str]:
        """A person who is not of the trickle: contact id and customer id."""
        return self.victims.pop()

    def change_of(self, contact_id: str, **facts: object) -> dict[str, object]:
        """One element of a HubSpot webhook."""
        settings = self.sandbox.hubspot.portal.settings
        return {
            "eventId": self.rng.randrange(1 << 40),
            "subscriptionId": 1,
            "portalId": settings.portal_id,
            "appId": settings.app_id,
            "occurredAt": clock_ms(),
            "subscriptionType": "contact.propertyChange",
            "attemptNumber": 0,
            "objectId": int(contact_id),
            "changeSource": "CRM_UI",
            "sourceId": "userId:1",
            "propertyName": "company",
            "propertyValue": "Poison",
            "isSensitive": False,
            **facts,
        }

    def post(self, elements: Sequence[Mapping[str, object]]) -> None:
        """Send one signed POST. Raises BenchFailed for another answer than 200."""
        target = self.sandbox.hubspot.portal.webhooks.outbox.target
        if target is None:
            raise BenchFailed("the sandbox sends no webhooks")
        body, parts = orjson.dumps(elements), urlsplit(target.url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        try:
            headers = {"Content-Type": "application/json", **sign(target, body, clock_ms())}
            connection.request("POST", parts.path, body, headers)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise BenchFailed(f"wanesync serve answered {answer.status} to a signed POST")


def _long_id(run: _Run) -> None:
    letters = "".join(run.rng.choices(string.ascii_letters, k=LONG_ID))
    contact_id, _ = run.next_victim()
    run.sandbox.edit(Side.HUBSPOT, "update", contact_id, {"stripe_customer_id": letters})


def _long_source(run: _Run) -> None:
    source = "".join(run.rng.choices(string.ascii_letters, k=LONG_SOURCE))
    run.post([run.change_of(run.next_victim()[0], sourceId=source)])


def _null_character(run: _Run) -> None:
    run.post([run.change_of(run.next_victim()[0], changeSource="CRM\0UI"), run.change_of(run.next_victim()[0])])


def _half_emoji(run: _Run) -> None:
    run.sandbox.edit(Side.HUBSPOT, "update", run.next_victim()[0], {"firstname": "\ud83d"})
    with suppress(ChildFailed):  # it ends with 1, because one record is set aside
        run.running.environment.run("reconcile", "--wait")


def _lost_property(run: _Run) -> None:
    run.sandbox.edit(Side.HUBSPOT, "property", "phone", {"archived": "true"})
    contact_id, customer_id = run.next_victim()
    run.sandbox.edit(Side.STRIPE, "update", customer_id, {"phone": "+4930901820"})
    run.sandbox.edit(Side.HUBSPOT, "update", contact_id, {"city": "Poison"})


def _found_property(run: _Run) -> None:
    run.sandbox.edit(Side.HUBSPOT, "property", "phone", {"archived": "false"})


def _hot_record(run: _Run) -> None:
    contact_id, _ = run.next_victim()
    now_ms = clock_ms() - HOT_EVENTS
    for first in range(0, HOT_EVENTS, POST_EVENTS):
        run.post(
            [
                run.change_of(contact_id, occurredAt=now_ms + at, propertyValue=f"Hot {at}")
                for at in range(first, first + POST_EVENTS)
            ]
        )


def _guest_of_two(run: _Run) -> None:
    """An address moves from one contact to another, and the first webhook is lost; then a guest pays with it."""
    (old, _), (new, _) = run.next_victim(), run.next_victim()
    portal = run.sandbox.hubspot.portal
    address = f"moved{run.rng.randrange(1 << 30)}@example.com"
    run.sandbox.edit(Side.HUBSPOT, "update", old, {"email": address})
    run.pause.wait(4)
    target = portal.webhooks.outbox.target
    run.sandbox.set_target(Side.HUBSPOT, None)
    run.sandbox.edit(Side.HUBSPOT, "update", old, {"email": f"left.{address}"})
    run.sandbox.set_target(Side.HUBSPOT, target)
    run.sandbox.edit(Side.HUBSPOT, "update", new, {"email": address})
    run.pause.wait(2)
    run.sandbox.edit(Side.STRIPE, "purchase", None, {"amount": "500", "currency": "eur", "email": address})


POISONS: Mapping[str, Callable[[_Run], None]] = {
    "calm": lambda _run: None,
    "long_id": _long_id,
    "long_source": _long_source,
    "null_character": _null_character,
    "half_emoji": _half_emoji,
    "lost_property": _lost_property,
    "found_property": _found_property,
    "hot_record": _hot_record,
    "guest_of_two": _guest_of_two,
}
"""Each poison once stopped the sync of all people, or could."""
NAMED = frozenset({"long_id", "null_character", "half_emoji", "lost_property", "hot_record"})
"""Poisons that a person has to mend: an alarm names them. The others settle by themselves."""


def measure(options: PoisonOptions, database: str | None) -> dict[str, dict[str, object]]:
    """For each poison the latency of the other people's edits, those lost, and when an alarm named it.

    Raises BenchFailed, ConfigError.
    """
    sandbox = build_sandbox(options.limits)
    rng = random.Random(3)  # noqa: S311 - made-up people
    made = [make_person(number, rng) for number in range(PEOPLE + VICTIMS)]
    pairs = [
        (
            sandbox.edit(Side.HUBSPOT, "create", None, person.contact()),
            sandbox.edit(Side.STRIPE, "create", None, person.customer()),
        )
        for person in made
    ]
    with run_everything(sandbox, database, options.limits, options.workers, purchases__guest="create") as running:
        store = open_database(load(None, running.environment.env))
        try:
            run = _Run(options, running, store, pairs[:PEOPLE], pairs[PEOPLE:])
            figures = {name: run.play(name) for name in options.names or POISONS}
        finally:
            store.close()
        return figures | {"machine": describe_machine(running.environment.database)}


def find_slow(figures: Mapping[str, Mapping[str, object]], max_s: float) -> list[str]:
    """The poisons with which an edit was lost or took longer than ``max_s``."""
    return [
        name
        for name, found in figures.items()
        if name in POISONS and (found["lost"] or percentile([float(str(found["max_s"]))], 1) > max_s)
    ]
