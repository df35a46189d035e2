"""Live sync over a SQLite store in memory, with scripted ports instead of HubSpot and Stripe."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

from tests.support.core_builders import FIELDS, RULES
from tests.support.core_builders import link as build_link
from tests.support.store_fixtures import Clock
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.errors import CallError, Failure
from wanesync.core.fields import FieldMap
from wanesync.core.jobs import Job, JobKind, JobRequest, Priority
from wanesync.core.model import Link, PendingWrite, Record, Side
from wanesync.core.plan import Rules
from wanesync.core.ports import CustomerAnswer, HubSpotPort, Page, StripePort, Timing
from wanesync.core.purchases import Purchase
from wanesync.purchases.guest_contacts import GuestContacts
from wanesync.purchases.sender import PurchaseSender
from wanesync.store import make_key, open_store
from wanesync.store.clock import DatabaseClock
from wanesync.store.database import Tx
from wanesync.sync.calls import AnyCall
from wanesync.sync.loader import LISTED
from wanesync.sync.reader import Reader
from wanesync.sync.record_versions import RecordWriter
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions
from wanesync.sync.writes.write_jobs import WriteJobs
from wanesync.sync.writes.writer import WRITES
from wanesync.worker.committer import commit_answers

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
PORTAL = "1"
SECOND_MS = 1_000
MAX_ROUNDS = 20
LISTED_MS = 1_700_100_000_000


class ScriptedPort:
    """Answers each method with what the test scripted, in order; any other request fails the test.

    An answer may be a value, an exception to raise, or a function of the request's arguments.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, tuple[object, ...]]] = []
        self._answers: dict[str, deque[object]] = {}

    def answer(self, method: str, *answers: object) -> None:
        """Script the next answers of a method."""
        self._answers.setdefault(method, deque()).extend(answers)

    def script(self, method: str, answer: Callable[..., object]) -> None:
        """Answer every later request of a method by a function of its arguments."""
        self._answers[method] = deque([answer], maxlen=1)

    def __getattr__(self, method: str) -> Callable[..., object]:
        def request(*arguments: object) -> object:
            self.requests.append((method, arguments))
            waiting = self._answers.get(method)
            assert waiting, f"unexpected request: {method}{arguments}"
            found = waiting[0] if waiting.maxlen == 1 else waiting.popleft()
            if isinstance(found, Exception):
                raise found
            return found(*arguments) if callable(found) else found

        return request


