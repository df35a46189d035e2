"""The queue: takes the webhooks of the handlers from the bus, stores them, and answers once they are committed.

A message is acknowledged after its commit, so that the broker repeats what a killed process had not stored; a repeated
event is dropped by its key (``sync.intake``). docs/mqtt.md#queue says what a lost queue process costs.
"""

from __future__ import annotations

import queue
import random
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog

from wanesync.bus import topics
from wanesync.bus.client import BusClient, BusOptions, BusUnavailable, Message
from wanesync.bus.envelope import NotSealed, Seal
from wanesync.bus.messages import Answer, Incoming, InvalidMessage, Kind, Status
from wanesync.bus.work_notices import WorkNotices
from wanesync.core.errors import DatabaseUnavailable, FieldMapChanged, InvalidPayload
from wanesync.core.ids import make_id
from wanesync.core.model import Side
from wanesync.core.purchases import Sink
from wanesync.ops.alarms import WEB
from wanesync.store.tables.webhook_counts import Outcome
from wanesync.sync.intake import Intake
from wanesync.web.door_test import Verdict, is_expected, store_seen

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx

QUEUE = "queue"
"""What a heartbeat names the lanes of a queue process."""
HEARTBEAT_S = 2.0
"""As often as every other process."""
THREADS = 32
"""Webhooks that are stored at a time: those that wait share the next commit."""
LONE_SESSION_S = 3_600
"""How long the broker keeps what arrives while the only queue process is away."""
SHARED_SESSION_S = 1
"""The same where several share the topics: soon after one is gone, all goes to the others."""
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
class QueueProcess:
    """Stores what the handlers publish. ``options``: with the session of a lone queue process (``LONE_SESSION_S``).

    ``sink``: how purchases are recorded, as configured; None: as the workers chose.
    """

    store: Store
    intake: Intake
    seal: Seal
    options: BusOptions
    sink: Sink | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    client: BusClient = field(init=False)
    notices: WorkNotices = field(init=False)
    _waiting: queue.SimpleQueue[Message | None] = field(default_factory=queue.SimpleQueue)
    _failure: FieldMapChanged | None = None

    def __post_init__(self) -> None:
        """Make the client; it connects in ``run``."""
        self.intake.count = self._count
        self.client = BusClient(
            self.options, [topics.INCOMING], self._receive, casual=topics.done_topics(), manual_ack=True
        )
        self.notices = WorkNotices(self.store, self.client, self.seal, self.stopping, self.sink)

    def run(self) -> None:
        """Work until ``stopping`` is set. Raises ``FieldMapChanged``."""
        name, started_ms = make_id(self.store.now_ms(), random.SystemRandom()), self.store.now_ms()
        threads = [threading.Thread(target=self._store_all, name=f"store-{number}") for number in range(THREADS)]
        notices = threading.Thread(target=self.notices.run, name="work-notices")
        for thread in (*threads, notices):
            thread.start()
        self.client.start()
        try:
            while not self.stopping.is_set():
                self._beat(name, started_ms)
                self.stopping.wait(HEARTBEAT_S)
        finally:
            self.stopping.set()
            for _ in threads:
                self._waiting.put(None)
            self.store.wake_workers()
            for thread in (*threads, notices):
                thread.join()
            self.client.stop()
            try:
                self.store.run(lambda tx: tx.processes.remove(name))
            except DatabaseUnavailable as error:
                log.warning("database unavailable", reason=str(error))
        if self._failure is not None:
            raise self._failure

    def _beat(self, name: str, started_ms: int) -> None:
        """Write a heartbeat, and agree on the session with the broker by how many queue processes there are."""
        try:
            self.store.sync_clock()
            self.store.refresh_keys()
            alone = self.store.run(partial(_beat, name=name, started_ms=started_ms))
        except FieldMapChanged as error:
            self._fail(error)
        except DatabaseUnavailable as error:
            log.warning("database unavailable", reason=str(error))
        else:
            self.client.keep_session(LONE_SESSION_S if alone else SHARED_SESSION_S)

    def _fail(self, error: FieldMapChanged) -> None:
        self._failure = error
        self.stopping.set()

    # -- messages

    def _receive(self, message: Message) -> None:
        if message.number:
            self._waiting.put(message)
        else:
            # A worker reports: a job that ended may make another one due.
            self.store.wake_workers()

    def _store_all(self) -> None:
        """Store one message after the other until the process stops; what it leaves is not acknowledged."""
        while (message := self._waiting.get()) is not None:
            if self.stopping.is_set():
                continue
            try:
                self._handle(message)
            except Exception as error:  # noqa: BLE001 - a message must not end the thread; it stays unacknowledged
                log.error("message not handled", topic=message.topic, error=type(error).__name__)

    def _handle(self, message: Message) -> None:
        try:
            side = Side(message.topic.rpartition("/")[2])
            incoming = Incoming.decode(self.seal.open(message.topic, message.payload))
        except (NotSealed, InvalidMessage, ValueError) as error:
            log.error("message dropped", topic=message.topic, reason=str(error))
            self.client.acknowledge(message)
            return
        while not self.stopping.is_set():
            try:
                answer = self._take(side, incoming)
            except FieldMapChanged as error:
                self._fail(error)
                return
            except DatabaseUnavailable as error:
                # The handler's sender repeats it; it is stored all the same as soon as that is possible.
                log.warning("webhook waits for the database", side=side, reason=str(error))
                self._answer(message, Answer(Status.UNAVAILABLE))
                self.stopping.wait(RETRY_S)
            else:
                self._answer(message, answer)
                self.client.acknowledge(message)
                return

    def _take(self, side: Side, incoming: Incoming) -> Answer:
        """Carry out one message; raises ``DatabaseUnavailable`` if it is to be tried again."""
        if incoming.kind is Kind.BEAT:
            self.store.run(partial(_note_handler, incoming=incoming))
            return Answer(Status.STORED)
        if incoming.kind is Kind.TEST:
            return self._take_test(side, incoming)
        now_ms = self.store.now_ms()
        received_ms = min(incoming.arrived_ms, now_ms + MAX_CLOCK_LEAD_MS)
        if received_ms < now_ms - MAX_AGE_MS:
            received_ms = now_ms
        try:
            return Answer(Status.STORED, self.intake.store_verified(side, incoming.body, received_ms))
        except InvalidPayload as error:
            return Answer(Status.INVALID, reason=str(error))
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - its sender repeats it, and sees a refusal each time
            log.error("webhook not stored", side=side, error=type(error).__name__)
            return Answer(Status.UNAVAILABLE)

    def _take_test(self, side: Side, incoming: Incoming) -> Answer:
        test = incoming.test
        if test is None or not is_expected(self.store, side, test.nonce):
            return Answer(Status.NO_TEST)
        store_seen(self.store, side, test)
        return Answer(Status.TEST, verdict=Verdict(test.verdict))

    def _answer(self, message: Message, answer: Answer) -> None:
        if not message.response_topic:
            return
        try:
            payload = self.seal.seal(message.response_topic, answer.encode())
            self.client.publish(
                message.response_topic, payload, correlation=message.correlation, expiry_s=ANSWER_EXPIRY_S
            )
        except (BusUnavailable, ValueError) as error:
            # The handler asks again, or its sender does.
            log.warning("answer not sent", topic=message.response_topic, reason=str(error))

    def _count(self, side: Side, outcome: Outcome, number: int) -> None:
        """Store outcomes of elements; they are for people, so none of them is worth a wait."""
        try:
            self.store.run(lambda tx: tx.webhook_counts.add({(side, outcome): number}))
        except DatabaseUnavailable as error:
            log.warning("counts not stored", reason=str(error))


def _beat(tx: Tx, name: str, started_ms: int) -> bool:
    """Write a heartbeat; return whether no other queue process is alive."""
    tx.settings.check_field_map()
    tx.processes.beat(name, QUEUE, started_ms)
    return not any(row.lanes == QUEUE and row.name != name for row in tx.processes.alive())


def _note_handler(tx: Tx, incoming: Incoming) -> None:
    """Store what a handler reports of itself, which has no database: that it is there, and what it counted."""
    if incoming.counts:
        tx.webhook_counts.add(incoming.counts)
    if incoming.process:
        tx.processes.beat(incoming.process, WEB, incoming.started_ms)
