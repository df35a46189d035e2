"""Diff and reconcile: list both sides, plan everything with the same planner as live sync, show it, queue it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from wanesync.core.action import Plan
from wanesync.core.difference import ACTIONABLE, Class, Difference, classify
from wanesync.core.guards import Volume, check_listing, check_volume
from wanesync.core.job import JobKind, JobRequest, Priority
from wanesync.core.match import Scene
from wanesync.core.model import Side, WriteKind, contact_key, customer_key
from wanesync.core.plan import plan
from wanesync.engine.context import Engine
from wanesync.engine.listing import Listed, Listing, Progress
from wanesync.engine.pace import Pacer
from wanesync.engine.scene import LISTED, load_scenes
from wanesync.store.store import Tx

CHUNK = 200
QUEUED = 500  # jobs in one transaction: webhooks and workers get their turn in between


@dataclass(slots=True)
class Report:
    """What a comparison found.

    ``keys``: the keys that need a pass; ``vanished``: known, but not listed; ``creating``: address
    hashes of the people to be created, of whom each is created once.
    """

    counts: Counter[Class] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    keys: list[tuple[Side, str]] = field(default_factory=list)
    to_link: int = 0
    requests: int = 0
    vanished: list[tuple[Side, str]] = field(default_factory=list)
    volume: Volume = field(default_factory=Volume)
    creating: set[str] = field(default_factory=set)

    @property
    def actionable(self) -> int:
        """Differences a reconcile would repair."""
        return sum(self.counts[kind] for kind in ACTIONABLE)


@dataclass(slots=True)
class Reconcile:
    """One run over everything."""

    engine: Engine
    pacers: dict[Side, Pacer]

    def look(self, progress: Progress, compared: Callable[[int], None]) -> tuple[Listed, Report]:
        """List and compare; nothing is written on either side. Raises ``SideDown`` and ``GuardError``."""
        listed = Listing(self.engine, self.pacers).run(progress)
        return listed, self.compare(listed, compared)

    def compare(self, listed: Listed, compared: Callable[[int], None]) -> Report:
        """Plan every key of what is stored, as if both sides had been listed."""
        report = Report(requests=listed.requests)
        with self.engine.store.reading() as tx:
            self._check_completeness(tx, listed)
            report.volume.links = tx.links.count_active()
            for keys in self._keys(tx):
                scenes = load_scenes(tx, keys)
                for key in keys:
                    self._judge(scenes[key], report)
                compared(len(keys))
            for side in Side:
                known = set(self._ids(tx, side))
                report.vanished += [(side, i) for i in sorted(known - listed.ids[side])]
        return report

    def queue(self, listed: Listed, report: Report, *, force: bool = False) -> str:
        """Hand what differs to the workers; returns the run id. Raises ``GuardError`` before anything is queued."""
        if not force:
            check_volume(report.volume)

        requests = [(side, JobKind.WRITE, key) for side, key in report.keys]
        requests += [(side, JobKind.READ, record_id) for side, record_id in report.vanished]

        def begin(tx: Tx) -> str:
            run_id = self.engine.new_id(tx.now_ms)
            if tx.settings.get(LISTED) is None:
                tx.settings.put(LISTED, str(listed.began_ms))
            counts = {str(kind): n for kind, n in report.counts.items()}
            tx.journal.add("reconcile", Side.HUBSPOT, "", "", {"run": run_id, "counts": counts, "jobs": len(requests)})
            return run_id

        run_id = self.engine.commit("reconcile.queue", begin)
        for start in range(0, len(requests), QUEUED):
            jobs = [JobRequest(*what, Priority.BULK, run_id=run_id) for what in requests[start : start + QUEUED]]
            self.engine.commit("reconcile.queue", lambda tx, jobs=jobs: tx.jobs.put_many(jobs))  # type: ignore[misc] # binds the loop's value
        return run_id

    # -- parts

    def _check_completeness(self, tx: Tx, listed: Listed) -> None:
        """Fewer than half of a side's linked ids listed is no listing to act on."""
        linked: dict[Side, set[str]] = {Side.HUBSPOT: set(), Side.STRIPE: set()}
        after = ""
        while page := tx.links.page(after, CHUNK):
            for link in page:
                if link.state == "active":
                    linked[Side.HUBSPOT].add(link.hubspot_id)
                    linked[Side.STRIPE].add(link.stripe_id)
            after = page[-1].id
        for side in Side:
            check_listing(side, len(linked[side]), len(linked[side] & listed.ids[side]))

    def _judge(self, scene: Scene, report: Report) -> None:
        scene = replace(scene, reading=frozenset(), listed=True)
        outcome = plan(scene, self.engine.rules, "dry")
        found = [self._once(d, outcome, report) for d in classify(scene, outcome, self.engine.rules)]
        report.counts.update(d.kind for d in found)
        report.differences += [d for d in found if d.kind is not Class.IN_SYNC]
        report.to_link += len(outcome.linked)
        report.volume.add(outcome)
        if outcome.actions or outcome.wait or (outcome.changes and not _only_wakes(outcome)):
            report.keys += [(side, scene.key) for side in _lanes(scene, outcome)]

    def _once(self, difference: Difference, outcome: Plan, report: Report) -> Difference:
        """Of several records of one side that share an address, only the first has its twin created."""
        hmacs = {h for action in outcome.actions.values() if action.kind is WriteKind.CREATE for h in action.hmacs}
        if hmacs & report.creating:
            return replace(difference, kind=Class.DUPLICATE, note="shares its e-mail with another record")
        report.creating |= hmacs
        return difference

    def _keys(self, tx: Tx) -> Iterator[list[str]]:
        for side, key in ((Side.HUBSPOT, contact_key), (Side.STRIPE, customer_key)):
            chunk: list[str] = []
            for record_id in self._ids(tx, side):
                chunk.append(key(record_id))
                if len(chunk) == CHUNK:
                    yield chunk
                    chunk = []
            if chunk:
                yield chunk

    def _ids(self, tx: Tx, side: Side) -> Iterator[str]:
        after = ""
        while page := tx.records.ids(side, after, 1000):
            yield from page
            after = page[-1]


def _only_wakes(outcome: Plan) -> bool:
    """A customer's plan that only points at its contact: the contact's own key is looked at anyway."""
    return not replace(outcome, wake=set()).changes


def _lanes(scene: Scene, outcome: Plan) -> list[Side]:
    """Lanes that have something to do: those that write, else the record's own."""
    own = Side.HUBSPOT if scene.key.startswith("contact:") else Side.STRIPE
    return sorted(outcome.actions) or [own]
