"""A handler's half of the bus: a webhook is verified, sealed and handed to the queue, and answered when it is stored.

It holds a webhook secret, the credential of its role and its keys of the bus, and no address of a database.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from wanesync.bus import topics
from wanesync.bus.client import BusClient, BusOptions, BusUnavailable, Message
from wanesync.bus.envelope import NotSealed, Seal, bind_exchange
from wanesync.bus.messages import Answer, Counts, Incoming, InvalidMessage, Kind, Status
from wanesync.core.errors import ConfigError, InvalidPayload, InvalidSignature, StaleSignature
from wanesync.core.model import Side
from wanesync.core.operating.figures import NO_TIMES, Amount
from wanesync.core.roles import HANDLERS
from wanesync.web.door_test import DoorMessage, Verdict, describe_message, find_nonce
from wanesync.web.metrics import WebhookCounters

REPEAT_AFTER_S = (2.2, 1.4)
"""A message without an answer is sent again after these pauses: its queue process may have ended (docs/mqtt.md)."""
REPEAT_COPIES = 2
"""So often each time. Mosquitto deals in turn, also to a queue process that is gone, as long as its session is kept:
with one other message between two attempts, as a report every two seconds, each would go to the same process."""
UNREAD_PAUSE_S = 0.3
"""Pause before a message is sent again that no queue process had subscribed for (our choice)."""
EXPIRY_S = 3_600
"""How long the broker keeps a webhook for a queue process that is away (our choice); its sender repeats it."""
HEARTBEAT_S = 2.0
"""As often as every other process."""
TEST_TIMEOUT_S = 5.0
"""How long the answer for a test event of ``wanesync doctor`` is waited for."""

log = structlog.get_logger()


def _read_wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Verifier(Protocol):
    """Verifies the webhooks of a side (``adapters.webhooks``)."""

    def verify(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> None:
        """Check the signature of a POST to ``url``; raise ``InvalidSignature``."""
        ...


@dataclass(slots=True)
class _Question:
    """A message that waits for its answer."""

    changed: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None


class BusDoor:
    """Hands the webhooks of one side to the queue; in the place of the intake (``web.settings.IntakePort``).

    ``wall_ms``: the clock against which the age of a signature is checked.
    """

    def __init__(  # noqa: PLR0913 - what a part of the bus consists of
        self,
        side: Side,
        hook: Verifier,
        seal: Seal,
        options: BusOptions,
        timeout_s: float,
        *,
        wall_ms: Callable[[], int] = _read_wall_ms,
    ) -> None:
        self.side, self._hook, self._seal, self._timeout_s = side, hook, seal, timeout_s
        self._wall_ms = wall_ms
        self._topic = topics.incoming(side)
        self._answer_topic = topics.answer(HANDLERS[side], options.client_id)
        self._questions: dict[bytes, _Question] = {}
        self._started_ms = wall_ms()
        self.client = BusClient(options, [self._answer_topic], self._take_answer, casual=topics.CONTROLS)

    # -- webhooks

    def accept(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> int:
        """Verify a POST, hand it to the queue and wait until it is stored; returns how many events were new.

        Raises ``InvalidSignature``, ``InvalidPayload``, and ``BusUnavailable`` if no answer came in time.
        """
        self._check_side(side)
        now_ms = self._wall_ms()
        self._hook.verify(body, headers, url, now_ms)
        answer = self._ask(Incoming(Kind.POST, now_ms, body), self._timeout_s)
        if answer.status is Status.INVALID:
            raise InvalidPayload(answer.reason)
        if answer.status is not Status.STORED:
            raise BusUnavailable("the queue could not store it now")
        return answer.new

    def receive_test(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> Verdict | None:
        """Report how a test event of ``wanesync doctor`` arrived; None for every other request.

        Raises ``BusUnavailable``.
        """
        self._check_side(side)
        nonce = find_nonce(body, headers)
        if not nonce:
            return None
        now_ms = self._wall_ms()
        plain = describe_message(nonce, url, body, headers, now_ms)
        verdict = self._verify(body, headers, url, now_ms)
        seen = DoorMessage(nonce, url, plain.digest, plain.signed, now_ms, verdict, len(body))
        answer = self._ask(Incoming(Kind.TEST, now_ms, test=seen), TEST_TIMEOUT_S)
        return Verdict(answer.verdict) if answer.status is Status.TEST else None

    def _check_side(self, side: Side) -> None:
        if side is not self.side:
            raise ConfigError([f"this handler is that of {self.side}: it takes no webhooks of {side}"])

    def _verify(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> Verdict:
        try:
            self._hook.verify(body, headers, url, now_ms)
        except StaleSignature:
            return Verdict.CLOCK
        except InvalidSignature:
            return Verdict.SIGNATURE
        return Verdict.OK

    def beat(self, process: str, counts: Counts, times: Amount = NO_TIMES) -> None:
        """Report that this process runs ("": it may be frozen at any time), and what it counted; without an answer.

        Raises ``BusUnavailable``.
        """
        if not self.client.is_ready:
            raise BusUnavailable(self.client.trouble)
        beat = Incoming(Kind.BEAT, self._wall_ms(), b"", counts, process, self._started_ms, times=times)
        self.client.publish(self._topic, self._seal.seal(self._topic, beat.encode()), expiry_s=EXPIRY_S)

    def report_until(self, stopping: threading.Event, counters: WebhookCounters, process: str) -> None:
        """Report every two seconds until ``stopping`` is set; what cannot be sent is reported later."""
        while True:
            self.report(counters, process)
            if stopping.wait(HEARTBEAT_S):
                break
        self.report(counters, process)

    def report(self, counters: WebhookCounters, process: str = "") -> None:
        """Report what was counted; what cannot be sent is kept. Without a process nothing is sent for nothing."""
        counts, times = counters.take_outcomes(), counters.take_times()
        if not counts and not process:
            return
        try:
            self.beat(process, counts, times)
        except BusUnavailable:
            counters.give_back(counts, times)

    # -- questions and answers

    def _ask(self, incoming: Incoming, timeout_s: float) -> Answer:
        deadline_s = time.monotonic() + timeout_s
        if not self.client.wait_ready(timeout_s):
            raise BusUnavailable(self.client.trouble)
        number, question = secrets.token_bytes(16), _Question()
        self._questions[number] = question
        payload = self._seal.seal(self._topic, incoming.encode(), bind_exchange(number, self._answer_topic))
        try:
            pauses_s, copies = [*REPEAT_AFTER_S, timeout_s], 1
            while (left_s := deadline_s - time.monotonic()) > 0:
                question.changed.clear()
                if question.answer is not None:
                    break
                for _ in range(copies):
                    self.client.publish(
                        self._topic,
                        payload,
                        response_topic=self._answer_topic,
                        correlation=number,
                        expiry_s=EXPIRY_S,
                        unread=question.changed.set,
                    )
                if question.changed.wait(min(pauses_s[0], left_s)) and question.answer is None:
                    # No queue process has subscribed yet, as after a broker that lost its state.
                    time.sleep(min(UNREAD_PAUSE_S, left_s))
                elif len(pauses_s) > 1:
                    del pauses_s[0]
                    copies = REPEAT_COPIES
        finally:
            del self._questions[number]
        if question.answer is None:
            raise BusUnavailable("the queue did not answer in time")
        return question.answer

    def _take_answer(self, message: Message) -> None:
        question = self._questions.get(message.correlation)
        if question is None or question.answer is not None:
            return
        try:
            content = self._seal.open(message.topic, message.payload, bind_exchange(message.correlation))
            question.answer = Answer.decode(content)
        except (NotSealed, InvalidMessage) as error:
            log.error("answer dropped", topic=message.topic, reason=str(error))
            return
        question.changed.set()
