"""Plan files: what a comparison found, kept to be looked at, and carried out later exactly as it was seen.

The file (``store/plan_file``) holds no value anybody could read. What is applied is what it says, person by person, or
it is left alone and named: records are read again first, and then judged as when the plan was made.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

from wanesync.core.difference import ACTIONABLE, Class, Difference, judge
from wanesync.core.errors import ConfigError
from wanesync.core.job import JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.core.proposal import (
    Deviation,
    Head,
    Item,
    find_deviation,
    find_misfits,
    propose,
    read_head,
    read_item,
    values_of,
)
from wanesync.engine.comparison import Report
from wanesync.engine.context import Engine
from wanesync.engine.keeping import Keeper
from wanesync.engine.pace import Pacer
from wanesync.engine.rereading import THREADS, Rereading
from wanesync.engine.scene import LISTED, load_scenes
from wanesync.store.plan_file import PlanWriter, opened_plan, whole_file
from wanesync.store.store import Tx

_T = TypeVar("_T")
PINS = ("pin_portal", "pin_stripe_account", "pin_stripe_mode")
CHUNK = 100
LINKED = 500
"""Pairs to be linked that are queued in one transaction."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a report goes into a plan.

    ``only``: people with a difference of one of these classes; empty: all, pairs that are merely to be linked among
    them. ``limit``: so many people or pairs, the latter first.
    """

    only: frozenset[Class] = frozenset()
    limit: int | None = None


@dataclass(slots=True)
class Saved:
    """What a plan file holds: differences to be repaired, by class, and keys of which nothing is written."""

    items: Counter[Class] = field(default_factory=Counter)
    links: int = 0


@dataclass(slots=True)
class Applied:
    """What became of a plan. ``queued``: passes handed to the workers; ``keys``: of so many people or pairs.

    ``skipped``: what is no longer as planned, and was left alone.
    """

    run_id: str
    queued: int = 0
    keys: int = 0
    skipped: list[Deviation] = field(default_factory=list)


@dataclass(slots=True)
class Proposals:
    """Saving and carrying out plan files. ``threads``: reads of Stripe at the same time."""

    engine: Engine
    pacers: Mapping[Side, Pacer]
    threads: int = THREADS

    def save(self, report: Report, path: Path, extent: Extent | None = None) -> Saved:
        """Write what a reconcile would do into a file of mode 0600, and store what was listed, which it is based on.

        Raises ``ConfigError`` when the file cannot be written; then an older one of that name stays as it was.
        """
        wanted = extent or Extent()
        Keeper(self.engine, report.snapshot).adopt()
        saved = Saved()
        with whole_file(path) as file:
            out = PlanWriter(file, self._sign)
            out.head(json.dumps(self._head(report.counts).as_json()))
            saved.links = out.links(islice(_links(report, wanted), wanted.limit))
            left = None if wanted.limit is None else wanted.limit - saved.links
            out.items(self._seal(d, saved) for each in islice(_people(report, wanted), left) for d in each)
            out.end()
        return saved

    def apply(self, path: Path, progress: Callable[[int], None]) -> Applied:
        """Queue what a plan says wherever that is still what would be done; its records are read again first.

        ``progress`` is told how many people or pairs were dealt with. Raises ``ConfigError`` before anything happens
        (another version, other accounts, another field map, an altered file), and ``SideDown``: what was queued until
        then stays, and the same plan may be given again.
        """
        with opened_plan(path, self._sign) as plan:
            if problems := find_misfits(read_head(plan.head), self._head({})):
                raise ConfigError(problems)
            digest = plan.check()
            applied = Applied(self.engine.commit("proposal.begin", lambda tx: self._begin(tx, digest)))
            for texts in _chunks(plan.links(), LINKED):
                self._queue([str(json.loads(text)) for text in texts], applied)
                progress(len(texts))
            people = groupby(map(read_item, plan.items()), key=lambda item: item.key)
            for chunk in _chunks((list(items) for _, items in people), CHUNK):
                self._apply(chunk, applied)
                progress(len(chunk))
        self.engine.commit("proposal.end", lambda tx: _end(tx, applied))
        return applied

    # -- saving

    def _head(self, counts: Mapping[Class, int]) -> Head:
        with self.engine.store.reading() as tx:
            portal, account, mode = (tx.settings.get(name) or "" for name in PINS)
            made_ms = tx.now_ms
        named = {str(kind): number for kind, number in counts.items()}
        return Head(portal, account, mode, self.engine.rules.fields.version, made_ms, named)

    def _seal(self, difference: Difference, saved: Saved) -> str:
        saved.items[difference.kind] += 1
        item = propose(difference, self.engine.store.row_hash)
        values = json.dumps(values_of(difference))
        sealed = self.engine.store.seal.seal(values, "plan", f"{item.kind} {item.key}", "values")
        return json.dumps(item.as_json() | {"sealed": base64.b64encode(sealed).decode()})

    def _sign(self, digest: str) -> str:
        return self.engine.store.row_hash(f"plan file {digest}")

    # -- applying

    def _begin(self, tx: Tx, digest: str) -> str:
        run_id = self.engine.new_id(tx.now_ms)
        if tx.settings.get(LISTED) is None:
            # A plan is made of a complete listing, and its digest says that it was made here.
            tx.settings.put(LISTED, str(tx.now_ms))
        tx.journal.add("plan", Side.HUBSPOT, "", "", {"run": run_id, "digest": digest})
        return run_id

    def _queue(self, keys: list[str], applied: Applied) -> None:
        sides = {"contact": Side.HUBSPOT, "customer": Side.STRIPE}
        requests = [_request(sides[key.partition(":")[0]], key, applied.run_id) for key in keys]
        self.engine.commit("proposal.queue", lambda tx: tx.jobs.put_many(requests))
        applied.queued += len(requests)
        applied.keys += len(keys)

    def _apply(self, people: list[list[Item]], applied: Applied) -> None:
        items = [item for each in people for item in each]
        contacts = dict.fromkeys(item.hubspot_id for item in items if item.hubspot_id)
        customers = dict.fromkeys(item.stripe_id for item in items if item.stripe_id)
        reading = Rereading(self.engine, self.pacers, self.threads)
        answers = reading.ask(list(contacts), list(customers))

        def judge_all(tx: Tx) -> tuple[list[JobRequest], list[Deviation]]:
            reading.store(tx, answers)
            scenes = load_scenes(tx, [each[0].key for each in people])
            requests: list[JobRequest] = []
            skipped: list[Deviation] = []
            for each in people:
                judged = judge(scenes[each[0].key], self.engine.rules)
                deviation = find_deviation(each, judged.differences, self.engine.store.row_hash)
                if deviation is None:
                    requests += [_request(lane, judged.key, applied.run_id) for lane in judged.lanes]
                else:
                    skipped.append(deviation)
            tx.jobs.put_many(requests)
            return requests, skipped

        requests, skipped = self.engine.commit("proposal.apply", judge_all)
        applied.queued += len(requests)
        applied.keys += len(people) - len(skipped)
        applied.skipped += skipped


def _request(lane: Side, key: str, run_id: str) -> JobRequest:
    return JobRequest(lane, JobKind.WRITE, key, Priority.BULK, run_id=run_id)


def _end(tx: Tx, applied: Applied) -> None:
    counts = {"queued": applied.queued, "keys": applied.keys, "skipped": len(applied.skipped)}
    tx.journal.add("plan applied", Side.HUBSPOT, "", "", {"run": applied.run_id, **counts})


def _links(report: Report, wanted: Extent) -> Iterator[str]:
    """Keys of which nothing is written, as JSON: pairs to be linked, and what is merely to be remembered."""
    if not wanted.only:
        for key, _, kinds in report.work():
            if kinds in ("", "plain"):
                yield json.dumps(key)


def _people(report: Report, wanted: Extent) -> Iterator[list[Difference]]:
    """All that would be written of a key, or nothing of it: its pass does not know of a half."""
    found = (difference for difference in report.differences() if difference.kind in ACTIONABLE)
    for _, of_key in groupby(found, key=lambda difference: difference.key):
        differences = list(of_key)
        if not wanted.only or any(difference.kind in wanted.only for difference in differences):
            yield differences


def _chunks(values: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk
