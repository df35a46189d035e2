"""The questions of a handler: sent again, given up, and settled together with those that were answered with them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from wanesync.bus import questions
from wanesync.bus.client import BusUnavailable
from wanesync.bus.messages import Answer, Status
from wanesync.bus.questions import Question, Questions
from wanesync.core.errors import InvalidPayload
from wanesync.core.model import Side
from wanesync.core.posts import Post

WAIT_S = 10


class Asked:
    """Questions on a clock of their own, and what becomes of them."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sent: list[bytes] = []
        self.settled: list[Sequence[Post]] = []
        self.trouble: Exception | None = None
        # Without the thread that looks at them: these tests do.
        self.questions = Questions(self._publish, lambda: self.now_s, _is_watched=True)

    def _publish(self, question: Question) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.sent.append(question.number)

    def ask(self, number: bytes = b"1", timeout_s: float = 5) -> Question:
        deadline_s = self.now_s + timeout_s
        question = Question(Side.HUBSPOT, self.settled.append, number=number, payload=b"", deadline_s=deadline_s)
        self.questions.add(question)
        return question

    def look_after(self, seconds: float) -> int:
        """How many messages that sends."""
        before, self.now_s = len(self.sent), self.now_s + seconds
        self.questions.look()
        return len(self.sent) - before


def test_a_question_is_sent_again_as_two_copies_and_given_up_in_the_end() -> None:
    asked = Asked()
    question = asked.ask()
    assert [asked.look_after(seconds) for seconds in (2.1, 0.2, 1.3, 0.2, 1)] == [0, 2, 0, 2, 0]
    assert asked.settled == []
    asked.look_after(0.5)
    assert asked.settled == [[question]]
    assert isinstance(question.error, BusUnavailable)
    asked.questions.answer(question, Answer(Status.STORED, 1))
    asked.questions.hand_on()
    assert (asked.settled, question.new) == ([[question]], 0), "an answer that is too late changes nothing"


def test_one_that_no_queue_process_has_read_is_sent_again_soon_as_often_as_before() -> None:
    asked = Asked()
    question = asked.ask()
    asked.questions.note_unread(question)
    assert [asked.look_after(seconds) for seconds in (0.2, 0.2, 2.1, 0.2)] == [0, 1, 0, 2]
    asked.questions.note_unread(question)
    assert asked.look_after(0.4) == 2


def test_what_is_answered_together_is_settled_together_once() -> None:
    asked = Asked()
    first, second, third = (asked.ask(number) for number in (b"1", b"2", b"3"))
    for one, answer in ((first, Answer(Status.STORED, 4)), (second, Answer(Status.INVALID, reason="no JSON"))):
        found = asked.questions.find(one.number)
        assert found is one
        asked.questions.answer(one, answer)
        asked.questions.answer(one, Answer(Status.UNAVAILABLE))
    assert asked.settled == []
    asked.questions.hand_on()
    asked.questions.hand_on()
    assert asked.settled == [[first, second]]
    assert (first.new, first.error) == (4, None)
    assert isinstance(second.error, InvalidPayload)
    assert asked.questions.find(b"1") is None
    asked.questions.answer(third, Answer(Status.UNAVAILABLE))
    asked.questions.hand_on()
    assert isinstance(third.error, BusUnavailable)


@pytest.mark.parametrize("trouble", [BusUnavailable("too many messages wait"), ValueError("too large")])
def test_one_that_cannot_be_sent_is_settled_at_once(trouble: Exception) -> None:
    asked = Asked()
    asked.trouble = trouble
    question = asked.ask()
    assert (asked.settled, question.error) == ([[question]], trouble)


def test_a_thread_looks_at_them_while_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "LOOK_S", 0.001)
    monkeypatch.setattr(questions, "IDLE_S", 0.01)
    watched = Questions(lambda _question: None)
    ended = threading.Semaphore(0)
    for number in (b"1", b"2"):
        watched.add(Question(Side.STRIPE, lambda _: ended.release(), number=number, payload=b"", deadline_s=0))
        assert ended.acquire(timeout=WAIT_S)
        for thread in threading.enumerate():
            if thread.name == "bus-questions":
                thread.join(WAIT_S)
        assert not watched._is_watched
