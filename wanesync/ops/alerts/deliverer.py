"""Delivers notices from their table: each by one process at a time, again at growing intervals until it arrives.

A notice is delivered at least once: a process that dies between the delivery and its commit leaves one that is sent
again 90 s later. A recipient that does not answer is asked for one notice at a time; the others wait behind it, in
their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from wanesync.core.errors import DeliveryFailed
from wanesync.core.operating.alerts import GIVE_UP_MS, RETRY_S, Message, Notice, find_retry_ms
from wanesync.core.operating.recipients import Addressee, Recipient, RecipientBook
from wanesync.store.tables.operating.alerts import DeliveryState

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx
    from wanesync.store.tables.operating.alerts import Delivery

LEASE_MS = 90_000
"""How long a delivery is taken: longer than its longest time-out (60 s, of an answer that trickles in)."""
YIELD_MS = 6_000
"""How much longer a process leaves a recipient to the others that it did not reach: longer than they look for work
(``task.DELIVER_S``). A part may have no way out of its network, and another one has."""
MAX_ROUND = 50
"""Deliveries of one round, after which the process looks whether it is to stop."""

log = structlog.get_logger()


class Messenger(Protocol):
    """Sends a message to one recipient (``adapters.notices``)."""

    def send(self, recipient: Recipient, message: Message) -> None:
        """Send; raises ``DeliveryFailed``, without an address or a secret in its text."""
        ...


@dataclass(frozen=True, slots=True)
class TestResult:
    """How the test of one recipient went. ``error``: "" if it arrived."""

    __test__ = False
    place: str
    label: str
    error: str


@dataclass(slots=True)
class Deliverer:
    """Sends what waits for the recipients of this process's configuration. ``token``: of this process, unique."""

    store: Store
    token: str
    book: Callable[[], RecipientBook]
    messenger: Messenger
    _yielded: dict[str, int] = field(default_factory=dict)

    def run_round(self) -> int:
        """Try what is due; the number of attempts. Raises ``DatabaseUnavailable``."""
        book = self._find_reachable()
        attempts = 0
        while book and attempts < MAX_ROUND:
            found = self.store.run(lambda tx: tx.alert_deliveries.claim_next([*book], self.token, LEASE_MS))
            if found is None:
                break
            attempts += 1
            failure = self._send(book[found.recipient], found.id, found.at_ms, found.notice)
            if failure is not None and not failure.of_message:
                wait_ms = find_retry_ms(found.attempts, failure.retry_after_s) + YIELD_MS
                self._yielded[found.recipient] = self.store.now_ms() + wait_ms
                del book[found.recipient]
            self.store.run(lambda tx, f=found, e=failure: self._store(tx, f, e))  # type: ignore[misc] # binds the loop's values
        return attempts

    def _find_reachable(self) -> dict[str, Recipient]:
        """Return the recipients by their places, but for those that this process leaves to the others for now."""
        now_ms = self.store.now_ms()
        latest_ms = now_ms + RETRY_S[-1] * 1000 + YIELD_MS
        self._yielded = {place: at_ms for place, at_ms in self._yielded.items() if now_ms < at_ms <= latest_ms}
        return {one.place: one.recipient for one in self.book().all if one.place not in self._yielded}

    def test(self, notice: Notice, addressees: Sequence[Addressee]) -> list[TestResult]:
        """Send a test to each recipient now, once; it stands in the list of deliveries. Raises DatabaseUnavailable."""
        results = []
        for one in addressees:
            added = self.store.run(lambda tx, o=one: self._add_test(tx, notice, o))  # type: ignore[misc] # as above
            failure = self._send(one.recipient, added, self.store.now_ms(), notice)
            error = str(failure or "")
            state = DeliveryState.FAILED if failure else DeliveryState.SENT
            self.store.run(lambda tx, a=added, s=state, e=error: tx.alert_deliveries.end(a, self.token, s, e))  # type: ignore[misc] # as above
            results.append(TestResult(one.place, one.recipient.label, error))
        return results

    def _add_test(self, tx: Tx, notice: Notice, one: Addressee) -> str:
        added = tx.alert_deliveries.add(notice, one.place, one.recipient.label)
        tx.alert_deliveries.claim_test(added, self.token, LEASE_MS)
        return added

    def _send(self, recipient: Recipient, delivery_id: str, at_ms: int, notice: Notice) -> DeliveryFailed | None:
        try:
            self.messenger.send(recipient, Message(delivery_id, at_ms, notice))
        except DeliveryFailed as error:
            return error
        except Exception as error:  # noqa: BLE001 - a defect or a library's error is a failed delivery, to be retried
            log.error("notice not sent, in our own code", error=type(error).__name__)
            return DeliveryFailed(f"failed with {type(error).__name__}")
        return None

    def _store(self, tx: Tx, found: Delivery, failure: DeliveryFailed | None) -> None:
        table = tx.alert_deliveries
        if failure is None:
            table.end(found.id, self.token, DeliveryState.SENT)
            return
        error = str(failure)
        log.warning("notice not delivered", recipient=found.label, attempt=found.attempts, reason=error)
        if tx.now_ms - found.at_ms >= GIVE_UP_MS:
            table.end(found.id, self.token, DeliveryState.FAILED, error)
            return
        after_ms = find_retry_ms(found.attempts, failure.retry_after_s)
        if table.retry(found.id, self.token, error, after_ms) and not failure.of_message:
            table.postpone(found.recipient, after_ms)
