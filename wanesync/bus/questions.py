"""The questions of a handler that wait for their answers: sent again, given up, and settled together.

One thread watches all of them, and only while there are any: a thread for each costs more than all else of a webhook.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from wanesync.bus.client import BusUnavailable
from wanesync.bus.messages import Answer, Status
from wanesync.core.errors import InvalidPayload
from wanesync.core.posts import Post, settle_together

REPEAT_AFTER_S = (2.2, 1.4)
"""A message without an answer is sent again after these pauses: its queue process may have ended (docs/mqtt.md)."""
REPEAT_COPIES = 2
"""So often each time. Mosquitto deals in turn, also to a queue process that is gone, as long as its session is kept:
with one other message between two attempts, as a report every two seconds, each would go to the same process."""
UNREAD_PAUSE_S = 0.3
"""Pause before a message is sent again that no queue process had subscribed for (our choice)."""
LOOK_S = 0.05
"""How often the questions are looked at (our choice)."""
IDLE_S = 2.0
"""The thread that looks at them ends when there was none for so long (our choice)."""
NO_ANSWER = Answer(Status.UNAVAILABLE)


@dataclass(slots=True, eq=False)
class Question(Post):
    """A message that waits for its answer until ``deadline_s``. ``number``: its correlation data.

    ``next_s``: when it is sent again; ``repeats``: how often that was done after a pause; ``is_unread``: the broker
    said that no queue process has subscribed.
    """

    number: bytes = field(kw_only=True)
    payload: bytes = field(kw_only=True, repr=False)
    deadline_s: float = field(kw_only=True)
    answer: Answer = NO_ANSWER
    next_s: float = float("inf")
    repeats: int = 0
    is_unread: bool = False


@dataclass(slots=True)
class Questions:
    """Questions that wait for an answer. ``publish`` sends one; raises ``BusUnavailable``."""

    publish: Callable[[Question], None]
    monotonic_s: Callable[[], float] = time.monotonic
    _open: dict[bytes, Question] = field(default_factory=dict)
    _answered: list[Question] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _is_watched: bool = False

    def add(self, question: Question) -> None:
        """Send a question; it is settled later, or at once if it cannot be sent."""
        question.next_s = self.monotonic_s() + REPEAT_AFTER_S[0]
        with self._guard:
            if not self._is_watched:
                threading.Thread(target=self._watch, name="bus-questions", daemon=True).start()
                self._is_watched = True
            self._open[question.number] = question
        self._send(question)

    def find(self, number: bytes) -> Question | None:
        """Return the question that waits under a number."""
        return self._open.get(number)

    def answer(self, question: Question, answer: Answer) -> None:
        """Take the answer of a question; it is settled by ``hand_on``."""
        if self._open.pop(question.number, None) is None:
            return
        question.answer, question.new = answer, answer.new
        if answer.status is Status.INVALID:
            question.error = InvalidPayload(answer.reason)
        elif answer.status is Status.UNAVAILABLE:
            question.error = BusUnavailable("the queue could not store it now")
        self._answered.append(question)

    def hand_on(self) -> None:
        """Settle what was answered since the last call; on the thread that takes the answers."""
        if self._answered:
            answered, self._answered = self._answered, []
            settle_together(answered)

    def note_unread(self, question: Question) -> None:
        """Send a question again soon: no queue process has subscribed yet, as after a broker that lost its state."""
        question.is_unread, question.next_s = True, self.monotonic_s() + UNREAD_PAUSE_S

    def look(self) -> None:
        """Send again what is due, and give up what has waited for too long."""
        now_s = self.monotonic_s()
        for question in [*self._open.values()]:
            if now_s >= question.deadline_s:
                self._give_up(question, BusUnavailable("the queue did not answer in time"))
            elif now_s >= question.next_s:
                self._repeat(question, now_s)

    # -- inside

    def _repeat(self, question: Question, now_s: float) -> None:
        """Send a question again, and set when the next time is."""
        if not question.is_unread:
            question.repeats += 1
        question.is_unread = False
        after_s = REPEAT_AFTER_S[question.repeats] if question.repeats < len(REPEAT_AFTER_S) else float("inf")
        question.next_s = now_s + after_s
        for _ in range(REPEAT_COPIES if question.repeats else 1):
            self._send(question)

    def _send(self, question: Question) -> None:
        try:
            self.publish(question)
        except (BusUnavailable, ValueError) as error:
            self._give_up(question, error)

    def _give_up(self, question: Question, error: Exception) -> None:
        if self._open.pop(question.number, None) is not None:
            question.error = error
            settle_together([question])

    def _watch(self) -> None:
        """Look at the questions until none has been open for a while."""
        idle_s = 0.0
        while True:
            time.sleep(LOOK_S)
            self.look()
            with self._guard:
                idle_s = 0.0 if self._open else idle_s + LOOK_S
                if idle_s > IDLE_S:
                    self._is_watched = False
                    return
