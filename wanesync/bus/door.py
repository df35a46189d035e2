"""A handler's half of the bus: a webhook is verified, sealed and handed to the queue, and answered when it is stored.

It holds a webhook secret, the credential of its role and its keys of the bus, and no address of a database.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import structlog

from wanesync.bus import topics
from wanesync.bus.client import BusClient, BusOptions, BusUnavailable, Message
from wanesync.bus.envelope import NotSealed, Seal, bind_exchange
from wanesync.bus.messages import Answer, Counts, Incoming, InvalidMessage, Kind, Status
from wanesync.bus.questions import Question, Questions
from wanesync.core.errors import ConfigError, InvalidSignature, StaleSignature
from wanesync.core.model import Side
from wanesync.core.operating.figures import NO_TIMES, Amount
from wanesync.core.posts import Settle
from wanesync.core.roles import HANDLERS
from wanesync.web.door_test import DoorMessage, Verdict, describe_message, find_nonce
from wanesync.web.metrics import WebhookCounters

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

    def is_signed(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> bool:
        """Return whether a secret that is at hand signed this POST; never waits."""
        ...


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
        self._questions = Questions(self._publish)
        self._started_ms = wall_ms()
        # At most once: an answer that is lost is asked for again, and this session ends with its connection anyway.
        self.client = BusClient(
            options,
            receive=self._take_answer,
            casual=[self._answer_topic, *topics.CONTROLS],
            pause=self._questions.hand_on,
        )

    # -- webhooks

    def accept(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> int:
        """Verify a POST, hand it to the queue and wait until it is stored; returns how many events were new.

        Raises ``InvalidSignature``, ``InvalidPayload``, and ``BusUnavailable`` if no answer came in time.
        """
        self._check_side(side)
        now_ms = self._wall_ms()
        self._hook.verify(body, headers, url, now_ms)
        return self._ask(Incoming(Kind.POST, now_ms, body), self._timeout_s).new

    def prepare(self, side: Side, body: bytes, headers: Mapping[str, str], url: str, settle: Settle) -> Question | None:
        """Verify and seal one POST without a wait, for ``store_prepared``; None: it is for ``accept``.

        That is a POST which no secret at hand has signed, and one that has to wait for the broker.
        """
        self._check_side(side)
        now_ms = self._wall_ms()
        if not self.client.is_ready or not self._hook.is_signed(body, headers, url, now_ms):
            return None
        deadline_s = time.monotonic() + self._timeout_s
        return self._make_question(Incoming(Kind.POST, now_ms, body), deadline_s, settle)

    def store_prepared(self, posts: Sequence[Question]) -> None:
        """Hand POSTs to the queue; returns at once, and ``settle`` of each is called later."""
        for question in posts:
            self._questions.add(question)

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
        settled = threading.Event()
        question = self._make_question(incoming, deadline_s, lambda _questions: settled.set())
        self._questions.add(question)
        settled.wait()
        if question.error is not None:
            raise question.error
        return question.answer

    def _make_question(self, incoming: Incoming, deadline_s: float, settle: Settle) -> Question:
        number = secrets.token_bytes(16)
        payload = self._seal.seal(self._topic, incoming.encode(), bind_exchange(number, self._answer_topic))
        return Question(self.side, settle, number=number, payload=payload, deadline_s=deadline_s)

    def _publish(self, question: Question) -> None:
        """Publish a question, for the first time or again."""
        self.client.publish(
            self._topic,
            question.payload,
            response_topic=self._answer_topic,
            correlation=question.number,
            expiry_s=EXPIRY_S,
            unread=partial(self._questions.note_unread, question),
        )

    def _take_answer(self, message: Message) -> None:
        question = self._questions.find(message.correlation)
        if question is None:
            return
        try:
            content = self._seal.open(message.topic, message.payload, bind_exchange(message.correlation))
            answer = Answer.decode(content)
        except (NotSealed, InvalidMessage) as error:
            log.error("answer dropped", topic=message.topic, reason=str(error))
            return
        self._questions.answer(question, answer)
