"""Decisions carried out: each under the locks of its records, in one transaction with its journal entry.

What a decision comes to is written by the workers like everything else: it changes links, bases and notes, and queues
a pass. The copies of a comparison must be stored before (``Keeper.adopt``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wanesync.core.diff.decision_checks import DecisionContext, check_decision, find_link
from wanesync.core.diff.decisions import Decision, Problem, Verdict, read_decisions, rebase, refuse, winners_of
from wanesync.core.diff.difference import compare_key
from wanesync.core.fields import CANON_VERSION
from wanesync.core.jobs import LOCK_WAIT_MS, JobKind, JobRequest, Priority
from wanesync.core.model import BY_DECISION, Conflict, Link, LinkState, RecordRef, Side, contact_key, customer_key
from wanesync.core.plan import WAIT_TEXTS, Plan
from wanesync.core.planner import plan
from wanesync.store.clock import Clock, DatabaseClock
from wanesync.store.database import Tx
from wanesync.sync import plan_effects as memory
from wanesync.sync.loader import key_of, load_scenes
from wanesync.sync.runtime import LOCK_MS, Runtime

CHUNK = 200
ROUNDS = 5
"""How often a decision is tried whose records somebody else is just working on."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Decisions that fit. ``groups``: those about one key, together. ``skipped``: keys for which nothing is queued.

    ``clears``: values that will be cleared, because the side that was to win holds none.
    """

    groups: dict[str, list[Decision]] = field(default_factory=dict)
    counts: Counter[Verdict] = field(default_factory=Counter)
    skipped: frozenset[str] = frozenset()
    clears: int = 0


@dataclass(slots=True)
class Decided:
    """What became of decisions. ``left``: key -> why it could not be done now; nothing of it was done.

    ``cleared``: values that will be cleared. ``jobs``: passes queued. ``avoid``: keys a reconcile must not queue now,
    because they are to be skipped, or because what was decided about them could not be done.
    """

    done: Counter[Verdict] = field(default_factory=Counter)
    left: dict[str, str] = field(default_factory=dict)
    cleared: int = 0
    jobs: int = 0
    avoid: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Turn:
    """One key's decisions in one transaction. ``requests``: passes to be queued; ``wait``: not now, and why."""

    tx: Tx
    key: str
    group: Sequence[Decision]
    token: str
    requests: list[tuple[Side, str]] = field(default_factory=list)
    cleared: int = 0
    wait: str = ""