class LiveSync:
    """One process of live sync. ``work`` claims and carries out everything that is due."""

    def __init__(self, rules: Rules = RULES, *, is_listed: bool = True, **options: object) -> None:
        self.clock = Clock()
        clock = DatabaseClock(self.clock, self.clock)
        self.store = open_store("sqlite::memory:", [make_key("k001")], migrate=True, clock=clock, rng=random.Random(1))
        self.hubspot, self.stripe = ScriptedPort(), ScriptedPort()
        self.runtime = Runtime(
            self.store,
            rules,
            FieldTranslator(FIELDS),
            SyncOptions(PORTAL, **options),  # type: ignore[arg-type] # a test names the options it changes
            random.Random(2),
            ProcessState("w1"),
            cast("HubSpotPort", self.hubspot),
            cast("StripePort", self.stripe),
        )
        self.store.run(lambda tx: self._set_up(tx, is_listed=is_listed))

    def _set_up(self, tx: Tx, *, is_listed: bool) -> None:
        tx.settings.put(WRITES, "on")
        if is_listed:
            tx.settings.put(LISTED, "1")
        tx.processes.beat("w1", "hubspot,stripe", 0)

    def change_fields(self, fields: FieldMap) -> None:
        """Work with another field map from now on."""
        rules = replace(self.runtime.rules, fields=fields)
        self.runtime = replace(self.runtime, rules=rules, translator=FieldTranslator(fields))

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    # -- what is stored

    def know(self, *records: Record) -> None:
        """Store copies of records, as after reads; nothing is queued for them."""
        with self.store.transaction() as tx, RecordWriter(self.runtime, tx, planned=True) as writer:
            for record in records:
                if record.side is HUBSPOT:
                    writer.store_contact(record)
                else:
                    old = writer.get(STRIPE, record.id)
                    answer = CustomerAnswer(record, Timing(tx.now_ms, tx.now_ms))
                    writer.store_customer(answer, old.revision if old else 0)

    def delete(self, side: Side, record_id: str) -> None:
        """Store that a record was deleted; nothing is queued for it."""
        with self.store.transaction() as tx, RecordWriter(self.runtime, tx, planned=True) as writer:
            writer.delete(side, record_id)

    def link(self, contact: Record, customer: Record) -> Link:
        """Store both and link them, with what each holds as base."""
        self.know(contact, customer)
        names = self.runtime.rules.fields.by_name
        base = {n: (contact.values.get(n, ""), customer.values.get(n, "")) for n in names}
        made = build_link(contact.id, customer.id, base)
        self.store.run(lambda tx: tx.links.put(made))
        return made

    def queue(self, lane: Side, key: str, kind: JobKind = JobKind.WRITE, priority: Priority = Priority.LIVE) -> None:
        """Queue a job."""
        self.store.run(lambda tx: tx.jobs.put(JobRequest(lane, kind, key, priority)))

    def pay(self, payment_id: str = "pi_1", customer_id: str = "", email: str = "") -> None:
        """Store a payment and queue its job."""
        hmac = self.store.hmac(email) if email else ""

        def put(tx: Tx) -> None:
            tx.purchases.put(Purchase(payment_id, "ch_1", customer_id, email, hmac, 500, "eur", tx.now_ms))
            tx.jobs.put(JobRequest(HUBSPOT, JobKind.PURCHASE, payment_id, Priority.PURCHASE))

        self.store.run(put)

    # -- work

    def claim(self, lane: Side, kind: JobKind = JobKind.WRITE) -> list[Job]:
        """Claim the due jobs of a kind."""
        return self.store.run(lambda tx: tx.jobs.claim(lane, [kind], 100, self.runtime.name))

    def prepare(self, jobs: list[Job]) -> list[AnyCall]:
        """Prepare claimed jobs of one kind, as their lane does."""
        if not jobs:
            return []
        if jobs[0].kind is JobKind.READ:
            prepare = Reader(self.runtime).prepare
        elif jobs[0].kind is JobKind.PURCHASE:
            prepare = PurchaseSender(self.runtime).prepare
        elif jobs[0].key.startswith("guest:"):
            prepare = GuestContacts(self.runtime).prepare
        else:
            prepare = WriteJobs(self.runtime).prepare
        return self.store.run(lambda tx: prepare(tx, jobs))

    def carry_out(self, calls: list[AnyCall]) -> None:
        """Make calls and commit their answers, then those that follow."""
        for _ in range(MAX_ROUNDS):
            if not calls:
                return
            answered: list[tuple[AnyCall, object]] = []
            for call in calls:
                try:
                    answered.append((call, call.send()))
                except CallError as error:
                    answered.append((call, error))
            calls = self.store.run(lambda tx, a=answered: commit_answers(self.runtime, tx, a))  # type: ignore[misc] # binds the loop's value
        raise AssertionError("calls follow calls for ever")

    def work(self, lane: Side, kind: JobKind = JobKind.WRITE) -> list[Job]:
        """Claim the due jobs of a kind and carry them out; returns them as they are afterwards."""
        jobs = self.claim(lane, kind)
        self.carry_out(self.prepare(jobs))
        return self.look(jobs)

    def look(self, jobs: list[Job]) -> list[Job]:
        """The jobs as they are now."""
        with self.store.reading() as tx:
            found = [tx.jobs.get(job.id) for job in jobs]
        return [job for job in found if job is not None]

    def advance(self, ms: int) -> None:
        """Let time pass; the process keeps its lease."""
        self.clock.advance(ms)
        self.store.run(lambda tx: tx.processes.beat("w1", "hubspot,stripe", 0))

    # -- what came of it

    def is_queued(self, lane: Side, key: str, kind: JobKind = JobKind.WRITE) -> bool:
        """Whether a job of a key is ready or running."""
        with self.store.reading() as tx:
            return key in tx.jobs.pending_keys(lane, kind, [key])

    def open_writes(self, key: str) -> list[PendingWrite]:
        """The writes of a key without an answer."""
        with self.store.reading() as tx:
            return list(tx.pending_writes.open_for_keys([key], None))

    def links(self, contact_id: str) -> list[Link]:
        """The links of a contact."""
        with self.store.reading() as tx:
            return tx.links.of_records([(HUBSPOT, contact_id)])

    def journal(self) -> list[str]:
        """The kinds of all entries of the journal, newest first."""
        with self.store.reading() as tx:
            return [entry.kind for entry in tx.journal.latest(1_000)]

    def conflicts(self) -> list[tuple[str, str, str]]:
        """Kind, field and value of each open conflict."""
        with self.store.reading() as tx:
            return [(row.conflict.kind, row.conflict.field, row.conflict.value) for row in tx.conflicts.list()]


def customer_answer(record: Record | None, at_ms: int = 0, *, replayed: bool = False) -> CustomerAnswer:
    """An answer of Stripe with a customer, or without one."""
    return CustomerAnswer(record, Timing(at_ms, at_ms), replayed)


def refused(side: Side, failure: Failure, *fields: str, existing_id: str | None = None) -> CallError:
    """An error answer."""
    return CallError(side, failure, f"{failure} in a test", fields=fields, existing_id=existing_id)


def created(record_values: Mapping[str, str], customer_id: str = "cus_new", other_id: str = "1") -> CustomerAnswer:
    """Stripe's answer to a create."""
    email = record_values.get("email", "")
    return customer_answer(Record(STRIPE, customer_id, record_values, frozenset({email} - {""}), other_id))


def page(*records: Record, after: str = "", at_ms: int = LISTED_MS) -> Page:
    """A page of a listing, by default dated later than every time in a test: no clock of ours is ahead of it."""
    return Page(records, after, Timing(at_ms, at_ms))
