"""Applies decisions: each under the locks of its records, in one transaction with its journal entry.

A decision changes links, bases and notes, and queues jobs; the workers write the values as always. The changed records
of the comparison must be stored in the database before (``PageStore.store_changed``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from wanesync.core.diff.decision_checks import DecisionContext, check_decision, creates, find_link
from wanesync.core.diff.decisions import (
    CREATING,
    SETTLING,
    Decision,
    Problem,
    Verdict,
    read_decisions,
    refuse,
)
from wanesync.core.diff.difference import compare_key
from wanesync.core.diff.settling import list_winners, settle
from wanesync.core.errors import DecryptionFailed
from wanesync.core.jobs import LOCK_WAIT_MS, JobKind, JobRequest, Priority
from wanesync.core.model import (
    BY_DECISION,
    WANTED,
    Conflict,
    Link,
    LinkState,
    RecordRef,
    Side,
    contact_key,
    customer_key,
)
from wanesync.core.operating.operators import SYSTEM, Operator
from wanesync.core.plan import WAIT_TEXTS, Plan, PlanContext
from wanesync.core.planner import find_buried, plan, replace_primary
from wanesync.store.clock import Clock, DatabaseClock
from wanesync.store.database import Tx
from wanesync.store.tables.conflicts import ConflictRow
from wanesync.sync import plan_effects
from wanesync.sync.bad_rows import in_halves
from wanesync.sync.loader import key_of, load_contexts
from wanesync.sync.runtime import LOCK_MS, Runtime

DECISIONS_PER_TRANSACTION = 200
"""Decisions checked in one read transaction; our choice, so that it is short."""
LOCK_ATTEMPTS = 5
"""How often a key is tried whose lock another process holds, ``LOCK_WAIT_MS`` apart; our choice, about 1 s in all."""
LOCKED = "another process holds its lock"
"""Why the decisions of a key were not applied, for the operator."""
CHANGED = "its values changed since they were shown: look at it again"
"""Why a decision that was made from other values was not applied."""
DAMAGED = "a stored value of it is damaged, and wanesync reconcile reads its record again"
"""The same where a value cannot be decrypted; which one stands behind it."""


@dataclass(frozen=True, slots=True)
class CheckedDecisions:
    """Decisions that can be applied. ``groups``: key -> its decisions. ``skipped``: keys for which nothing is queued.

    ``clears``: values that will be cleared, because the winning side has none. ``damaged``: key -> which stored value
    of it cannot be decrypted; its decisions are not applied.
    """

    groups: dict[str, list[Decision]] = field(default_factory=dict)
    counts: Counter[Verdict] = field(default_factory=Counter)
    skipped: frozenset[str] = frozenset()
    clears: int = 0
    damaged: dict[str, str] = field(default_factory=dict)

    def only(self, lines: Collection[int]) -> CheckedDecisions:
        """Return those of some lines; a key of which none is left is left out."""
        groups = {key: [d for d in group if d.line in lines] for key, group in self.groups.items()}
        return replace(self, groups={key: group for key, group in groups.items() if group})


@dataclass(slots=True)
class AppliedDecisions:
    """The result of applying decisions. ``left``: key -> why its decisions were not applied; none of them was then.

    ``cleared``: values that will be cleared. ``closed``: conflicts closed. ``jobs``: jobs queued. ``avoid``: keys a
    reconcile must not queue now, because they are to be skipped or their decisions were not applied.
    """

    done: Counter[Verdict] = field(default_factory=Counter)
    left: dict[str, str] = field(default_factory=dict)
    cleared: int = 0
    closed: int = 0
    jobs: int = 0
    avoid: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _KeyTransaction:
    """The decisions of one key in one transaction.

    ``requests``: (lane, key) of jobs to be queued. ``blocked``: why nothing is applied now, "" if it is.
    """

    tx: Tx
    key: str
    group: Sequence[Decision]
    token: str
    requests: list[tuple[Side, str]] = field(default_factory=list)
    cleared: int = 0
    closed: int = 0
    blocked: str = ""


@dataclass(slots=True)
class DecisionApplier:
    """Checks decisions as a whole, then applies them one key at a time.

    ``operator``: whose decisions they are. ``settles``: they were made looking at the open conflicts of their fields,
    which are all closed, the losing value with them; otherwise that stays listed. ``priority``: of the jobs.
    """

    runtime: Runtime
    clock: Clock = field(default_factory=DatabaseClock)
    operator: Operator = SYSTEM
    settles: bool = False
    priority: Priority = Priority.BULK

    def check(self, data: bytes) -> CheckedDecisions:
        """Parse and check a CSV file. Raises ``ConfigError`` with every line that cannot be applied, and why."""
        decisions, problems = read_decisions(data, self.runtime.rules.fields.by_name)
        checked, misfits = self.examine(decisions)
        if problems := problems + misfits:
            raise refuse(problems)
        return checked

    def examine(self, decisions: Sequence[Decision]) -> tuple[CheckedDecisions, list[Problem]]:
        """Check decisions against what is stored; with those that cannot be applied, by their line."""
        rules, problems = self.runtime.rules, list[Problem]()
        clears, damaged = 0, dict[str, str]()
        with self.runtime.store.reading() as tx:
            for start in range(0, len(decisions), DECISIONS_PER_TRANSACTION):
                some = decisions[start : start + DECISIONS_PER_TRANSACTION]
                for decision, known in self._read_readable(tx, some, damaged):
                    if misfit := check_decision(decision, known, rules):
                        problems.append(Problem(decision.line, misfit))
                    elif decision.verdict.winner:
                        clears += self._count_clears(decision, known)
        checked = CheckedDecisions(counts=Counter(d.verdict for d in decisions), clears=clears, damaged=damaged)
        for decision in decisions:
            checked.groups.setdefault(decision.key, []).append(decision)
        skipped = frozenset(d.key for d in decisions if d.verdict is Verdict.SKIP)
        return replace(checked, skipped=skipped), problems

    def apply(self, checked: CheckedDecisions, run_id: str, progress: Callable[[int], None]) -> AppliedDecisions:
        """Apply each key's decisions, all or none; a key that is locked is tried again ``LOCK_ATTEMPTS`` times."""
        applied = AppliedDecisions()
        waiting = [key for key in checked.groups if key not in checked.damaged]
        for attempt in range(LOCK_ATTEMPTS):
            if attempt and waiting:
                self.clock.sleep_until(self.clock.monotonic_ms() + LOCK_WAIT_MS)
            for key in waiting:
                current = self._apply_key(key, checked, run_id)
                if current is None:
                    applied.left.pop(key, None)
                    continue
                if current.blocked:
                    applied.left[key] = current.blocked
                    continue
                applied.left.pop(key, None)
                applied.done.update(d.verdict for d in current.group)
                applied.cleared += current.cleared
                applied.closed += current.closed
                applied.jobs += len(current.requests)
                progress(len(current.group))
            waiting = list(applied.left)
        applied.left |= checked.damaged
        applied.avoid = set(checked.skipped).union(*(_keys_of(checked.groups[key]) for key in applied.left))
        return applied

    # -- checking

    def _read_readable(
        self, tx: Tx, decisions: Sequence[Decision], damaged: dict[str, str]
    ) -> list[tuple[Decision, DecisionContext]]:
        """Decisions with what they are about; the keys of those with damaged values are added to ``damaged``."""

        def read(some: Sequence[Decision]) -> list[tuple[Decision, DecisionContext]]:
            known = self._read_known(tx, some)
            return [(decision, known[decision.line]) for decision in some]

        def set_aside(decision: Decision, error: Exception) -> list[tuple[Decision, DecisionContext]]:
            if not isinstance(error, DecryptionFailed):
                raise error
            damaged[decision.key] = f"{DAMAGED} ({error})"
            return []

        return in_halves(decisions, read, set_aside)

    def _read_known(self, tx: Tx, decisions: Iterable[Decision]) -> dict[int, DecisionContext]:
        """Line -> the stored records and links its decision is about."""
        decisions = list(decisions)
        contexts = load_contexts(tx, sorted({d.key for d in decisions}))
        refs: set[RecordRef] = {ref for d in decisions for ref in (*d.refs, *d.closes)}
        refs |= {(side, d.other_id) for d in decisions for side in Side if d.other_id}
        records = tx.records.get_many(refs)
        customers = sorted(ref for ref in refs if ref[0] is Side.STRIPE)
        links = tx.links.of_records(customers)
        owners = {link.stripe_id: link.hubspot_id for link in links if link.state is LinkState.ACTIVE}
        return {d.line: DecisionContext(contexts[d.key], records, owners) for d in decisions}

    def _count_clears(self, decision: Decision, known: DecisionContext) -> int:
        records = {side: known.records[side, record_id].record for side, record_id in decision.refs}
        values = {side: record.values for side, record in records.items()}
        link = find_link(decision.pair, known.context, {})
        won = list_winners([decision], records, link.base if link else {}, self.runtime.rules.fields)
        return sum(bool(not values[s].get(name) and values[s.other].get(name)) for name, s in won.items())

    # -- one key

    def _apply_key(self, key: str, checked: CheckedDecisions, run_id: str) -> _KeyTransaction | None:
        """Apply the decisions of a key; None: a stored value was damaged since the check, which is noted."""

        def apply(tx: Tx) -> _KeyTransaction:
            current = _KeyTransaction(tx, key, checked.groups[key], self.runtime.new_id(tx.now_ms))
            if not self._lock(current, _keys_of(current.group)):
                current.blocked = LOCKED
            elif misfit := self._find_change(current):
                known = misfit if misfit == CHANGED else f"it changed since the decisions were checked: {misfit}"
                current.blocked = known
            else:
                self._apply(current)
            if not current.blocked:
                if key in checked.skipped:
                    current.requests.clear()
                requests = [JobRequest(s, JobKind.WRITE, k, self.priority, run_id=run_id) for s, k in current.requests]
                tx.jobs.put_many(requests)
                self._write_journal(current, run_id)
            tx.locks.drop(current.token)
            if not current.blocked:
                self._write_audit(current, run_id)
            return current

        try:
            return self.runtime.commit("decisions", apply)
        except DecryptionFailed as error:
            checked.damaged[key] = f"{DAMAGED} ({error})"
            return None

    def _lock(self, current: _KeyTransaction, keys: Collection[str]) -> bool:
        """Lock all keys; False: one is locked, or has a pending write whose outcome is open."""
        tx = current.tx
        taken = tx.locks.take_all(sorted(keys), current.token, self.runtime.name, tx.now_ms + LOCK_MS)
        return taken and not tx.pending_writes.open_for_keys(sorted(keys), None)

    def _find_change(self, current: _KeyTransaction) -> str:
        known = self._read_known(current.tx, current.group)
        for decision in current.group:
            if misfit := check_decision(decision, known[decision.line], self.runtime.rules):
                return misfit
            records = known[decision.line].records
            now = tuple(
                records[ref].record.values.get(decision.field, "") if ref in records else "" for ref in decision.refs
            )
            if decision.seen is not None and decision.seen != now:
                return CHANGED
        return ""

    def _apply(self, current: _KeyTransaction) -> None:
        pairs: dict[tuple[str, str], list[Decision]] = {}
        for decision in current.group:
            if decision.verdict in SETTLING:
                pairs.setdefault(decision.pair, []).append(decision)
        # Decisions that may be blocked come before anything is changed.
        for pair, decisions in pairs.items():
            self._settle(current, pair, decisions)
            if current.blocked:
                return
        for decision in current.group:
            if decision.verdict is Verdict.LINK:
                self._link(current, decision)
            elif decision.verdict in CREATING:
                self._create(current, decision)
            elif decision.verdict is Verdict.EXCLUDE:
                self._exclude(current, decision)

    def _create(self, current: _KeyTransaction, decision: Decision) -> None:
        """Queue a creation; what a deletion would block is marked as wanted until it is linked (#tombstones)."""
        tx, ref = current.tx, decision.refs[0]
        if decision.verdict is Verdict.LIFT:
            stored = tx.records.get(*ref)
            tx.tombstones.lift(stored.hmacs if stored else ())
        tx.records.set_note(*ref, None)
        if ref[0] is Side.HUBSPOT:
            self._include_merged(tx, ref[1])
        context = load_contexts(tx, [current.key])[current.key]
        if not creates(compare_key(context, self.runtime.rules).plan):
            tx.records.set_note(*ref, WANTED)
        self._queue(current, current.key)

    def _include_merged(self, tx: Tx, contact_id: str) -> None:
        """End the exclusion of contacts that were merged into one: a later decision was made for it (#merges)."""
        merged = [(Side.HUBSPOT, one) for one in sorted(tx.records.merged_from([contact_id]))]
        for ref, stored in tx.records.get_many(merged).items():
            if stored.excluded:
                tx.records.set_note(*ref, None)

    def _queue(self, current: _KeyTransaction, key: str) -> None:
        """Queue jobs in the lanes with writes; without any, in the key's own lane, whose job does the rest."""
        lanes = compare_key(load_contexts(current.tx, [key])[key], self.runtime.rules).lanes
        own_lane = Side.HUBSPOT if key.startswith("contact:") else Side.STRIPE
        current.requests += [(side, key) for side in lanes or [own_lane]]

    def _write_audit(self, current: _KeyTransaction, run_id: str) -> None:
        """One row for each decision of the key: ids, the field and what was decided, never a value."""
        for decision in current.group:
            pair = [decision.hubspot_id, decision.stripe_id, decision.other_id]
            after = {"decision": str(decision.verdict), "field": decision.field, "run": run_id}
            current.tx.audit.add(self.operator, "decision.apply", " ".join(filter(None, pair)), None, after)

    def _write_journal(self, current: _KeyTransaction, run_id: str) -> None:
        for decision in current.group:
            side, record_id = decision.refs[0]
            data = {"verdict": str(decision.verdict), "run": run_id, "field": decision.field}
            other = decision.other_id or (decision.stripe_id if side is Side.HUBSPOT else "")
            current.tx.journal.add("decision", side, record_id, "", data | {"other": other}, operator=self.operator)

    # -- values

    def _settle(self, current: _KeyTransaction, pair: tuple[str, str], decisions: Sequence[Decision]) -> None:
        """Link the pair if the planner would, then set its base so that what was decided flows, or stays.

        Where nothing flows over the pair, that both values are right only closes what is kept of them.
        """
        tx = current.tx
        context = load_contexts(tx, [current.key])[current.key]
        outcome = plan(context, self.runtime.rules, self.runtime.new_id(tx.now_ms))
        link = find_link(pair, context, outcome.links)
        if all(decision.verdict is Verdict.BOTH for decision in decisions) and (link is None or not link.primary):
            self._close_conflicts(current, decisions)
            return
        stored = [context.find(side, pair[number]) for number, side in enumerate(Side)]
        if outcome.wait or link is None or not self._lock(current, outcome.locks | {current.key}):
            current.blocked = WAIT_TEXTS.get(outcome.wait) or LOCKED
        elif any(one is None or one.stale for one in stored):
            current.blocked = "a read of one of the two records is queued"
        else:
            records = {one.record.side: one.record for one in stored if one}
            written = {name for action in outcome.actions.values() for name in action.changes}
            version = link.version if link.id in outcome.links else link.version + 1
            settled = settle(replace(link, version=version), records, decisions, self.runtime.rules.fields, written)
            outcome.links[link.id] = settled.link
            plan_effects.apply_plans(tx, [plan_effects.Planned(outcome, Priority.BULK, decided=False)])
            for name in settled.changed:
                tx.holds.drop(link.id, name)
            for name, side, value in settled.losers:
                self._keep_losing_value(tx, link, name, (side, value))
            self._close_conflicts(current, decisions)
            self._keep_what_was_replaced(tx, link, settled.link, context)
            current.cleared += settled.cleared
            self._queue(current, current.key)

    def _close_conflicts(self, current: _KeyTransaction, decisions: Sequence[Decision]) -> None:
        """Close every open conflict of the decided fields: a person has seen them."""
        tx = current.tx
        for decision in decisions:
            if not (self.settles or decision.verdict is Verdict.BOTH):
                continue
            rows = tx.conflicts.of_records({*decision.refs, *decision.closes})
            mine = [row for row in rows if decision.field in ("", row.conflict.field.partition("/")[0])]
            tx.conflicts.close([row.id for row in mine])
            current.closed += len(mine)
            for row in mine:
                self._note_closed(tx, row)

    def _note_closed(self, tx: Tx, row: ConflictRow) -> None:
        conflict = row.conflict
        data = {"field": conflict.field, "kind": conflict.kind, "fields": {conflict.field: conflict.value}}
        link_id = row.link_id
        tx.journal.add("conflict closed", conflict.side, conflict.record_id, link_id, data, operator=self.operator)

    def _keep_losing_value(self, tx: Tx, link: Link, name: str, lost: tuple[Side, str]) -> None:
        """Close the field's open conflicts; keep the losing value as a conflict, as after any merge."""
        side, value = lost
        rows = [row for at in Side for row in tx.conflicts.of_record(at, link.id_on(at))]
        if not self.settles:
            tx.conflicts.close([row.id for row in rows if row.conflict.field == name])
        if value:
            conflict = Conflict(side, link.id_on(side), name, value, "policy")
            tx.conflicts.put(conflict, link.id)
            plan_effects.note_conflict(tx, conflict, link.id)

    # -- links

    def _link(self, current: _KeyTransaction, decision: Decision) -> None:
        """Create or restore an active link with an empty base (docs/correctness.md#first-contact)."""
        contact_id, customer_id = decision.pair
        known = current.tx.links.of_records([(Side.HUBSPOT, contact_id), (Side.STRIPE, customer_id)])
        old = next((link for link in known if (link.hubspot_id, link.stripe_id) == decision.pair), None)
        changes = Plan(notes={(Side.HUBSPOT, contact_id): None, (Side.STRIPE, customer_id): None})
        if old is None or old.state is not LinkState.ACTIVE:
            others = [other for other in known if other.hubspot_id == contact_id and other.state is LinkState.ACTIVE]
            link = self._make_link(current.tx, decision.pair, old)
            changes.links[link.id] = replace(link, primary=not any(other.primary for other in others), decided=True)
            changes.linked.append(decision.pair)
        elif not old.decided:
            changes.links[old.id] = replace(old, decided=True, version=old.version + 1)
        self._include_merged(current.tx, contact_id)
        plan_effects.apply_plans(current.tx, [plan_effects.Planned(changes, Priority.BULK)])
        self._queue(current, contact_key(contact_id))

    def _make_link(self, tx: Tx, pair: tuple[str, str], old: Link | None) -> Link:
        link_id, version = (old.id, old.version) if old else (self.runtime.new_id(tx.now_ms), 0)
        return Link(link_id, *pair, primary=False, base={}, version=version + 1)

    def _exclude(self, current: _KeyTransaction, decision: Decision) -> None:
        """Exclude a record, or release a pair for ever; records that may match now are planned."""
        tx, context = current.tx, load_contexts(current.tx, [current.key])[current.key]
        related = {ref for ref, stored in context.records.items() if stored.alive}
        if len(decision.refs) == 1:
            tx.records.set_note(*decision.refs[0], BY_DECISION)
            related -= set(decision.refs)
        else:
            matching = (link for link in context.links if decision.pair == (link.hubspot_id, link.stripe_id))
            old = next(matching, None)
            link = replace(old, version=old.version + 1) if old else self._make_link(tx, decision.pair, None)
            self._keep_what_is_not_put_back(tx, link, context)
            tx.links.put(replace(link, primary=False, state=LinkState.RELEASED, put_back={}, decided=False))
            if link.primary:
                self._replace_primary(current, link)
        current.requests += sorted({(ref[0], key) for ref, key in key_of(tx, related).items()})

    def _replace_primary(self, current: _KeyTransaction, former: Link) -> None:
        """Make another customer primary now, while it is known what both sides of the former one last agreed on."""
        context = load_contexts(current.tx, [current.key])[current.key]
        outcome = replace_primary(context, self.runtime.rules, former)
        plan_effects.apply_plans(current.tx, [plan_effects.Planned(outcome, Priority.BULK, decided=False)])

    def _keep_what_was_replaced(self, tx: Tx, before: Link, after: Link, context: PlanContext) -> None:
        """Keep the buried values that a decision leaves where they are: the operator who made it has not seen them."""
        put_back = {
            name: back
            for name, back in before.put_back.items()
            if name not in after.put_back or after.put_back[name].value != back.value
        }
        self._keep_what_is_not_put_back(tx, replace(before, put_back=put_back), context)

    def _keep_what_is_not_put_back(self, tx: Tx, link: Link, context: PlanContext) -> None:
        """Keep values that a write of ours buried and that nothing puts back now (docs/correctness.md#put-back)."""
        for conflict in find_buried(context, link, self.runtime.rules.fields):
            tx.conflicts.put(conflict, link.id)
            plan_effects.note_conflict(tx, conflict, link.id)


def _keys_of(group: Sequence[Decision]) -> set[str]:
    """The keys to be locked: those of every record the decisions name."""
    refs = {ref for d in group for ref in (*d.refs, *d.closes, *([d.target] if d.target else []))}
    return {contact_key(record_id) if side is Side.HUBSPOT else customer_key(record_id) for side, record_id in refs}
