"""Purchase jobs: find the contact of each payment, send it once, record it (docs/correctness.md#purchases)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import LOCK_WAIT_MS, MAX_ATTEMPTS, DeadClass, Job, JobKind, JobRequest, WaitCode
from wanesync.core.model import Side
from wanesync.core.purchases import Purchase, PurchaseState, Sink, roll_up
from wanesync.core.setup.portal_checks import SETUP_WAIT
from wanesync.purchases.recipients import Recipients
from wanesync.store.database import Tx
from wanesync.sync.calls import DONE, AnyCall, Call, Next
from wanesync.sync.job_results import fail, finish, reschedule, still_held
from wanesync.sync.loader import lock_portal_state
from wanesync.sync.runtime import LOCK_MS, Runtime
from wanesync.sync.writes.writer import DAY_MS, WRITES_OFF, are_writes_off

SINK = "purchase_sink"
"""The setting that stores which sink ``auto`` chose."""
MAX_LATENESS_MS = 15_000
"""How long a request without an answer may still arrive, in ms."""
MIN_CONTACT_WAIT_MS = 2_000
MAX_CONTACT_WAIT_MS = 900_000
"""A waiting payment is due again after its own age, between these two, in ms (our choice)."""
GONE_WAIT_MS = 1_000
"""How long a payment waits at first, in ms, for the read of a contact that is gone: twice that after each attempt."""
NO_CONTACT = "waiting for its contact"
GONE = "its contact is gone"
NOTE_IN_DOUBT = "its contact is gone, and a note of this payment may already be on it"
RIVALS = "its address is on several contacts"
UNKNOWN_OUTCOMES = {Sink.NOTE: WaitCode.NOTES_READ, Sink.PROPERTIES: WaitCode.RESEND}
"""What a payment waits for once an attempt may have been made: neither a note nor a roll-up has an id of ours."""
REASONS = {
    WaitCode.NONE: "",
    WaitCode.NOTES_READ: "may have been sent: its contact's notes are read first",
    WaitCode.RESEND: "may have been sent: once more later, should that arrive after a newer one",
}


UNCERTAIN = frozenset({Failure.NO_ANSWER, Failure.SERVER, Failure.UNAVAILABLE, Failure.MISMATCH})
"""Failures after which a note may have been created all the same."""

Outcomes = Mapping[str, CallError | None]
"""Payment or contact id -> None when its purchases were taken, or why not."""


@dataclass(frozen=True, slots=True)
class PurchaseSender:
    """The purchase jobs of the hubspot lane."""

    runtime: Runtime

    def prepare(self, tx: Tx, jobs: Sequence[Job]) -> list[AnyCall]:
        """Find contacts; what has one is sent in a batch, the others wait for theirs."""
        sink = self._sink(tx)
        if sink is None:
            return [self._choose_sink(list(jobs))]
        rows = tx.purchases.lock_many([job.key for job in jobs])
        recipients = Recipients(self.runtime, tx)
        recipients.load(rows.values())
        ready: dict[str, tuple[Job, Purchase]] = {}
        off, blocked_sinks = are_writes_off(tx), lock_portal_state(tx).blocked_sinks
        contacts = _find_contacts(tx, recipients, rows.values())
        for job in jobs:
            row = rows.get(job.key)
            if row is None or row.state is PurchaseState.SENT:
                finish(tx, job)
            elif row.waits_for is WaitCode.NOTES_READ and job.waits_for == WaitCode.NONE:
                # Its process ended before there was an answer: the note may still be on its way.
                _wait_for_late_note(tx, job, REASONS[WaitCode.NOTES_READ])
            elif contact_id := contacts[row.payment_id]:
                ready[row.payment_id] = (job, replace(row, contact_id=contact_id, sink=row.sink or sink))
            else:
                self._wait(tx, job, row, recipients)
        _set_back_blocked(tx, ready, blocked_sinks, off=off)
        self._lock_roll_ups(tx, ready)
        for job, row in ready.values():
            wait = UNKNOWN_OUTCOMES.get(row.sink or sink, WaitCode.NONE)
            tx.purchases.set_state(
                job.key,
                PurchaseState.TODO,
                contact_id=row.contact_id,
                sink=row.sink,
                reason=REASONS[wait],
                waits_for=wait,
            )
        until_ms = tx.now_ms + LOCK_MS
        calls = [self._send(chosen, [v for v in ready.values() if v[1].sink is chosen], until_ms) for chosen in Sink]
        return [call for call in calls if call.jobs]

    def _lock_roll_ups(self, tx: Tx, ready: dict[str, tuple[Job, Purchase]]) -> None:
        """Take the contacts of roll-ups, and put back payments whose contact is taken.

        Of two requests for one contact at the same time, the one with the older totals may take effect last, whatever
        the order of their answers (docs/correctness.md#roll-ups).
        """
        leads = _find_leads(ready.values())
        held = self.runtime.lock_each(tx, {job.token: {f"roll-up:{i}"} for i, job in leads.items()})
        for job, row in list(ready.values()):
            if row.sink is Sink.PROPERTIES and leads[row.contact_id].token not in held:
                del ready[job.key]
                reschedule(tx, job, LOCK_WAIT_MS, WaitCode.LOCK, "another roll-up of its contact is under way")

    def _wait(self, tx: Tx, job: Job, row: Purchase, recipients: Recipients) -> None:
        """Let a payment wait for its contact, without attempts, or mark it unmatched when none will come in time."""
        if recipients.has_note_in_doubt(row):
            self._wait_for_note(tx, job, row)
            return
        reason, gone = recipients.find_final_reason(row), recipients.find_gone(row)
        if reason or self._is_too_old(tx, row):
            late = GONE if gone else "no contact for it within the time allowed"
            _mark_unmatched(tx, job, row, reason or late)
            return
        waits_for, text = WaitCode.CONTACT, GONE if gone else NO_CONTACT
        if recipients.find_rivals(row):
            waits_for, text = WaitCode.RIVALS, RIVALS
        tx.purchases.set_state(row.payment_id, PurchaseState.WAITING, contact_id="", reason=text, waits_for=waits_for)
        tx.jobs.put_many(recipients.request_contact(row, job))
        # The job is also due again later: a link committed at this moment may not queue it.
        reschedule(tx, job, _wait_by_age_ms(tx, row), waits_for, text)

    def _wait_for_note(self, tx: Tx, job: Job, row: Purchase) -> None:
        """Let a payment wait whose note may be on a contact that is gone: a restored contact has its notes again.

        It goes to no other contact meanwhile, where the note would be made twice (docs/correctness.md#purchases).
        """
        if self._is_too_old(tx, row):
            _mark_unmatched(tx, job, row, NOTE_IN_DOUBT)
            return
        waits_for = WaitCode.NOTES_READ
        tx.purchases.set_state(row.payment_id, PurchaseState.WAITING, reason=NOTE_IN_DOUBT, waits_for=waits_for)
        tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, row.contact_id, woken_by=job))
        reschedule(tx, job, _wait_by_age_ms(tx, row), WaitCode.CONTACT, NOTE_IN_DOUBT)

    def _wait_for_gone(self, tx: Tx, job: Job, row: Purchase) -> None:
        """Let a payment wait while its contact is read, which HubSpot did not find, or mark it unmatched in the end.

        The contact may be missing for good without a deletion that is known (docs/correctness.md#absence): each attempt
        waits longer. The doubt about a note stays with its contact: a contact that is gone shows none of its notes.
        """
        in_doubt = row.waits_for is WaitCode.NOTES_READ
        reason = NOTE_IN_DOUBT if in_doubt else GONE
        tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, row.contact_id))
        if self._is_too_old(tx, row) and (in_doubt or not self._has_other_contact(tx, row)):
            _mark_unmatched(tx, job, row, reason)
            return
        waits_for = WaitCode.NOTES_READ if in_doubt else WaitCode.CONTACT
        contact_id = row.contact_id if in_doubt else ""
        tx.purchases.set_state(
            row.payment_id, PurchaseState.WAITING, contact_id=contact_id, reason=reason, waits_for=waits_for
        )
        wait_ms = min(GONE_WAIT_MS << min(job.attempts, 10), MAX_CONTACT_WAIT_MS)
        reschedule(tx, job, wait_ms, WaitCode.CONTACT, reason, count=True)

    def _has_other_contact(self, tx: Tx, row: Purchase) -> bool:
        """Whether link or address lead to another contact than the one that HubSpot did not find."""
        recipients = Recipients(self.runtime, tx)
        recipients.load([row])
        return recipients.find(row) not in ("", row.contact_id)

    def _is_too_old(self, tx: Tx, row: Purchase) -> bool:
        return tx.now_ms - row.created_ms > self.runtime.options.unmatched_after_ms

    # -- the sink

    def _sink(self, tx: Tx) -> Sink | None:
        if self.runtime.options.sink is not None:
            return self.runtime.options.sink
        chosen = tx.settings.get(SINK)
        return Sink(chosen) if chosen else None

    def _choose_sink(self, jobs: list[Job]) -> Call[bool]:
        """Choose the sink for ``auto``, once per database: custom events where they can be defined, else notes."""
        operation = "events.definitions"

        def then(tx: Tx, answer: bool | CallError) -> Next:
            mine = still_held(tx, jobs)
            if isinstance(answer, CallError):
                fail(self.runtime, tx, mine, answer, operation)
                return DONE
            sink = Sink.CUSTOM_EVENT if answer else Sink.NOTE
            if tx.settings.add(SINK, sink) == sink:
                tx.journal.add("purchase sink", Side.HUBSPOT, "", "", {"sink": sink})
            return self.prepare(tx, mine)

        return Call(Side.HUBSPOT, operation, jobs, self.runtime.hubspot.can_define_events, then)

    # -- sending

    def _send(self, sink: Sink, items: Sequence[tuple[Job, Purchase]], until_ms: int) -> AnyCall:
        jobs = [job for job, _ in items]
        purchases = {row.payment_id: row for _, row in items}
        match sink:
            case Sink.CUSTOM_EVENT:
                return self._call("events.send", jobs, purchases, self.runtime.hubspot.send_events)
            case Sink.NOTE:
                return self._note(jobs, purchases)
            case Sink.PROPERTIES:
                return self._roll_up(jobs, purchases, until_ms)

    def _call(
        self,
        operation: str,
        jobs: list[Job],
        purchases: Mapping[str, Purchase],
        send: Callable[[Mapping[str, Purchase]], Outcomes],
    ) -> Call[Outcomes]:
        def then(tx: Tx, answer: Outcomes | CallError) -> Next:
            for job in still_held(tx, jobs):
                if isinstance(answer, CallError):
                    self._failed(tx, job, purchases[job.key], operation, answer)
                else:
                    self._settle(tx, job, purchases[job.key], operation, _find_outcome(answer, job.key))
            return DONE

        return Call(Side.HUBSPOT, operation, jobs, lambda: send(purchases), then)

    def _settle(self, tx: Tx, job: Job, row: Purchase, operation: str, error: CallError | None) -> None:
        if error is None and row.sink is Sink.PROPERTIES and row.waits_for is WaitCode.RESEND:
            # An earlier attempt without an answer may still arrive, with totals that are old by now.
            tx.purchases.set_state(row.payment_id, PurchaseState.TODO)
            reschedule(tx, job, MAX_LATENESS_MS, WaitCode.RESEND, REASONS[WaitCode.RESEND], fixed=True)
        elif error is None:
            tx.purchases.set_state(row.payment_id, PurchaseState.SENT)
            tx.journal.add("purchase", Side.HUBSPOT, row.contact_id, "", {"payment": row.payment_id, "sink": row.sink})
            finish(tx, job)
        elif error.failure is Failure.NOT_FOUND:
            self._wait_for_gone(tx, job, row)
        else:
            self._failed(tx, job, row, operation, error)

    def _failed(self, tx: Tx, job: Job, row: Purchase, operation: str, error: CallError) -> None:
        """Reschedule a failed purchase; a note without an answer waits until a late one would be found."""
        if operation != "notes.create":
            fail(self.runtime, tx, [job], error, operation)
        elif error.failure is Failure.NO_ANSWER and job.attempts + 1 < MAX_ATTEMPTS:
            _wait_for_late_note(tx, job, error.reason, count=True)
        else:
            if error.failure not in UNCERTAIN and row.waits_for is not WaitCode.NOTES_READ:
                tx.purchases.set_state(job.key, PurchaseState.TODO)
            fail(self.runtime, tx, [job], error, operation)

    def _note(self, jobs: list[Job], purchases: Mapping[str, Purchase], read: frozenset[str] = frozenset()) -> AnyCall:
        """Send notes; where an earlier answer is unknown, read the contact's notes first: a note has no id of ours.

        ``read``: contacts whose notes were read. What was in doubt stays so until a note is made: a contact that is
        deleted while it is read shows no notes.
        """
        doubtful = {row.contact_id: row for row in purchases.values() if row.waits_for is WaitCode.NOTES_READ}
        contact_id = next((one for one in doubtful if one not in read), None)
        if contact_id is None:
            return self._call("notes.create", jobs, purchases, self.runtime.hubspot.create_notes)

        def then(tx: Tx, answer: frozenset[str] | CallError) -> Next:
            mine = still_held(tx, jobs)
            gone = answer if isinstance(answer, CallError) and answer.failure is Failure.NOT_FOUND else None
            if isinstance(answer, CallError) and gone is None:
                fail(self.runtime, tx, mine, answer, "notes.read")
                return DONE
            marks = frozenset() if isinstance(answer, CallError) else answer
            left = dict(purchases)
            for job in mine:
                row = purchases[job.key]
                if row.contact_id == contact_id and (gone or row.payment_id in marks):
                    self._settle(tx, job, row, "notes.read", gone)
                    del left[row.payment_id]
            rest = [job for job in mine if job.key in left]
            if rest and are_writes_off(tx):
                _wait_for_switch(tx, rest, left)
                return DONE
            return [self._note(rest, left, read | {contact_id})] if rest else DONE

        return Call(Side.HUBSPOT, "notes.read", jobs, lambda: self.runtime.hubspot.read_note_marks(contact_id), then)

    def _roll_up(self, jobs: list[Job], purchases: Mapping[str, Purchase], until_ms: int) -> Call[Outcomes]:
        """Write roll-ups, recomputed from the ledger and never incremented.

        ``until_ms``: when the locks of the contacts end by themselves.
        """
        operation = "contacts.batch_update"
        leads = _find_leads([(job, purchases[job.key]) for job in jobs])
        sent: set[str] = set()

        def send() -> Outcomes:
            with self.runtime.store.reading() as tx:
                # A merge may have moved them to a contact meanwhile that is not locked.
                known = tx.purchases.get_many(purchases)
                sent.update(i for i, row in known.items() if row.contact_id == purchases[i].contact_id)
                contacts = {purchases[i].contact_id for i in sent}
                values = {c: roll_up(tx.purchases.of_contact(c)) for c in sorted(contacts)}
            return self.runtime.hubspot.set_properties(values) if values else {}

        def then(tx: Tx, answer: Outcomes | CallError) -> Next:
            mine = still_held(tx, jobs)
            if isinstance(answer, CallError):
                for job in mine:
                    if answer.failure not in UNCERTAIN and purchases[job.key].waits_for is not WaitCode.RESEND:
                        tx.purchases.set_state(job.key, PurchaseState.TODO)
                fail(self.runtime, tx, mine, answer, operation)
                return DONE
            known = tx.purchases.lock_many([job.key for job in mine])
            for job in mine:
                row = purchases[job.key]
                if job.key not in sent or known[job.key].contact_id != row.contact_id:
                    # Merged while this was under way: what arrived may be the totals of a part.
                    reschedule(tx, job, MIN_CONTACT_WAIT_MS, WaitCode.CONTACT, "its contact was merged")
                    continue
                if leads[row.contact_id] not in mine or tx.now_ms >= until_ms:
                    # The lock ended before the answer: another roll-up of the contact may have been under way.
                    row = replace(row, waits_for=WaitCode.RESEND)
                self._settle(tx, job, row, operation, _find_outcome(answer, row.contact_id))
            return DONE

        return Call(Side.HUBSPOT, operation, jobs, send, then)


def _find_leads(items: Iterable[tuple[Job, Purchase]]) -> dict[str, Job]:
    """Contact -> the job that holds its lock for all roll-ups of one batch."""
    leads: dict[str, Job] = {}
    for job, row in items:
        if row.sink is Sink.PROPERTIES:
            leads.setdefault(row.contact_id, job)
    return leads


def _set_back_blocked(
    tx: Tx, ready: dict[str, tuple[Job, Purchase]], blocked_sinks: Collection[str], *, off: bool
) -> None:
    """Put back the payments that must not be sent now: writes are off, or the portal lacks what their sink needs."""
    for job, row in list(ready.values()):
        if off:
            tx.journal.add("would write", Side.HUBSPOT, row.contact_id, "", {"kind": "purchase", "payment": job.key})
            reschedule(tx, job, DAY_MS, WaitCode.WRITES_OFF, WRITES_OFF, fixed=True)
        elif row.sink in blocked_sinks:
            reschedule(tx, job, DAY_MS, WaitCode.SETUP, SETUP_WAIT, fixed=True)
        else:
            continue
        del ready[job.key]


def _wait_by_age_ms(tx: Tx, row: Purchase) -> int:
    return max(MIN_CONTACT_WAIT_MS, min(MAX_CONTACT_WAIT_MS, tx.now_ms - row.created_ms))


def _mark_unmatched(tx: Tx, job: Job, row: Purchase, why: str) -> None:
    """Give a payment up for now: it has no contact then, but one that may hold its note."""
    contact_id, waits_for = (row.contact_id, WaitCode.NOTES_READ) if why == NOTE_IN_DOUBT else ("", WaitCode.NONE)
    state = PurchaseState.UNMATCHED
    tx.purchases.set_state(row.payment_id, state, contact_id=contact_id, reason=why, waits_for=waits_for)
    tx.journal.add("unmatched", Side.HUBSPOT, row.payment_id, "", {"reason": why})
    tx.locks.drop(job.token)
    tx.jobs.mark_dead(job, DeadClass.UNMATCHED, why)


def _find_outcome(answers: Outcomes, key: str) -> CallError | None:
    """The outcome of one item; what an answer does not name may have been taken or not."""
    if key in answers:
        return answers[key]
    return CallError(Side.HUBSPOT, Failure.NO_ANSWER, "the answer to the batch does not name this item")


def _wait_for_late_note(tx: Tx, job: Job, reason: str, *, count: bool = False) -> None:
    """Wait until a note that was sent without an answer would be found; news of the contact does not shorten it."""
    reschedule(tx, job, MAX_LATENESS_MS, WaitCode.NOTES_READ, reason, count=count, fixed=True)


def _wait_for_switch(tx: Tx, jobs: Sequence[Job], rows: Mapping[str, Purchase]) -> None:
    """Let notes wait that were not sent, because writes were turned off while others were read."""
    for job in jobs:
        if rows[job.key].waits_for is WaitCode.NONE:
            tx.purchases.set_state(job.key, PurchaseState.TODO)
        reschedule(tx, job, DAY_MS, WaitCode.WRITES_OFF, WRITES_OFF, fixed=True)


def _find_contacts(tx: Tx, recipients: Recipients, rows: Collection[Purchase]) -> dict[str, str]:
    """Payment id -> its contact, "" without one; none that is found now is merged before the transaction ends."""
    found = {row.payment_id: recipients.choose(row) for row in rows}
    new = {found[row.payment_id] for row in rows if found[row.payment_id] != row.contact_id} - {""}
    kept = tx.records.hold_contacts(new)
    return {payment_id: kept.get(contact_id, contact_id) for payment_id, contact_id in found.items()}
