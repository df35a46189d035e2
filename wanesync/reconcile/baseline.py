"""Baseline: both systems are accepted as they are. Pairs are linked, and their base is what both sides hold now.

Nothing is written on either side. From then on only changes flow. Values that differ stay on both sides and are listed
as conflicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import structlog

from wanesync.core.errors import WanesyncError
from wanesync.core.jobs import LOCK_WAIT_MS, Priority
from wanesync.core.model import BasePair, Conflict, Link, LinkState, Side, StoredRecord, split_key
from wanesync.core.plan import Plan, PlanContext, Rules
from wanesync.core.planner import plan
from wanesync.reconcile.compare import Report
from wanesync.reconcile.page_store import PageStore, knows_everything
from wanesync.store.clock import Clock, DatabaseClock
from wanesync.store.database import Tx
from wanesync.sync import plan_effects
from wanesync.sync.bad_rows import in_halves
from wanesync.sync.loader import load_contexts
from wanesync.sync.restored import end_listing
from wanesync.sync.runtime import Runtime

log = structlog.get_logger()

KEYS_PER_TRANSACTION = 100
"""Keys baselined in one transaction; our choice: workers write in between."""
LOCK_ATTEMPTS = 5
"""How often a key is tried whose lock another process holds, ``LOCK_WAIT_MS`` apart; our choice, about 1 s in all."""


@dataclass(slots=True)
class BaselineResult:
    """The result of a baseline. ``linked``: new links. ``based``: pairs with a new base. ``kept``: fields that differ.

    ``left``: keys that were locked at every attempt: run it again for them.
    """

    linked: int = 0
    based: int = 0
    kept: int = 0
    left: list[str] = field(default_factory=list)

    def add(self, other: BaselineResult) -> None:
        """Add another result's numbers, without the keys it left."""
        self.linked += other.linked
        self.based += other.based
        self.kept += other.kept


