"""Sending own writes, and what their answers come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import LOCK_WAIT_MS, MAX_ATTEMPTS, DeadClass, JobKind, JobRequest, Priority, back_off_ms
from wanesync.core.model import Answer, OwnWrite, Record, Seen, Side, WriteKind, contact_key, customer_key
from wanesync.core.ports import CreateItem, CustomerAnswer, UpdateItem
from wanesync.store.database import Tx
from wanesync.sync import plan_effects as memory
from wanesync.sync import request_bodies as bodies
from wanesync.sync.intents import Intent, Pass, Planner
from wanesync.sync.job_results import ECHO_WAITS, again, fail, finish, still_ours
from wanesync.sync.record_versions import Sight, store_contacts
from wanesync.sync.recovery import Finding
from wanesync.sync.runtime import Call, Engine


@dataclass(slots=True)
class Sending:
    """The calls that write, one per customer and one per batch of contacts."""

    engine: Engine
    plan_jobs: Planner
    finding: Finding

    def send(self, tx: Tx, lane: Side, intents: Sequence[Intent]) -> list[Call]:
        """The calls for some stored intents: contacts in batches, customers one by one."""
        for intent in intents:
            tx.writes.sent(intent.own.id)
        if lane is Side.STRIPE:
            seen_of = tx.records.get_many({(Side.STRIPE, i.own.target_id) for i in intents if i.own.target_id})
            return [self._send_stripe(intent, seen_of.get((Side.STRIPE, intent.own.target_id))) for intent in intents]
        creates = [i for i in intents if i.own.kind is WriteKind.CREATE]
        updates = [i for i in intents if i.own.kind is WriteKind.UPDATE]
        return [self._send_contacts(batch) for batch in (creates, updates) if batch]

    def _send_stripe(self, intent: Intent, seen: Seen | None) -> Call:
        own, port = intent.own, self.engine.stripe
        moved = seen.moved if seen else 0
        create = own.kind is WriteKind.CREATE

        def send() -> object:
            if create:
                return port.create_customer(own.body, own.key)
            return port.update_customer(own.target_id, own.body, own.key)

        def then(tx: Tx, answer: object) -> list[Call]:
            if not still_ours(tx, [intent.job]):
                return []
            if isinstance(answer, CallError):
                return self._failed(tx, intent, answer)
            assert isinstance(answer, CustomerAnswer)  # noqa: S101 - narrows what ``send`` returned
            return self._customers_answered(tx, [(intent, moved, answer)])

        operation = "customers.create" if create else "customers.update"
        return Call(Side.STRIPE, operation, [intent.job], send, then, self._settle_customers, (intent, moved))

    def _settle_customers(self, tx: Tx, answered: Sequence[tuple[Call, object]]) -> list[Call]:
        ours = {job.id for job in still_ours(tx, [job for call, _ in answered for job in call.jobs])}
        results = []
        for call, answer in answered:
            if call.jobs[0].id in ours:
                assert isinstance(answer, CustomerAnswer)  # noqa: S101 - narrows what ``send`` returned
                assert isinstance(call.subject, tuple)  # noqa: S101 - what ``_send_stripe`` put there
                results.append((*call.subject, answer))
        return self._customers_answered(tx, results)

    def _customers_answered(self, tx: Tx, results: Sequence[tuple[Intent, int, CustomerAnswer]]) -> list[Call]:
        """Store what Stripe answered to some writes, then commit them; ``moved`` is from before each call."""
        if not results:
            return []
        sight = Sight(self.engine, tx, Priority(min(intent.job.priority for intent, _, _ in results)))
        sight.load(Side.STRIPE, [answer.record.id for _, _, answer in results if answer.record])
        for _, moved, answer in results:
            sight.store_customer(answer, moved)
        sight.keep()
        calls: list[Call] = []
        good = []
        for intent, _, answer in results:
            seen = sight.get(Side.STRIPE, answer.record.id) if answer.record else None
            if answer.record is None:
                gone = CallError(Side.STRIPE, Failure.NOT_FOUND, "the customer is deleted")
                calls += self._failed(tx, intent, gone)
            elif intent.own.kind is WriteKind.CREATE and seen is not None and seen.deleted:
                self._made_in_vain(tx, intent, seen.id)
            else:
                good.append((intent, answer.record))
        calls += self.answered(tx, good)
        # Whom a new address concerns is asked when its link stands: the two it joins need no waking.
        sight.close()
        return calls

    def _send_contacts(self, intents: Sequence[Intent]) -> Call:
        create = intents[0].own.kind is WriteKind.CREATE
        by_trace = {intent.own.id: intent for intent in intents}
        properties = {own_id: bodies.properties_of(intent.own) for own_id, intent in by_trace.items()}

        def send() -> object:
            if create:
                return self.engine.hubspot.create_contacts([CreateItem(t, p) for t, p in properties.items()])
            items = [UpdateItem(t, by_trace[t].own.target_id, p) for t, p in properties.items()]
            return self.engine.hubspot.update_contacts(items)

        operation = "contacts.batch_create" if create else "contacts.batch_update"

        def then(tx: Tx, answer: object) -> list[Call]:
            ours = {job.id for job in still_ours(tx, [intent.job for intent in intents])}
            mine = {t: intent for t, intent in by_trace.items() if intent.job.id in ours}
            if isinstance(answer, CallError):
                fail(self.engine, tx, [intent.job for intent in mine.values()], answer, operation)
                return []
            assert isinstance(answer, Mapping)  # noqa: S101 - narrows what ``send`` returned
            return self._contacts_answered(tx, mine, answer)

        return Call(Side.HUBSPOT, operation, [intent.job for intent in intents], send, then)

    # -- answers

    def _contacts_answered(
        self, tx: Tx, intents: Mapping[str, Intent], answers: Mapping[str, Record | CallError]
    ) -> list[Call]:
        good = {t: a for t, a in answers.items() if isinstance(a, Record) and t in intents}
        sight = Sight(self.engine, tx, Priority(min((i.job.priority for i in intents.values()), default=Priority.LIVE)))
        store_contacts(sight, {a.id: a for a in good.values()})
        sight.keep()
        calls = self.answered(tx, [(intents[t], record) for t, record in good.items()])
        sight.close()
        for trace, intent in intents.items():
            if trace not in good:
                missing = CallError(Side.HUBSPOT, Failure.NO_ANSWER, "the answer left this item out")
                error = answers.get(trace, missing)
                calls += self._failed(tx, intent, error if isinstance(error, CallError) else missing)
        return calls

    def answered(self, tx: Tx, results: Sequence[tuple[Intent, Record]]) -> list[Call]:
        """Commit what a call came to: base of the fields written, link of a creation; then plan what is left."""
        round_ = Pass({}, send=False)
        links = {k.id: k for k in tx.links.get_many([i.own.link_id for i, _ in results if i.own.link_id])}
        survivors = tx.records.merged_into([i.own.source_id for i, _ in results if i.own.side is Side.STRIPE])
        wanted: dict[str, set[str]] = {}
        rebased = []
        for intent, record in results:
            own, job = intent.own, intent.job
            memory.note_write(tx, own, record)
            if own.kind is WriteKind.UPDATE:
                tx.writes.answer(own.id, Answer.OK)
                # A commit without an acknowledgement was done twice, and the first one's intent is in nobody's hands.
                tx.writes.lose_others(own)
                if own.link_id in links:
                    rebased.append(memory.rebase(links[own.link_id], own, record))
                round_.key_of[job.id] = job.key
            else:
                ends = {own.side: record.id, own.side.other: survivors.get(own.source_id, own.source_id)}
                round_.key_of[job.id] = contact_key(ends[Side.HUBSPOT])
                wanted[job.token] = {job.key, round_.key_of[job.id], customer_key(ends[Side.STRIPE])}
                round_.held[job.id] = wanted[job.token]
        tx.links.put_many(rebased)
        locked = self.engine.lock_each(tx, wanted)
        calls: list[Call] = []
        ready = []
        for job in (intent.job for intent, _ in results):
            if job.token in locked or job.token not in wanted:
                ready.append(job)
            else:
                again(tx, job, LOCK_WAIT_MS, "a lock of the new pair is taken")
        self.plan_jobs(tx, ready, round_, calls)
        ended = [i.own for i, _ in results if i.own.kind is WriteKind.CREATE and i.job.id in round_.ended]
        self._close_creates(tx, ended)
        echoed = [record.id for intent, record in results if intent.own.side is Side.STRIPE]
        tx.jobs.hurry_keys(Side.STRIPE, JobKind.READ, echoed, ECHO_WAITS)
        return calls

    def _close_creates(self, tx: Tx, creates: Sequence[OwnWrite]) -> None:
        """A create that was planned to its end is closed, even where its record could not be linked.

        Our ids on the record tell the rest. Left open, it would be sent again by the next job of its key, for ever.
        """
        still_open = tx.writes.open_ids([own.id for own in creates])
        for own in creates:
            if own.id in still_open:
                tx.writes.answer(own.id, Answer.LOST)
                tx.jobs.put(JobRequest(own.side, JobKind.WRITE, own.link_key))

    # -- failures

    def _failed(self, tx: Tx, intent: Intent, error: CallError) -> list[Call]:
        own, job = intent.own, intent.job
        match error.failure:
            case Failure.CONFLICT if own.kind is WriteKind.CREATE and error.existing_id:
                return [self.finding.read_existing(intent, error.existing_id, self.answered)]
            case Failure.CONFLICT if bodies.CUSTOMER_ID_PROPERTY in error.fields and error.existing_id:
                self._meet_rival(tx, intent, error.existing_id)
            case Failure.CONFLICT if own.kind is WriteKind.UPDATE:
                self._park(tx, intent, error.fields or ("email",), Answer.REFUSED)
            case Failure.REFUSED if own.kind is WriteKind.UPDATE and set(error.fields) & set(own.changes):
                self._park(tx, intent, error.fields, Answer.REFUSED)
            case Failure.NOT_FOUND:
                self._target_gone(tx, intent)
            case Failure.SERVER if own.kind is WriteKind.CREATE:
                return [self.finding.look_for(job, own, error)]
            case Failure.SERVER:
                self._forsake(tx, intent, error)
            case Failure.MISMATCH:
                tx.writes.answer(own.id, Answer.LOST)
                fail(self.engine, tx, [job], error, "write")
            case Failure.REFUSED | Failure.CONFLICT:
                tx.writes.answer(own.id, Answer.REFUSED)
                memory.note_refusal(tx, own, error)
                fail(self.engine, tx, [job], error, "write")
            case _:
                operation = f"contacts.batch_{own.kind}" if own.side is Side.HUBSPOT else f"customers.{own.kind}"
                fail(self.engine, tx, [job], error, operation)
        return []

    def _meet_rival(self, tx: Tx, intent: Intent, contact_id: str) -> None:
        """Another contact carries our id: it is read, so that the next plan knows, and the values go without the id."""
        tx.writes.answer(intent.own.id, Answer.REFUSED)
        tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, contact_id, Priority(intent.job.priority)))
        again(tx, intent.job, LOCK_WAIT_MS, "its id is on another contact, which is being read", count=True)

    def _forsake(self, tx: Tx, intent: Intent, error: CallError) -> None:
        """Stripe keeps a 500 under its key for good: the customer is read, then planned anew under another key."""
        tx.writes.answer(intent.own.id, Answer.LOST)
        sight = Sight(self.engine, tx, Priority(intent.job.priority))
        sight.want_read(intent.own.target_id)
        sight.close()
        fail(self.engine, tx, [intent.job], error, "customers.update")

    def _park(self, tx: Tx, intent: Intent, fields: Sequence[str], answer: Answer) -> None:
        """The refused field is parked and reported, the others are sent again."""
        own = intent.own
        link = tx.links.get(own.link_id)
        tx.writes.answer(own.id, answer)
        refused = [name for name in fields if name in own.changes]
        job = intent.job
        if link is None or not refused or job.attempts + 1 >= MAX_ATTEMPTS:
            tx.locks.drop(job.token)
            tx.jobs.kill(job, DeadClass.VALIDATION, f"refused for {', '.join(fields)}; mend it on either side")
            return
        memory.park(tx, link, own, refused)
        # Counted: an address that is refused although nobody we know has it is not sent for ever.
        again(tx, job, back_off_ms(job.attempts, self.engine.rng), "a field was parked", count=True)

    def _made_in_vain(self, tx: Tx, intent: Intent, customer_id: str) -> None:
        """The answer came so late that its customer was deleted meanwhile: it is not made again, and not asked for."""
        own = intent.own
        tx.writes.answer(own.id, Answer.NOT_FOUND, customer_id)
        tx.tombstones.put(Side.STRIPE, customer_id, own.hmacs)
        tx.journal.add("orphaned", Side.STRIPE, customer_id, "", {"reason": "deleted there; its other record is kept"})
        again(tx, intent.job, 0, "its customer is deleted")

    def _target_gone(self, tx: Tx, intent: Intent) -> None:
        own, job = intent.own, intent.job
        tx.writes.answer(own.id, Answer.NOT_FOUND)
        if own.side is Side.STRIPE:
            sight = Sight(self.engine, tx, Priority(job.priority))
            sight.delete(Side.STRIPE, own.target_id)
            sight.close()
            again(tx, job, 0, "its customer is deleted")
        else:
            tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, own.target_id, Priority(job.priority)))
            finish(tx, job)
