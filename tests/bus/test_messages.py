"""What messages hold: each is read as it was written, and nothing else is read at all."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanesync.bus.messages import (
    MAX_IDS,
    Answer,
    Change,
    Done,
    Ended,
    Incoming,
    InvalidMessage,
    Kind,
    Status,
    Work,
)
from wanesync.core.jobs import Ending, JobKind, JobReport
from wanesync.core.model import Side
from wanesync.core.operating.figures import BUCKETS
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web.door_test import DoorMessage

TEST = DoorMessage("0" * 32, "https://sync.example.com", "d", "s", 5, "ok", 2)


@pytest.mark.parametrize(
    "message",
    [
        Incoming(Kind.POST, 1, b'[{"a":1}]\n\n[]'),
        Incoming(Kind.BEAT, 1, b"", {(Side.STRIPE, Outcome.SIGNATURE): 3}, "handler-1", 2),
        Incoming(Kind.TEST, 1, test=TEST),
        Answer(Status.STORED, 2),
        Answer(Status.INVALID, reason="not JSON"),
        Answer(Status.TEST, verdict="clock"),
        Work(["1", "2"]),
        Done([Ended("1", "backoff", "stripe answered 500"), Ended("2")]),
        Change(["stripe", "hubspot:search"]),
    ],
)
def test_a_message_is_read_as_it_was_written(message: Incoming | Answer | Work | Done | Change) -> None:
    assert type(message).decode(message.encode()) == message


@given(st.binary() | st.sampled_from([b"{}", b"[]", b"null", b'{"kind":"post"}', b'{"jobs":[1]}', b'{"names":{}}']))
def test_anything_else_is_refused_or_read(content: bytes) -> None:
    for kind in (Incoming, Answer, Work, Done, Change):
        with suppress(InvalidMessage):
            read = kind.decode(content)
            assert kind.decode(read.encode()) == read


@pytest.mark.parametrize("kind", [Incoming, Answer, Work, Done, Change])
def test_what_is_refused_is_not_quoted(kind: type[Incoming | Answer | Work | Done | Change]) -> None:
    with pytest.raises(InvalidMessage, match="a message is none of this release") as refused:
        kind.decode(b'{"kind":"ada","status":"ada","jobs":"ada","names":"ada"}')
    assert refused.value.__cause__ is None
    assert "ada" not in str(refused.value)


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidMessage):
        Answer.decode(b'{"status":"stored","new":true}')
    with pytest.raises(InvalidMessage):
        Answer.decode(b'{"status":"test","verdict":"maybe"}')


@pytest.mark.parametrize(
    "changed",
    [{"arrived_ms": -1}, {"started_ms": 2**63}, {"process": "x" * 129}, {"process": "a\0b"}, {"process": ["x"]}]
    + [{"counts": [["stripe", "signature", number]]} for number in (-1, 2**53)]
    + [{"times": times} for times in ([1], [1, *[-1] * BUCKETS], [1, *["1"] * BUCKETS], None)],
)
def test_what_no_database_could_hold_is_refused(changed: dict[str, object]) -> None:
    """A part whose key was stolen could send it."""
    head = json.loads(Incoming(Kind.BEAT, 1).encode())
    with pytest.raises(InvalidMessage):
        Incoming.decode(json.dumps(head | changed).encode())


def test_a_body_is_not_shown() -> None:
    assert "ada" not in repr(Incoming(Kind.POST, 1, b"ada@example.com"))


def test_what_wakes_a_worker_is_bounded() -> None:
    assert len(Work.decode(Work([str(number) for number in range(500)]).encode()).jobs) == MAX_IDS


def test_a_report_has_no_key_of_a_record() -> None:
    reports = [JobReport("1", Side.STRIPE, JobKind.WRITE, Ending.DEAD, "refused", "email: not valid")]
    assert Done.of(reports) == Done([Ended("1", "refused", "email: not valid")])