@dataclass(slots=True)
class DecisionApplier:
    """Checks a file of decisions as a whole, then carries it out one key at a time."""

    runtime: Runtime
    clock: Clock = field(default_factory=DatabaseClock)

    def check(self, data: bytes) -> Checked:
        """Understand a CSV file. Raises ``ConfigError`` with every line that cannot be carried out, and why."""
        rules = self.runtime.rules
        decisions, problems = read_decisions(data, rules.fields.by_name)
        clears = 0
        with self.runtime.store.reading() as tx:
            for start in range(0, len(decisions), CHUNK):
                some = decisions[start : start + CHUNK]
                known = self._know(tx, some)
                for decision in some:
                    if misfit := check_decision(decision, known[decision.line], rules):
                        problems.append(Problem(decision.line, misfit))
                    elif decision.verdict.winner:
                        clears += self._count_clears(decision, known[decision.line])
        if problems:
            raise refuse(problems)
        checked = Checked(counts=Counter(d.verdict for d in decisions), clears=clears)
        for decision in decisions:
            checked.groups.setdefault(decision.key, []).append(decision)
        return replace(checked, skipped=frozenset(d.key for d in decisions if d.verdict is Verdict.SKIP))

    def carry_out(self, checked: Checked, run_id: str, progress: Callable[[int], None]) -> Decided:
        """Each key's decisions, whole or not at all; what somebody works on just now is tried a few times."""
        decided = Decided()
        waiting = list(checked.groups)
        for planning in range(ROUNDS):
            if planning and waiting:
                self.clock.sleep_until(self.clock.now_ms() + LOCK_WAIT_MS)
            for key in waiting:
                turn = self._take_turn(key, checked, run_id)
                if turn.wait:
                    decided.left[key] = turn.wait
                    continue
                decided.left.pop(key, None)
                decided.done.update(d.verdict for d in turn.group)
                decided.cleared += turn.cleared
                decided.jobs += len(turn.requests)
                progress(len(turn.group))
            waiting = list(decided.left)
        decided.avoid = set(checked.skipped).union(*(_keys_of(checked.groups[key]) for key in decided.left))
        return decided

    # -- knowing

    def _know(self, tx: Tx, decisions: Iterable[Decision]) -> dict[int, DecisionContext]:
        """Line -> what is known around its decision."""
        decisions = list(decisions)
        contexts = load_scenes(tx, sorted({d.key for d in decisions}))
        refs: set[RecordRef] = {ref for d in decisions for ref in d.refs}
        refs |= {(side, d.other_id) for d in decisions for side in Side if d.other_id}
        records = tx.records.get_many(refs)
        customers = sorted(ref for ref in refs if ref[0] is Side.STRIPE)
        links = tx.links.of_records(customers)
        owners = {k.stripe_id: k.hubspot_id for k in links if k.state is LinkState.ACTIVE}
        return {d.line: DecisionContext(contexts[d.key], records, owners) for d in decisions}

    def _count_clears(self, decision: Decision, known: DecisionContext) -> int:
        specs = self.runtime.rules.fields.by_name
        values = {side: known.records[side, record_id].record.values for side, record_id in decision.refs}
        won = winners_of([decision], specs)
        return sum(bool(not values[s].get(name) and values[s.other].get(name)) for name, s in won.items())

    # -- one key

    def _take_turn(self, key: str, checked: Checked, run_id: str) -> _Turn:
        def work(tx: Tx) -> _Turn:
            turn = _Turn(tx, key, checked.groups[key], self.runtime.new_id(tx.now_ms))
            if not self._lock(turn, _keys_of(turn.group)):
                turn.wait = "somebody works on it just now"
            elif misfit := self._find_change(turn):
                turn.wait = f"it changed since the decisions were checked: {misfit}"
            else:
                self._carry_out(turn)
            if not turn.wait:
                if key in checked.skipped:
                    turn.requests.clear()
                requests = [JobRequest(s, JobKind.WRITE, k, Priority.BULK, run_id=run_id) for s, k in turn.requests]
                tx.jobs.put_many(requests)
                self._note(turn, run_id)
            tx.locks.drop(turn.token)
            return turn

        return self.runtime.commit("decisions", work)

    def _lock(self, turn: _Turn, keys: Collection[str]) -> bool:
        """All keys for this turn, none of which has a write that is not settled."""
        tx = turn.tx
        taken = tx.locks.take_all(sorted(keys), turn.token, self.runtime.name, tx.now_ms + LOCK_MS)
        return taken and not tx.pending_writes.open_for_keys(sorted(keys), None)

    def _find_change(self, turn: _Turn) -> str:
        known = self._know(turn.tx, turn.group)
        return next((m for d in turn.group if (m := check_decision(d, known[d.line], self.runtime.rules))), "")

    def _carry_out(self, turn: _Turn) -> None:
        pairs: dict[tuple[str, str], list[Decision]] = {}
        for decision in turn.group:
            if decision.verdict.winner:
                pairs.setdefault(decision.pair, []).append(decision)
        # Whatever may have to wait comes before anything is changed.
        for pair, decisions in pairs.items():
            self._let_win(turn, pair, decisions)
            if turn.wait:
                return
        for decision in turn.group:
            if decision.verdict is Verdict.LINK:
                self._link(turn, decision)
            elif decision.verdict is Verdict.CREATE:
                turn.tx.records.set_note(*decision.refs[0], None)
                self._queue(turn, turn.key)
            elif decision.verdict is Verdict.EXCLUDE:
                self._exclude(turn, decision)

    def _queue(self, turn: _Turn, key: str) -> None:
        """A pass in the lanes that have something to do; its own looks after whatever else there is."""
        lanes = compare_key(load_scenes(turn.tx, [key])[key], self.runtime.rules).lanes
        own = Side.HUBSPOT if key.startswith("contact:") else Side.STRIPE
        turn.requests += [(side, key) for side in lanes or [own]]

    def _note(self, turn: _Turn, run_id: str) -> None:
        for decision in turn.group:
            side, record_id = decision.refs[0]
            data = {"verdict": str(decision.verdict), "run": run_id, "field": decision.field}
            other = decision.other_id or (decision.stripe_id if side is Side.HUBSPOT else "")
            turn.tx.journal.add("decision", side, record_id, "", data | {"other": other})

    # -- whose value wins

    def _let_win(self, turn: _Turn, pair: tuple[str, str], decisions: Sequence[Decision]) -> None:
        """Link the pair if it is to be, then set its base so that the winner is the one that moved."""
        tx = turn.tx
        context = load_scenes(tx, [turn.key])[turn.key]
        outcome = plan(context, self.runtime.rules, self.runtime.new_id(tx.now_ms))
        link = find_link(pair, context, outcome.links)
        copies = [context.find(side, pair[number]) for number, side in enumerate(Side)]
        if outcome.wait or link is None or not self._lock(turn, outcome.locks | {turn.key}):
            turn.wait = WAIT_TEXTS.get(outcome.wait) or "somebody works on it just now"
        elif any(seen is None or seen.stale for seen in copies):
            turn.wait = "a read of one of the two is under way"
        else:
            values = {seen.side: seen.record.values for seen in copies if seen}
            won = self._differing(decisions, values)
            base = {n: rebase(side, *(values[s].get(n, "") for s in Side)) for n, side in won.items()}
            version = link.version if link.id in outcome.links else link.version + 1
            parked = {name: park for name, park in link.parked.items() if name not in won}
            outcome.links[link.id] = replace(link, base={**link.base, **base}, parked=parked, version=version)
            memory.remember_all(tx, [(outcome, Priority.BULK)])
            for name, winner in won.items():
                tx.holds.drop(link.id, name)
                self._keep_loser(tx, link, name, (winner, values[winner.other].get(name, "")))
                turn.cleared += not values[winner].get(name)
            self._queue(turn, turn.key)

    def _differing(self, decisions: Sequence[Decision], values: Mapping[Side, Mapping[str, str]]) -> dict[str, Side]:
        """Field -> winner, where the two do not agree and the other side can take the value."""
        specs = self.runtime.rules.fields.by_name
        found = {}
        for name, winner in winners_of(decisions, specs).items():
            here, there = values[winner].get(name, ""), values[winner.other].get(name, "")
            agree = specs[name].agree(*(values[side].get(name, "") for side in Side))
            if not agree and specs[name].convert(winner.other, here, there) is not None:
                found[name] = winner
        return found

    def _keep_loser(self, tx: Tx, link: Link, name: str, lost: tuple[Side, str]) -> None:
        """The open conflicts of the field are settled by this; what does not win is kept as after any merge."""
        winner, value = lost
        rows = [row for side in Side for row in tx.conflicts.of_record(side, link.id_on(side))]
        tx.conflicts.close([row.id for row in rows if row.conflict.field == name])
        if value:
            conflict = Conflict(winner.other, link.id_on(winner.other), name, value, "policy")
            tx.conflicts.put(conflict, link.id)
            memory.note_conflict(tx, conflict, link.id)

    # -- who belongs together

    def _link(self, turn: _Turn, decision: Decision) -> None:
        """An active link with nothing agreed on yet: the rules of first contact are next."""
        contact_id, customer_id = decision.pair
        known = turn.tx.links.of_records([(Side.HUBSPOT, contact_id), (Side.STRIPE, customer_id)])
        old = next((k for k in known if (k.hubspot_id, k.stripe_id) == decision.pair), None)
        changes = Plan(notes={(Side.HUBSPOT, contact_id): None, (Side.STRIPE, customer_id): None})
        if old is None or old.state is not LinkState.ACTIVE:
            mine = [k for k in known if k.hubspot_id == contact_id and k.state is LinkState.ACTIVE]
            link = self._fresh_link(turn.tx, decision.pair, old)
            changes.links[link.id] = replace(link, primary=not any(k.primary for k in mine))
            changes.linked.append(decision.pair)
        memory.remember_all(turn.tx, [(changes, Priority.BULK)])
        self._queue(turn, contact_key(contact_id))

    def _fresh_link(self, tx: Tx, pair: tuple[str, str], old: Link | None) -> Link:
        link_id, version = (old.id, old.version) if old else (self.runtime.new_id(tx.now_ms), 0)
        made = Link(link_id, *pair, primary=False, base={}, version=version + 1)
        return replace(made, fields_version=self.runtime.rules.fields.version, canon_version=CANON_VERSION)

    def _exclude(self, turn: _Turn, decision: Decision) -> None:
        """A record is left alone; a pair is taken apart, or never put together. Who may match now is planned."""
        tx, context = turn.tx, load_scenes(turn.tx, [turn.key])[turn.key]
        near = {ref for ref, seen in context.records.items() if seen.alive}
        if len(decision.refs) == 1:
            tx.records.set_note(*decision.refs[0], BY_DECISION)
            near -= set(decision.refs)
        else:
            old = next((k for k in context.links if (k.hubspot_id, k.stripe_id) == decision.pair), None)
            link = replace(old, version=old.version + 1) if old else self._fresh_link(tx, decision.pair, None)
            tx.links.put(replace(link, primary=False, state=LinkState.RELEASED))
        turn.requests += sorted({(ref[0], key) for ref, key in key_of(tx, near).items()})


def _keys_of(group: Sequence[Decision]) -> set[str]:
    """The keys to be locked: those of every record that is named."""
    refs = {ref for d in group for ref in (*d.refs, *([d.target] if d.target else []))}
    return {contact_key(record_id) if side is Side.HUBSPOT else customer_key(record_id) for side, record_id in refs}
