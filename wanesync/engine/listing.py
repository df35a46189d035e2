"""Listing both sides completely: what first contact, ``diff`` and ``reconcile`` stand on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from wanesync.core.errors import CallError, Failure, SideDown
from wanesync.core.job import Priority
from wanesync.core.limits import Want
from wanesync.core.model import Side
from wanesync.core.ports import CustomerAnswer, Page
from wanesync.engine.context import Engine
from wanesync.engine.pace import Pacer
from wanesync.engine.sight import Sight
from wanesync.store.store import Tx

Progress = Callable[[Side, int], None]
TRANSIENT = frozenset(
    {Failure.NO_ANSWER, Failure.UNREACHED, Failure.UNAVAILABLE, Failure.RATE_LIMITED, Failure.BUSY, Failure.SERVER}
)
READ_ATTEMPTS = 5
OPERATIONS = {Side.HUBSPOT: "contacts.list", Side.STRIPE: "customers.list"}


@dataclass(slots=True)
class Listed:
    """What a complete listing found: ids per side, requests made, when it began."""

    began_ms: int
    ids: dict[Side, set[str]] = field(default_factory=lambda: {Side.HUBSPOT: set(), Side.STRIPE: set()})
    requests: int = 0


def read_patiently(call: Callable[[], Page]) -> Page:
    """One read of a listing, tried again on trouble that passes; raises ``SideDown`` when it does not."""

    def passing(error: BaseException) -> bool:
        return isinstance(error, CallError) and error.failure in TRANSIENT

    retrying = Retrying(
        retry=retry_if_exception(passing),
        stop=stop_after_attempt(READ_ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=0.5, max=8),
        reraise=True,
    )
    try:
        return retrying(call)
    except CallError as error:
        raise SideDown(f"the listing is incomplete and was not used: {error}") from error


@dataclass(slots=True)
class Listing:
    """Lists both sides into the store, by the same rules of order as any answer."""

    engine: Engine
    pacers: dict[Side, Pacer]

    def run(self, progress: Progress) -> Listed:
        """Both sides, page by page; complete or ``SideDown``."""
        listed = Listed(self.engine.store.now_ms())
        self._list_contacts(listed, progress)
        self._list_customers(listed, progress)
        return listed

    def _list_contacts(self, listed: Listed, progress: Progress) -> None:
        after = ""
        while True:
            page = self._read(Side.HUBSPOT, listed, lambda after=after: self.engine.hubspot.list_contacts(after))  # type: ignore[misc] # binds the loop's value

            def keep(tx: Tx, page: Page = page) -> None:
                sight = Sight(self.engine, tx, Priority.BULK)
                sight.load(Side.HUBSPOT, [record.id for record in page.records])
                for record in page.records:
                    sight.store_contact(record)
                sight.close()

            self.engine.commit("listing.page", keep)
            listed.ids[Side.HUBSPOT] |= {record.id for record in page.records}
            progress(Side.HUBSPOT, len(page.records))
            after = page.next
            if not after:
                return

    def _list_customers(self, listed: Listed, progress: Progress) -> None:
        """Newest first, up to the moment the listing began: younger ones come by event."""
        until_s = listed.began_ms // 1000
        after = ""
        while True:
            asked_ms = self.engine.store.now_ms()
            page = self._read(
                Side.STRIPE,
                listed,
                lambda after=after: self.engine.stripe.list_customers(after, 0, until_s),  # type: ignore[misc] # binds the loop's value
            )

            def keep(tx: Tx, page: Page = page, asked_ms: int = asked_ms) -> None:
                ids = [record.id for record in page.records]
                sight = Sight(self.engine, tx, Priority.BULK)
                sight.load(Side.STRIPE, ids)
                moved = tx.records.moved_since(Side.STRIPE, ids, asked_ms)
                for record in page.records:
                    old = sight.get(Side.STRIPE, record.id)
                    start = -1 if record.id in moved else old.moved if old else 0
                    sight.store_customer(CustomerAnswer(record, page.timing), start)
                sight.close()

            self.engine.commit("listing.page", keep)
            listed.ids[Side.STRIPE] |= {record.id for record in page.records}
            progress(Side.STRIPE, len(page.records))
            after = page.next
            if not after:
                return

    def _read(self, side: Side, listed: Listed, call: Callable[[], Page]) -> Page:
        def once() -> Page:
            self.pacers[side].wait(Want(OPERATIONS[side], bulk=True))
            listed.requests += 1
            try:
                return call()
            except CallError as error:
                self.pacers[side].heed(error, OPERATIONS[side])
                raise

        return read_patiently(once)