@dataclass(slots=True)
class Baseline:
    """One baseline of everything a comparison found."""

    runtime: Runtime
    clock: Clock = field(default_factory=DatabaseClock)

    def run(self, report: Report, progress: Callable[[int], None]) -> BaselineResult:
        """Link every pair and accept both its records. ``progress`` is called with the number of keys handled."""
        PageStore(self.runtime, report.snapshot).store_changed()
        total = BaselineResult()
        keys = _keys(report)
        while chunk := list(dict.fromkeys(islice(keys, KEYS_PER_TRANSACTION))):
            self._baseline_with_retries(chunk, total)
            progress(len(chunk))
        self.runtime.commit("baseline.end", lambda tx: self._end(tx, report, total))
        return total

    def _end(self, tx: Tx, report: Report, total: BaselineResult) -> None:
        if knows_everything(report.snapshot):
            end_listing(tx, report.snapshot.metadata()["began_ms"])
        counts = {"linked": total.linked, "based": total.based, "kept": total.kept, "left": len(total.left)}
        tx.journal.add("baseline", Side.HUBSPOT, "", "", counts)

    def _baseline_with_retries(self, keys: list[str], total: BaselineResult) -> None:
        for attempt in range(LOCK_ATTEMPTS):
            if attempt:
                self.clock.sleep_until(self.clock.monotonic_ms() + LOCK_WAIT_MS)
            found = self.runtime.commit("baseline.chunk", lambda tx, keys=keys: self._baseline_some(tx, keys))  # type: ignore[misc] # binds the loop's value
            total.add(found)
            keys = found.left
            if not keys:
                return
        total.left += [key for key in keys if key not in total.left]

    # -- one transaction

    def _baseline_some(self, tx: Tx, keys: Sequence[str]) -> BaselineResult:
        """Baseline some keys; one that fails alone is left (docs/correctness.md#bad-rows)."""

        def baseline(some: Sequence[str]) -> list[BaselineResult]:
            with tx.savepoint():
                return [self._baseline_keys(tx, some)]

        def leave(key: str, error: Exception) -> list[BaselineResult]:
            reason = str(error) if isinstance(error, WanesyncError) else type(error).__name__
            log.warning("key left", key=key, reason=reason)
            return [BaselineResult(left=[key])]

        total = BaselineResult()
        for found in in_halves(keys, baseline, leave):
            total.add(found)
            total.left += found.left
        return total

    def _baseline_keys(self, tx: Tx, keys: Sequence[str]) -> BaselineResult:
        """Store the links the planner would make, without its writes, and the new base of each pair."""
        found = BaselineResult()
        contacts = self._contacts_of(tx, keys)
        first = self._plan_all(tx, contacts)
        tokens = {key: self.runtime.new_id(tx.now_ms) for key in contacts}
        wanted = {tokens[key]: {key} | outcome.locks for key, (_, outcome) in first.items()}
        locked = self.runtime.lock_each(tx, wanted)
        found.left = [key for key in contacts if tokens[key] not in locked]
        plans: list[Plan] = []
        for key, (context, outcome) in self._plan_all(tx, [k for k in contacts if tokens[k] in locked]).items():
            if outcome.wait or not outcome.locks <= wanted[tokens[key]] or _is_stale(context, outcome):
                found.left.append(key)
            elif self._accept_pair(context, outcome, found):
                plans.append(outcome)
        plan_effects.apply_plans(tx, [plan_effects.Planned(outcome, Priority.BULK, decided=False) for outcome in plans])
        tx.locks.drop_many(sorted(locked))
        return found

    def _contacts_of(self, tx: Tx, keys: Sequence[str]) -> list[str]:
        """The contacts' keys, under which pairs are planned; an unlinked customer gives the contact it matches."""
        customers = [key for key in keys if split_key(key)[0] == "customer"]
        contexts = load_contexts(tx, customers) if customers else {}
        matched = [key for context in contexts.values() for _, key in sorted(self._plan(tx, context).wake)]
        return list(dict.fromkeys([*(key for key in keys if key not in contexts), *matched]))

    def _plan_all(self, tx: Tx, keys: Sequence[str]) -> dict[str, tuple[PlanContext, Plan]]:
        contexts = load_contexts(tx, keys) if keys else {}
        return {key: (contexts[key], self._plan(tx, contexts[key])) for key in keys}

    def _plan(self, tx: Tx, context: PlanContext) -> Plan:
        rules: Rules = replace(self.runtime.rules, differ="keep")
        return plan(context, rules, self.runtime.new_id(tx.now_ms))

    def _accept_pair(self, context: PlanContext, outcome: Plan, found: BaselineResult) -> bool:
        """Turn a plan into one that writes nothing; False: there is no pair, or nothing new to store."""
        pair = _find_pair(context, outcome)
        if pair is None:
            return False
        link, contact, customer = pair
        unknown = contact.record.unknown | customer.record.unknown
        names = [spec.name for spec in self.runtime.rules.fields.specs if spec.name not in unknown]
        base = {n: (contact.record.values.get(n, ""), customer.record.values.get(n, "")) for n in names}
        base |= {name: base_pair for name, base_pair in link.base.items() if name in unknown or "/" in name}
        if base == link.base and not link.parked and not outcome.links:
            return False
        before = next((old.base for old in context.links if old.id == link.id), {})
        unlike = {name: base_pair for name, base_pair in base.items() if self._differs(name, base_pair)}
        outcome.actions, outcome.wake = {}, set()
        outcome.new_holds = [held for held in outcome.new_holds if held[0] != link.id]
        outcome.conflicts = [(c, k) for c, k in outcome.conflicts if k != link.id]
        outcome.conflicts += [
            (Conflict(side, link.id_on(side), name, value, "differ"), link.id)
            for name, base_pair in unlike.items()
            if before.get(name) != base_pair
            for side, value in zip(Side, base_pair, strict=True)
        ]
        version = link.version if link.id in outcome.links else link.version + 1
        outcome.links[link.id] = replace(link, base=base, parked={}, version=version)
        found.linked += len(outcome.linked)
        found.based += 1
        found.kept += len(unlike)
        return True

    def _differs(self, name: str, base_pair: BasePair) -> bool:
        return all(base_pair) and not self.runtime.rules.fields.by_name[name].agree(*base_pair)


def _keys(report: Report) -> Iterator[str]:
    """Keys of all jobs and differences; some of them twice."""
    for key, _, _ in report.snapshot.jobs():
        yield key
    for difference in report.differences():
        if difference.key:
            yield difference.key


def _find_pair(context: PlanContext, outcome: Plan) -> tuple[Link, StoredRecord, StoredRecord] | None:
    """The primary link of a contact after the plan, and both its records; None: there is none, or one is deleted."""
    contact = context.find_alive(Side.HUBSPOT, split_key(context.key)[1])
    links = ({link.id: link for link in context.links} | outcome.links).values()
    for link in links:
        if contact and link.state is LinkState.ACTIVE and link.primary and link.hubspot_id == contact.id:
            customer = context.find_alive(Side.STRIPE, link.stripe_id)
            return (link, contact, customer) if customer else None
    return None


def _is_stale(context: PlanContext, outcome: Plan) -> bool:
    pair = _find_pair(context, outcome)
    return pair is not None and (pair[1].stale or pair[2].stale)
