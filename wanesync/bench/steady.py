"""``bench steady``: a few edits a second on each side, and how long each takes to the other one."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from wanesync.bench.figures import describe_machine, spread
from wanesync.bench.stage import Limits, Running, build_sandbox, run_everything
from wanesync.core.model import Side
from wanesync.sandbox.control_client import ControlClient
from wanesync.sandbox.journal import Entry
from wanesync.sandbox.seed_data import make_person
from wanesync.sandbox.server import Sandbox, clock_ms

PAIRS = 200
PATIENCE_S = 30.0
FIELDS = {"city": "address.city", "address": "address.line1", "company": "business_name"}
"""What is edited: its name on HubSpot and on Stripe."""


@dataclass(frozen=True, slots=True)
class Wish:
    """``seconds`` of edits, ``per_side`` a second on each side."""

    seconds: float = 60
    per_side: float = 5
    limits: Limits = field(default_factory=Limits)
    workers: int = 1


@dataclass(frozen=True, slots=True)
class _Edit:
    side: Side
    field: str
    value: str


def measure(wish: Wish, database: str | None) -> dict[str, object]:
    """``p50_s p95_s p99_s max_s``, also by direction; ``lost``: edits that had not arrived 30 s after the last one.

    From the journals of both stand-ins: the edit's commit to the commit of its value on the other side.
    """
    sandbox = build_sandbox(wish.limits)
    pairs = _plant(sandbox)
    with run_everything(sandbox, database, wish.limits, wish.workers) as running:
        edits = _edit_all(running, pairs, wish)
        took = _wait(running, edits)
        arrived = [span for spans in took.values() for span in spans]
        return {
            **spread(arrived, "s"),
            "edits": len(edits),
            "lost": len(edits) - len(arrived),
            "to_stripe": spread(took[Side.HUBSPOT], "s"),
            "to_hubspot": spread(took[Side.STRIPE], "s"),
            "rate_limited": sum(int(str(stats["rate_limited"])) for stats in sandbox.stats().values()),
            "workers": wish.workers,
            "machine": describe_machine(running.stage.database),
        }


def _plant(sandbox: Sandbox) -> list[tuple[str, str]]:
    """People who are the same on both sides: (contact id, customer id)."""
    rng = random.Random(1)  # noqa: S311 - made-up people
    humans = [make_person(number, rng) for number in range(PAIRS)]
    return [
        (
            sandbox.edit(Side.HUBSPOT, "create", None, h.contact()),
            sandbox.edit(Side.STRIPE, "create", None, h.customer()),
        )
        for h in humans
    ]


def _edit_all(running: Running, pairs: list[tuple[str, str]], wish: Wish) -> list[_Edit]:
    """Edit through the control doors, evenly in time; each side edits people of its own half."""
    doors = ControlClient(running.sandbox.hubspot_url, running.sandbox.stripe_url)
    halves = {Side.HUBSPOT: pairs[::2], Side.STRIPE: pairs[1::2]}
    start_ms = clock_ms()
    step_ms = 1000 / wish.per_side
    edits: list[_Edit] = []
    pause = threading.Event()
    for number in range(int(wish.seconds * wish.per_side)):
        pause.wait(max(0.0, start_ms + number * step_ms - clock_ms()) / 1000)
        for side, half in halves.items():
            contact_id, customer_id = half[number % len(half)]
            field = list(FIELDS)[number % len(FIELDS)]
            edit = _Edit(side, field, f"{side} edit {number}")
            name, record_id = (field, contact_id) if side is Side.HUBSPOT else (FIELDS[field], customer_id)
            doors.edit(side, "update", record_id, {name: edit.value})
            edits.append(edit)
        running.check()
    return edits


def _wait(running: Running, edits: list[_Edit]) -> dict[Side, list[float]]:
    """Seconds each edit took, by the side it was made on; those that do not arrive in time are left out."""
    deadline_ms = clock_ms() + PATIENCE_S * 1000
    pause = threading.Event()
    while True:
        took = _match(running, edits)
        if sum(map(len, took.values())) == len(edits) or clock_ms() > deadline_ms:
            return took
        pause.wait(0.2)


def _match(running: Running, edits: list[_Edit]) -> dict[Side, list[float]]:
    with running.sandbox.lock:
        journals = {side: machine.journal.after(0) for side, machine in running.sandbox.machines.items()}
    times = {side: _first_times(entries) for side, entries in journals.items()}
    took: dict[Side, list[float]] = {side: [] for side in Side}
    for edit in edits:
        there = times[edit.side.other].get(edit.value)
        if there is not None:
            took[edit.side].append((there - times[edit.side][edit.value]) / 1000)
    return took


def _first_times(entries: Iterable[Entry]) -> dict[str, int]:
    """Value -> when it was first committed."""
    found: dict[str, int] = {}
    for entry in entries:
        for value in entry.changes.values():
            found.setdefault(value, entry.at_ms)
    return found
