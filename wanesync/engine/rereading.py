"""Reading records anew outside the job table, at once and paced, and storing them as read jobs do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from wanesync.core.errors import CallError, Failure, SideDown
from wanesync.core.job import Priority
from wanesync.core.limits import Want
from wanesync.core.model import Record, Side
from wanesync.core.ports import CustomerAnswer
from wanesync.engine.asking import READ_ATTEMPTS, TRANSIENT
from wanesync.engine.context import Engine
from wanesync.engine.pace import Pacer
from wanesync.engine.sight import Sight, store_contacts
from wanesync.store.store import Tx

_T = TypeVar("_T")
BATCH = 100
THREADS = 8
"""Stripe gives one customer a request: several at once, so that its latency does not set the pace."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What was read: contact -> record, customer -> answer (None: not there). ``moved``: stores of each before."""

    contacts: Mapping[str, Record | None] = field(default_factory=dict)
    customers: Mapping[str, CustomerAnswer | None] = field(default_factory=dict)
    moved: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Rereading:
    """Reads of both sides. ``threads``: calls to Stripe at the same time."""

    engine: Engine
    pacers: Mapping[Side, Pacer]
    threads: int = THREADS

    def ask(self, contacts: Sequence[str], customers: Sequence[str]) -> Answers:
        """One request for 100 contacts, one for each customer. Raises ``SideDown``."""
        with self.engine.store.reading() as tx:
            known = tx.records.get_many([(Side.STRIPE, i) for i in customers])
        moved = {i: known[Side.STRIPE, i].moved if (Side.STRIPE, i) in known else 0 for i in customers}
        read: dict[str, Record | None] = {}
        for start in range(0, len(contacts), BATCH):
            ids = contacts[start : start + BATCH]
            answer = self._call(
                Side.HUBSPOT,
                "contacts.batch_read",
                lambda ids=ids: self.engine.hubspot.read_contacts(ids),  # type: ignore[misc] # binds the loop's value
            )
            read |= {i: answer.get(i) for i in ids}
        return Answers(read, dict(zip(customers, self._ask_stripe(customers), strict=True)), moved)

    def store(self, tx: Tx, answers: Answers) -> None:
        """By the rules of order; whom a changed address concerns is woken."""
        sight = Sight(self.engine, tx, Priority.BULK)
        store_contacts(sight, answers.contacts)
        sight.load(Side.STRIPE, answers.customers)
        for customer_id, answer in answers.customers.items():
            if answer is None or answer.record is None:
                sight.delete(Side.STRIPE, customer_id)
            else:
                sight.store_customer(answer, answers.moved[customer_id])
        sight.close()

    def _ask_stripe(self, customers: Sequence[str]) -> list[CustomerAnswer | None]:
        if self.threads < 2 or len(customers) < 2:
            return [self._ask_customer(i) for i in customers]
        with ThreadPoolExecutor(self.threads, "reread") as pool:
            return list(pool.map(self._ask_customer, customers))

    def _ask_customer(self, customer_id: str) -> CustomerAnswer | None:
        try:
            return self._call(Side.STRIPE, "customers.retrieve", lambda: self.engine.stripe.read_customer(customer_id))
        except CallError as error:
            if error.failure is Failure.NOT_FOUND:
                return None
            raise

    def _call(self, side: Side, operation: str, call: Callable[[], _T]) -> _T:
        """A read, tried again on trouble that passes; raises ``SideDown`` when it does not."""

        def once() -> _T:
            self.pacers[side].wait(Want(operation))
            try:
                return call()
            except CallError as error:
                self.pacers[side].heed(error, operation)
                raise

        retrying = Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, CallError) and e.failure in TRANSIENT),
            stop=stop_after_attempt(READ_ATTEMPTS),
            wait=wait_exponential_jitter(multiplier=0.5, max=8),
            reraise=True,
        )
        try:
            return retrying(once)
        except CallError as error:
            if error.failure is Failure.NOT_FOUND:
                raise
            raise SideDown(f"{error}: what was queued so far stays queued; run it again later") from error
