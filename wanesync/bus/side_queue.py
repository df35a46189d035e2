"""One side of the queue: takes the webhooks of that side's handlers from the bus, stores them, and answers.

A message is acknowledged after its commit, so that the broker repeats what a killed process had not stored; a repeated
event is dropped by its key (``sync.intake``). Each side has a connection, a session and threads of its own, so that a
flood of one does not stop the other.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog

from wanesync.bus import topics
from wanesync.bus.client import BusClient, BusOptions, BusUnavailable, Message
from wanesync.bus.envelope import NotSealed, Seal, bind_exchange
from wanesync.bus.messages import Answer, Counts, Incoming, InvalidMessage, Kind, Status
from wanesync.bus.topics import Report
from wanesync.core.errors import DatabaseUnavailable, FieldMapChanged, InvalidPayload
from wanesync.core.model import Side
from wanesync.core.operating.figures import Figure
from wanesync.core.roles import HANDLERS
from wanesync.ops.alarms import WEB
from wanesync.sync.intake import Intake
from wanesync.web.door_test import Verdict, is_expected, store_seen

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx

THREADS = 16
"""Webhooks of a side that are stored at a time: those that wait share the next commit."""
MAX_WAITING_BYTES = 64 << 20
"""Of messages that wait here; the broker keeps the rest. One message is as large as a webhook may be (our choice)."""
DROP_LOG_S = 1.0
"""Shortest time between two lines of the log about messages that were dropped."""
RETRY_S = 1.0
"""Pause before a webhook is stored again after the database was unavailable."""
ANSWER_EXPIRY_S = 60
"""Longer than any handler waits."""
MAX_CLOCK_LEAD_MS = 1_000
"""A handler's clock may be ahead by so much."""
MAX_AGE_MS = 86_400_000
"""A webhook that seems older than a day has a wrong time: the broker keeps none as long."""

log = structlog.get_logger()


