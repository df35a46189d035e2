"""``bench steady``: the latency of edits at a steady rate on both sides."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from wanesync.bench.environment import Limits, Running, build_sandbox, run_everything
from wanesync.bench.figures import describe_machine, percentiles
from wanesync.core.model import Side
from wanesync.sandbox.control_client import ControlClient
from wanesync.sandbox.journal import Entry
from wanesync.sandbox.seed_data import make_person
from wanesync.sandbox.server import Sandbox, clock_ms

PAIRS = 200
MAX_WAIT_S = 30.0
"""Seconds after the last edit; edits that have not arrived by then are lost. The target is 30 s."""
FIELDS = {"city": "address.city", "address": "address.line1", "company": "business_name"}
"""The edited fields: name on HubSpot to name on Stripe."""


@dataclass(frozen=True, slots=True)
class SteadyOptions:
    """The options of the benchmark. ``per_side``: edits per second on each side."""

    seconds: float = 60
    per_side: float = 5
    limits: Limits = field(default_factory=Limits)
    workers: int = 1


@dataclass(frozen=True, slots=True)
class _Edit:
    side: Side
    field: str
    value: str


def measure(options: SteadyOptions, database: str | None) -> dict[str, object]:
    """``p50_s p95_s p99_s max_s``, also by direction; ``lost``: edits that had not arrived 30 s after the last one.

    The latency is the time from the commit of an edit to the commit of its value on the other side.
    """
    sandbox = build_sandbox(options.limits)
    pairs = _plant(sandbox)
    with run_everything(sandbox, database, options.limits, options.workers) as running:
        edits = _edit_all(running, pairs, options)
        took = _wait(running, edits)
        arrived = [span for spans in took.values() for span in spans]
        return {
            **percentiles(arrived, "s"),
            "edits": len(edits),
            "lost": len(edits) - len(arrived),
            "to_stripe": percentiles(took[Side.HUBSPOT], "s"),
            "to_hubspot": percentiles(took[Side.STRIPE], "s"),
            "rate_limited": sum(int(str(stats["rate_limited"])) for stats in sandbox.stats().values()),
            "workers": options.workers,
            "machine": describe_machine(running.environment.database),
        }


def _plant(sandbox: Sandbox) -> list[tuple[str, str]]:
    """Create people that are equal on both sides: (contact id, customer id)."""
    rng = random.Random(1)  # noqa: S311 - made-up people
    people = [make_person(number, rng) for number in range(PAIRS)]
    return [
        (
            sandbox.edit(Side.HUBSPOT, "create", None, person.contact()),
            sandbox.edit(Side.STRIPE, "create", None, person.customer()),
        )
        for person in people
    ]


def _edit_all(running: Running, pairs: list[tuple[str, str]], options: SteadyOptions) -> list[_Edit]:
    """Edit over HTTP at an even rate; each side edits other people."""
    client = ControlClient(running.sandbox.hubspot_url, running.sandbox.stripe_url)
    groups = {Side.HUBSPOT: pairs[::2], Side.STRIPE: pairs[1::2]}
    start_ms = clock_ms()
    step_ms = 1000 / options.per_side
    edits: list[_Edit] = []
    pause = threading.Event()
    for number in range(int(options.seconds * options.per_side)):
        pause.wait(max(0.0, start_ms + number * step_ms - clock_ms()) / 1000)
        for side, group in groups.items():
            contact_id, customer_id = group[number % len(group)]
            field = list(FIELDS)[number % len(FIELDS)]
            edit = _Edit(side, field, f"{side} edit {number}")
            name, record_id = (field, contact_id) if side is Side.HUBSPOT else (FIELDS[field], customer_id)
            client.edit(side, "update", record_id, {name: edit.value})
            edits.append(edit)
        running.check()
    return edits


def _wait(running: Running, edits: list[_Edit]) -> dict[Side, list[float]]:
    """The seconds of each edit by the side of the edit, without those that do not arrive in time."""
    deadline_ms = clock_ms() + MAX_WAIT_S * 1000
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
    """The time of the first commit of each value."""
    found: dict[str, int] = {}
    for entry in entries:
        for value in entry.changes.values():
            found.setdefault(value, entry.at_ms)
    return found
