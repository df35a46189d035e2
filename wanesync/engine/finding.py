"""Finding out: reads that must come before a write can be planned or called done (CORRECTNESS section 6)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from wanesync.core.errors import CallError
from wanesync.core.ids import made_ms
from wanesync.core.job import LOCK_WAIT_MS, Job, Priority
from wanesync.core.model import Answer, OwnWrite, Record, Side
from wanesync.core.ports import CustomerAnswer
from wanesync.engine.context import Call, Engine
from wanesync.engine.intents import Intent, Pass, Planner
from wanesync.engine.outcome import again, fail, still_ours
from wanesync.engine.sight import Sight, store_contacts
from wanesync.store.store import Tx

Sender = Callable[[Tx, Side, Sequence[Intent]], list[Call]]
Arrival = Callable[[Tx, Sequence[tuple[Intent, Record]]], list[Call]]


@dataclass(slots=True)
class Finding:
    """Reads for jobs whose earlier write has no answer, or whose values are not known to be a person's."""

    engine: Engine
    plan_jobs: Planner
    send: Sender

    def reread(self, tx: Tx, lane: Side, jobs: Sequence[Job], opened: Mapping[str, list[OwnWrite]]) -> list[Call]:
        """Updates without an answer: read the target, then plan again."""
        if not jobs:
            return []
        if lane is Side.STRIPE:
            return [self._reread_customer(tx, job, opened[job.key]) for job in jobs]
        targets = {job.id: opened[job.key][0].target_id for job in jobs}

        def store(tx: Tx, answer: object) -> None:
            assert isinstance(answer, Mapping)  # noqa: S101 - narrows what ``send`` returned
            sight = Sight(self.engine, tx)
            store_contacts(sight, answer)
            sight.close()

        ids = sorted(set(targets.values()))
        return [self._found_out(jobs, "contacts.batch_read", lambda: self.engine.hubspot.read_contacts(ids), store)]

    def _reread_customer(self, tx: Tx, job: Job, opened: Sequence[OwnWrite]) -> Call:
        target = opened[0].target_id
        seen = tx.records.get(Side.STRIPE, target)
        moved = seen.moved if seen else 0

        def store(tx: Tx, answer: object) -> None:
            assert isinstance(answer, CustomerAnswer)  # noqa: S101 - narrows what ``send`` returned
            sight = Sight(self.engine, tx)
            if answer.record is None:
                sight.delete(Side.STRIPE, target)
            else:
                sight.store_customer(answer, moved)
            sight.close()

        return self._found_out(
            [job],
            "customers.retrieve",
            lambda: self.engine.stripe.read_customer(target),
            store,
        )

    def _found_out(
        self,
        jobs: Sequence[Job],
        operation: str,
        send: Callable[[], object],
        store: Callable[[Tx, object], None],
    ) -> Call:
        """Read, store, then plan with the open writes known."""
        lane = jobs[0].lane

        def then(tx: Tx, answer: object) -> list[Call]:
            mine = still_ours(tx, jobs)
            if isinstance(answer, CallError):
                fail(self.engine, tx, mine, answer, operation)
                return []
            store(tx, answer)
            calls: list[Call] = []
            still: dict[str, list[OwnWrite]] = {}
            for own in tx.writes.open_for_keys([job.key for job in mine], lane):
                still.setdefault(own.link_key, []).append(own)
            round_ = Pass({job.id: job.key for job in mine}, opened=still)
            intents = self.plan_jobs(tx, mine, round_, calls)
            return calls + self.send(tx, lane, intents)

        return Call(lane, operation, list(jobs), send, then)

    def read_existing(self, intent: Intent, existing_id: str, answered: Arrival) -> Call:
        """The address is taken: the contact that has it is read, never overwritten, and planned like any other."""
        own, job = intent.own, intent.job

        def then(tx: Tx, answer: object) -> list[Call]:
            if not still_ours(tx, [job]):
                return []
            if isinstance(answer, CallError):
                fail(self.engine, tx, [job], answer, "contacts.batch_read")
                return []
            assert isinstance(answer, Mapping)  # noqa: S101 - narrows what ``send`` returned
            sight = Sight(self.engine, tx, Priority(job.priority))
            store_contacts(sight, answer)
            sight.close()
            record = next((r for r in answer.values() if r is not None), None)
            if record is not None and record.intent == own.key:
                return answered(tx, [(intent, record)])
            tx.writes.answer(own.id, Answer.CONFLICT)
            again(tx, job, LOCK_WAIT_MS, "the address belongs to a contact that was not known", count=True)
            return []

        return Call(
            Side.HUBSPOT, "contacts.batch_read", [job], lambda: self.engine.hubspot.read_contacts([existing_id]), then
        )

    def look_for(self, job: Job, own: OwnWrite, error: CallError | None = None) -> Call:
        """A create whose answer will not come: look for its record by the time it was made and our id on it.

        ``error``: what came instead; where nothing was made, the job has failed with it.
        """
        from_s, to_s = made_ms(own.id) // 1000 - 60, 0

        def send() -> object:
            after = ""
            while True:
                page = self.engine.stripe.list_customers(after, from_s, to_s)
                found = next((r for r in page.records if r.other_id == own.source_id), None)
                if found is not None or not page.next:
                    return CustomerAnswer(found, page.timing)
                after = page.next

        def then(tx: Tx, answer: object) -> list[Call]:
            if not still_ours(tx, [job]):
                return []
            if isinstance(answer, CallError):
                fail(self.engine, tx, [job], answer, "customers.list")
                return []
            assert isinstance(answer, CustomerAnswer)  # noqa: S101 - narrows what ``send`` returned
            tx.writes.answer(own.id, Answer.LOST)
            # Stored at once: a plan that did not know it would make another one.
            sight = Sight(self.engine, tx)
            sight.store_customer(answer, 0)
            sight.close()
            if answer.record is None and error is not None:
                fail(self.engine, tx, [job], error, "customers.create")
            else:
                again(tx, job, 0, "its customer was found" if answer.record else "nothing was made; it is sent anew")
            return []

        return Call(Side.STRIPE, "customers.list", [job], send, then)

    def ask_origin(self, job: Job, unknown: frozenset[tuple[Side, str, str]], round_: Pass) -> Call:
        """Ask HubSpot's history who wrote the values in question."""
        contact_id = next(i for _, i, _ in unknown)
        specs = self.engine.rules.fields.by_name
        names = sorted({name for _, _, name in unknown})
        properties = [p for name in names for p in specs[name].hubspot]

        def then(tx: Tx, answer: object) -> list[Call]:
            mine = still_ours(tx, [job])
            if isinstance(answer, CallError):
                fail(self.engine, tx, mine, answer, "contacts.retrieve")
                return []
            assert isinstance(answer, Mapping)  # noqa: S101 - narrows what ``send`` returned
            # What we wrote unchanged, one half of a name, keeps its author there.
            ours = {name: any(answer.get(p, False) for p in specs[name].hubspot) for name in names}
            for name in names:
                round_.origins.tell(Side.HUBSPOT, contact_id, name, ours=ours[name])
            _note_theirs(tx, contact_id, {name for name in names if not ours[name]})
            calls: list[Call] = []
            intents = self.plan_jobs(tx, mine, round_, calls)
            return calls + self.send(tx, job.lane, intents)

        return Call(
            Side.HUBSPOT,
            "contacts.retrieve",
            [job],
            lambda: self.engine.hubspot.wrote_current(contact_id, properties),
            then,
        )


def _note_theirs(tx: Tx, contact_id: str, names: Collection[str]) -> None:
    """The other lane, and every later pass, need not ask again as long as the contact stays as it is."""
    seen = tx.records.get(Side.HUBSPOT, contact_id) if names else None
    if seen is None:
        return
    for own in tx.writes.unanswered(Side.HUBSPOT, contact_id):
        told = {name: seen.record.modified_ms for name in names if name in own.changes}
        if told:
            tx.writes.note_theirs(replace(own, theirs={**own.theirs, **told}))