@dataclass(slots=True)
class SideQueue:
    """Stores what the handlers of one side publish. ``fail``: called when another process changed the field map."""

    side: Side
    store: Store
    intake: Intake
    seal: Seal
    options: BusOptions
    stopping: threading.Event
    fail: Callable[[FieldMapChanged], None]
    client: BusClient = field(init=False)
    _waiting: queue.SimpleQueue[Message | None] = field(default_factory=queue.SimpleQueue)
    _threads: list[threading.Thread] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _waiting_bytes: int = 0
    # Correlation data of the questions that wait or are being stored.
    _asked: set[bytes] = field(default_factory=set)
    _dropped: int = 0
    _logged_s: float = float("-inf")

    def __post_init__(self) -> None:
        """Make the client; it connects in ``start``."""
        incoming = topics.shared(topics.incoming(self.side))
        reports = [topics.done(self.side, report) for report in Report]
        self.client = BusClient(
            self.options, [incoming], self._receive, casual=reports, manual_ack=True, is_held=self._is_full
        )

    def start(self) -> None:
        """Begin to connect and to store."""
        names = [f"store-{self.side}-{number}" for number in range(THREADS)]
        self._threads = [threading.Thread(target=self._store_all, name=name) for name in names]
        for thread in self._threads:
            thread.start()
        self.client.start()

    def stop(self) -> None:
        """Finish what is being stored; ``stopping`` must be set. The broker keeps the rest."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        self.client.stop()

    # -- messages

    def _receive(self, message: Message) -> None:
        if not message.number:
            # A worker reports: a job that ended may make another one due.
            self.store.wake_workers()
        elif self._takes(message):
            self._waiting.put(message)
        else:
            # The broker keeps the one that is being stored until that is acknowledged.
            self.client.acknowledge(message)

    def _takes(self, message: Message) -> bool:
        """Count a message in that is to be stored: any but the copy of a question that waits here already.

        What the broker repeats may be one whose acknowledgement went with its connection, and is no copy.
        """
        with self._guard:
            if message.correlation:
                if message.correlation in self._asked and not message.repeated:
                    return False
                self._asked.add(message.correlation)
            self._waiting_bytes += len(message.payload)
            return True

    def _is_full(self) -> bool:
        return self._waiting_bytes > MAX_WAITING_BYTES

    def _give_room(self, message: Message) -> None:
        """Count a message out that waits no more, and read on where there was no room."""
        with self._guard:
            was_full = self._is_full()
            self._asked.discard(message.correlation)
            self._waiting_bytes -= len(message.payload)
        if was_full and not self._is_full():
            self.client.read_on()

    def _store_all(self) -> None:
        """Store one message after the other until the process stops; what it leaves is not acknowledged."""
        while (message := self._waiting.get()) is not None:
            if self.stopping.is_set():
                continue
            self._handle_safely(message)
            self._give_room(message)

    def _handle_safely(self, message: Message) -> None:
        """Handle one message whatever it holds."""
        try:
            self._handle(message)
        except Exception as error:  # noqa: BLE001 - a message must not end the thread; it stays unacknowledged
            log.error("message not handled", topic=message.topic, error=type(error).__name__)

    def _handle(self, message: Message) -> None:
        try:
            exchange = bind_exchange(message.correlation, message.response_topic)
            incoming = Incoming.decode(self.seal.open(message.topic, message.payload, exchange))
        except (NotSealed, InvalidMessage) as error:
            self._note_drop(message, error)
            self.client.acknowledge(message)
            return
        while not self.stopping.is_set():
            try:
                answer = self._take(incoming)
            except FieldMapChanged as error:
                self.fail(error)
                return
            except DatabaseUnavailable as error:
                # The handler's sender repeats it; it is stored all the same as soon as that is possible.
                log.warning("webhook waits for the database", side=self.side, reason=str(error))
                self._answer(message, Answer(Status.UNAVAILABLE))
                self.stopping.wait(RETRY_S)
            else:
                self._answer(message, answer)
                self.client.acknowledge(message)
                return

    def _note_drop(self, message: Message, error: Exception) -> None:
        """Log what is dropped, at most once a second: there may be any number of them."""
        with self._guard:
            self._dropped += 1
            now_s = time.monotonic()
            if now_s - self._logged_s < DROP_LOG_S:
                return
            number, self._dropped, self._logged_s = self._dropped, 0, now_s
        log.error("messages dropped", topic=message.topic, reason=str(error), messages=number)

    def _take(self, incoming: Incoming) -> Answer:
        """Carry out one message; one that cannot be is given up, so that it does not come again and again.

        Raises ``DatabaseUnavailable`` if it is to be tried again, and ``FieldMapChanged``.
        """
        try:
            return self._carry_out(incoming)
        except InvalidPayload as error:
            return Answer(Status.INVALID, reason=str(error))
        except (DatabaseUnavailable, FieldMapChanged):
            raise
        except Exception as error:  # noqa: BLE001 - its sender repeats it, and sees a refusal each time
            log.error("message not stored", side=self.side, kind=incoming.kind, error=type(error).__name__)
            return Answer(Status.UNAVAILABLE)

    def _carry_out(self, incoming: Incoming) -> Answer:
        if incoming.kind is Kind.BEAT:
            # Of its own side alone: it must neither hide nor raise an alarm of the other.
            counts = {key: number for key, number in incoming.counts.items() if key[0] is self.side}
            self.store.run(partial(_note_handler, side=self.side, incoming=incoming, counts=counts))
            for (side, outcome), number in counts.items():
                self.store.figures.add(Figure.WEBHOOKS, side, outcome, number=number)
            if incoming.times.count:
                self.store.figures.put(Figure.WEBHOOK_ANSWER, self.side, amount=incoming.times)
            return Answer(Status.STORED)
        if incoming.kind is Kind.TEST:
            return self._take_test(incoming)
        now_ms = self.store.now_ms()
        received_ms = min(incoming.arrived_ms, now_ms + MAX_CLOCK_LEAD_MS)
        if received_ms < now_ms - MAX_AGE_MS:
            received_ms = now_ms
        new = self.intake.store_verified(self.side, incoming.body, received_ms)
        if new:
            self.store.figures.add(Figure.EVENTS_STORED, self.side, number=new)
        return Answer(Status.STORED, new)

    def _take_test(self, incoming: Incoming) -> Answer:
        test = incoming.test
        if test is None or not is_expected(self.store, self.side, test.nonce):
            return Answer(Status.NO_TEST)
        store_seen(self.store, self.side, test)
        return Answer(Status.TEST, verdict=Verdict(test.verdict))

    def _answer(self, message: Message, answer: Answer) -> None:
        if not message.response_topic:
            return
        if not topics.matches(topics.answer(HANDLERS[self.side], topics.WILDCARD), message.response_topic):
            # This process may publish far more than the handler that names the topic.
            log.error("answer not sent", side=self.side, reason="its topic is none of a handler of this side")
            return
        try:
            payload = self.seal.seal(message.response_topic, answer.encode(), bind_exchange(message.correlation))
            self.client.publish(
                message.response_topic, payload, correlation=message.correlation, expiry_s=ANSWER_EXPIRY_S
            )
        except (BusUnavailable, ValueError) as error:
            # The handler asks again, or its sender does.
            log.warning("answer not sent", topic=message.response_topic, reason=str(error))


def _note_handler(tx: Tx, side: Side, incoming: Incoming, counts: Counts) -> None:
    """Store what a handler reports of itself, which has no database: that it is there, and what it counted."""
    if counts:
        tx.webhook_counts.add(counts)
    if incoming.process:
        # It seals for the bus only: the encryption keys are those of this process.
        # Its name begins with its role: it chooses it, and must not prolong the lease of a worker.
        tx.processes.beat(f"{HANDLERS[side]}:{incoming.process}", WEB, incoming.started_ms, has_keys=False)
