"""One side of the queue: takes the webhooks of that side's handlers from the bus, stores them, and answers.

A message is acknowledged after its commit, so that the broker repeats what a killed process had not stored; a repeated
event is dropped by its key (``sync.intake``). Each side has a connection, a session and threads of its own, so that a
flood of one does not stop the other.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog

from wanesync.bus import topics
from wanesync.bus.client import BusClient, BusOptions, Message
from wanesync.bus.envelope import NotSealed, Seal, bind_exchange
from wanesync.bus.messages import Answer, Counts, Incoming, InvalidMessage, Kind, Status
from wanesync.bus.topics import Report
from wanesync.core.errors import DatabaseUnavailable, FieldMapChanged, InvalidPayload
from wanesync.core.model import Side
from wanesync.core.operating.figures import Figure
from wanesync.core.posts import Post
from wanesync.core.roles import HANDLERS
from wanesync.ops.alarms import WEB
from wanesync.sync.intake import Intake, ParsedPost
from wanesync.web.door_test import Verdict, is_expected, store_seen

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx

THREADS = 16
"""Messages of a side that are handled in a thread each at a time: those that are large, traced or no webhooks, and
those for which there is no room in ``MAX_STORING``."""
MAX_STORING = 32
"""Webhooks of a side that are stored at a time without a thread (our choice): a flood keeps the other side waiting no
longer than for these."""
MAX_QUICK_BYTES = 1 << 14
"""A larger message is opened, parsed and stored by a thread (our choice), as at the web server's door."""
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
    # None: the thread that takes it ends.
    _waiting: queue.SimpleQueue[Message | None] = field(default_factory=queue.SimpleQueue)
    _failed: queue.SimpleQueue[Sequence[Message] | None] = field(default_factory=queue.SimpleQueue)
    _arrived: list[Message] = field(default_factory=list)
    _storing: dict[Post, Message] = field(default_factory=dict)
    _room: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_STORING))
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
            self.options,
            [incoming],
            self._receive,
            casual=reports,
            manual_ack=True,
            is_held=self._is_full,
            pause=self._hand_on,
        )

    def start(self) -> None:
        """Begin to connect and to store."""
        names = [f"store-{self.side}-{number}" for number in range(THREADS)]
        self._threads = [threading.Thread(target=self._store_all, name=name) for name in names]
        self._threads.append(threading.Thread(target=self._repeat_failed, name=f"store-{self.side}-again"))
        for thread in self._threads:
            thread.start()
        self.client.start()

    def stop(self) -> None:
        """Finish what is being stored; ``stopping`` must be set. The broker keeps the rest."""
        for _ in self._threads[:-1]:
            self._waiting.put(None)
        for thread in self._threads[:-1]:
            thread.join()
        for _ in range(MAX_STORING):
            # All of it is free when no webhook is being stored any more.
            self._room.acquire()
        self._failed.put(None)
        for thread in self._threads[-1:]:
            thread.join()
        self.client.stop()

    # -- messages

    def _receive(self, message: Message) -> None:
        if not message.number:
            # A worker reports: a job that ended may make another one due.
            self.store.wake_workers()
        elif self._takes(message):
            self._arrived.append(message)
        else:
            # The broker keeps the one that is being stored until that is acknowledged.
            self.client.acknowledge(message)

    def _hand_on(self) -> None:
        """Have stored what has arrived since the last call; on the network thread.

        What takes no time is done here: each change of threads costs more. Where there is no room for it, a thread
        waits for that.
        """
        arrived, self._arrived = self._arrived, []
        prepared: list[ParsedPost] = []
        others = [message for message in arrived if not self._handle_quickly(message, prepared)]
        self._store_prepared(prepared)
        for message in others:
            self._waiting.put(message)

    def _handle_quickly(self, message: Message, prepared: list[ParsedPost]) -> bool:
        """Add a message to those that are to be stored together; False: it may take longer."""
        if len(message.payload) > MAX_QUICK_BYTES or self.stopping.is_set() or not self._room.acquire(blocking=False):
            return False
        try:
            post = self._read_post(message)
        except Exception:  # noqa: BLE001 - what is wrong with it is found again by the thread that handles it
            post = None
        if post is None:
            self._room.release()
            return False
        self._storing[post] = message
        prepared.append(post)
        return True

    def _read_post(self, message: Message) -> ParsedPost | None:
        """Return the webhook of a message; None: it is none, or traced."""
        incoming = self._open(message)
        if incoming.kind is not Kind.POST:
            return None
        return self.intake.prepare_verified(self.side, incoming.body, self._find_arrival(incoming), self._settle)

    def _open(self, message: Message) -> Incoming:
        exchange = bind_exchange(message.correlation, message.response_topic)
        return Incoming.decode(self.seal.open(message.topic, message.payload, exchange))

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

    def _give_room(self, *messages: Message) -> None:
        """Count messages out that wait no more, and read on where there was no room."""
        with self._guard:
            was_full = self._is_full()
            self._asked.difference_update(message.correlation for message in messages)
            self._waiting_bytes -= sum(len(message.payload) for message in messages)
        if was_full and not self._is_full():
            self.client.read_on()

    def _store_all(self) -> None:
        """Store one message after the other until the process stops; what it leaves is not acknowledged."""
        while (message := self._waiting.get()) is not None:
            if not self.stopping.is_set():
                self._handle_safely(message)

    def _handle_safely(self, message: Message) -> None:
        """Handle one message whatever it holds."""
        try:
            self._handle(message)
        except Exception as error:  # noqa: BLE001 - a message must not end the thread; it stays unacknowledged
            log.error("message not handled", topic=message.topic, error=type(error).__name__)
            self._give_room(message)

    def _handle(self, message: Message) -> None:
        try:
            incoming = self._open(message)
        except (NotSealed, InvalidMessage) as error:
            self._note_drop(message, error)
            self._end([(message, None)])
            return
        try:
            answer = self._take(incoming)
        except (FieldMapChanged, DatabaseUnavailable) as error:
            self._note_failure([message], error)
        else:
            self._end([(message, answer)])

    # -- webhooks that are stored together

    def _store_prepared(self, posts: Sequence[ParsedPost]) -> None:
        """Have webhooks stored."""
        if not posts:
            return
        try:
            self.intake.store_prepared(posts)
        except Exception as error:  # noqa: BLE001 - it is the outcome of all of them
            for post in posts:
                post.error = error
            self._settle(posts)

    def _settle(self, posts: Sequence[Post]) -> None:
        """Answer and acknowledge webhooks of one commit; in a thread of the intake."""
        try:
            self._settle_all([(post, self._storing.pop(post)) for post in posts])
        except Exception as error:  # noqa: BLE001 - must not end the intake; they stay unacknowledged
            log.error("messages not answered", side=self.side, error=type(error).__name__)
        finally:
            self._room.release(len(posts))

    def _settle_all(self, settled: Sequence[tuple[Post, Message]]) -> None:
        ended: list[tuple[Message, Answer | None]] = []
        failed: dict[Exception, list[Message]] = defaultdict(list)
        for post, message in settled:
            if post.error is None:
                ended.append((message, Answer(Status.STORED, post.new)))
            elif isinstance(post.error, FieldMapChanged | DatabaseUnavailable):
                failed[post.error].append(message)
            else:
                ended.append((message, self._refuse(Kind.POST, post.error)))
        if new := sum(post.new for post, _ in settled if post.error is None):
            self.store.figures.add(Figure.EVENTS_STORED, self.side, number=new)
        self._end(ended)
        for error, messages in failed.items():
            self._note_failure(messages, error)

    # -- how a message ends

    def _end(self, ended: Sequence[tuple[Message, Answer | None]]) -> None:
        """Answer messages that are dealt with, acknowledge them, and count them out."""
        for message, answer in ended:
            if answer is not None:
                self._answer(message, answer)
            self.client.acknowledge(message)
        self._give_room(*(message for message, _ in ended))

    def _note_failure(self, messages: Sequence[Message], error: Exception) -> None:
        """Keep what cannot be stored now: its sender repeats it, and it is stored all the same when that is possible.

        It stays unacknowledged, and is left to the next process if this one has to end.
        """
        if isinstance(error, FieldMapChanged):
            self.fail(error)
            self._give_room(*messages)
            return
        log.warning("webhooks wait for the database", side=self.side, number=len(messages), reason=str(error))
        for message in messages:
            self._answer(message, Answer(Status.UNAVAILABLE))
        self._failed.put(messages)

    def _repeat_failed(self) -> None:
        """Have stored again what could not be, a little later."""
        while (messages := self._failed.get()) is not None:
            self.stopping.wait(RETRY_S)
            # All that have failed meanwhile. Nothing else takes from this queue; its end is put in last.
            more = [self._failed.get() for _ in range(self._failed.qsize())]
            for message in (message for some in (messages, *more) for message in some or ()):
                self._waiting.put(message)
            if None in more:
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
            return self._refuse(incoming.kind, error)

    def _refuse(self, kind: Kind, error: Exception) -> Answer:
        log.error("message not stored", side=self.side, kind=kind, error=type(error).__name__)
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
        new = self.intake.store_verified(self.side, incoming.body, self._find_arrival(incoming))
        if new:
            self.store.figures.add(Figure.EVENTS_STORED, self.side, number=new)
        return Answer(Status.STORED, new)

    def _find_arrival(self, incoming: Incoming) -> int:
        """Return when a webhook arrived, by the handler's clock as far as that can be right."""
        now_ms = self.store.now_ms()
        received_ms = min(incoming.arrived_ms, now_ms + MAX_CLOCK_LEAD_MS)
        return received_ms if received_ms >= now_ms - MAX_AGE_MS else now_ms

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
            # At most once: the handler asks again for one that is lost, and its session ends with its connection.
            self.client.mention(
                message.response_topic, payload, correlation=message.correlation, expiry_s=ANSWER_EXPIRY_S
            )
        except ValueError as error:
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
