"""What the messages of the bus hold inside their seal, as JSON; a webhook's body follows its head as it came.

docs/asyncapi.yaml describes each of them. No message but a webhook holds a value of a record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TypeVar

import orjson

from wanesync.core.errors import WanesyncError
from wanesync.core.jobs import JobReport
from wanesync.core.model import Side
from wanesync.core.operating.figures import BUCKETS, NO_TIMES, Amount
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web.door_test import DoorMessage, Verdict

MAX_NUMBER = 2**53
"""Numbers of a message are below it: those of times and counts are, and every database has room for their sums."""
MAX_COUNT = 10**8
"""What one report counts at most (our choice): it is added to sums that are kept for good, and must not fill them."""
MAX_TOTAL_MS = 10**11
"""The same for the sum of the times of one report."""
NAME = re.compile(r"[A-Za-z0-9._-]{0,128}")
"""What handlers call themselves: a client id (``topics.client_id``)."""
MAX_IDS = 100
"""Ids of jobs in one message; what wakes a worker needs none of them."""

Counts = Mapping[tuple[Side, Outcome], int]
_T = TypeVar("_T")


class InvalidMessage(WanesyncError):
    """A message of another release, or none of ours: it is dropped."""


class Kind(StrEnum):
    """What a handler sends."""

    POST = "post"
    TEST = "test"
    BEAT = "beat"


class Status(StrEnum):
    """What became of a webhook, or of a test event of ``wanesync doctor``.

    ``unavailable``: not stored yet; the vendor is to send it again. ``none``: there is no such test event.
    """

    STORED = "stored"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"
    TEST = "test"
    NO_TEST = "none"


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a handler sends. ``arrived_ms``: by its clock. ``process``, ``started_ms``: of one that keeps running.

    ``counts``: outcomes of requests since its last report; ``times``: how long its answers took. ``test``: how a test
    event arrived.
    """

    kind: Kind
    arrived_ms: int
    body: bytes = field(default=b"", repr=False)
    counts: Counts = field(default_factory=dict)
    process: str = ""
    started_ms: int = 0
    test: DoorMessage | None = None
    times: Amount = NO_TIMES

    def encode(self) -> bytes:
        """Return the content of its message."""
        head = {
            "kind": self.kind,
            "arrived_ms": self.arrived_ms,
            "counts": [[side, outcome, number] for (side, outcome), number in self.counts.items()],
            "process": self.process,
            "started_ms": self.started_ms,
            "test": asdict(self.test) if self.test else None,
            "times": [self.times.total_ms, *self.times.buckets] if self.times.count else [],
        }
        return orjson.dumps(head) + b"\n" + self.body

    @classmethod
    def decode(cls, content: bytes) -> Incoming:
        """Read the content of a message. Raises ``InvalidMessage``."""
        head, _, body = content.partition(b"\n")

        def read(given: Mapping[str, object]) -> Incoming:
            test = given["test"]
            return cls(
                Kind(str(given["kind"])),
                _number(given["arrived_ms"]),
                body,
                dict(map(_count, _list(given["counts"]))),
                _name(given["process"]),
                _number(given["started_ms"]),
                DoorMessage(**test) if isinstance(test, dict) else None,
                _times(given["times"]),
            )

        return _read(head, read)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it. ``new``: events that were not known; ``verdict``: of a test event."""

    status: Status
    new: int = 0
    reason: str = ""
    verdict: str = ""

    def encode(self) -> bytes:
        """Return the content of its message."""
        return orjson.dumps({k: v for k, v in asdict(self).items() if v or k == "status"})

    @classmethod
    def decode(cls, content: bytes) -> Answer:
        """Read the content of a message. Raises ``InvalidMessage``."""

        def read(given: Mapping[str, object]) -> Answer:
            verdict = str(given.get("verdict", ""))
            return cls(
                Status(str(given["status"])),
                _number(given.get("new", 0)),
                str(given.get("reason", "")),
                str(Verdict(verdict)) if verdict else "",
            )

        return _read(content, read)


@dataclass(frozen=True, slots=True)
class Work:
    """Ids of jobs that became due; there may be more of them than it names."""

    jobs: Sequence[str]

    def encode(self) -> bytes:
        """Return the content of its message."""
        return orjson.dumps({"jobs": [*self.jobs[:MAX_IDS]]})

    @classmethod
    def decode(cls, content: bytes) -> Work:
        """Read the content of a message. Raises ``InvalidMessage``."""
        return _read(content, lambda given: cls([str(one) for one in _list(given["jobs"])]))


@dataclass(frozen=True, slots=True)
class Ended:
    """One job of a report: ``code`` says what it waits for or why it was given up, ``reason`` is text for people."""

    id: str
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """Jobs that ended in one way."""

    jobs: Sequence[Ended]

    @classmethod
    def of(cls, reports: Sequence[JobReport]) -> Done:
        """Return the message of some reports."""
        return cls([Ended(report.id, report.code, report.reason) for report in reports])

    def encode(self) -> bytes:
        """Return the content of its message."""
        return orjson.dumps({"jobs": [asdict(job) for job in self.jobs]})

    @classmethod
    def decode(cls, content: bytes) -> Done:
        """Read the content of a message. Raises ``InvalidMessage``."""
        return _read(content, lambda given: cls([Ended(**_texts(one)) for one in _list(given["jobs"])]))


@dataclass(frozen=True, slots=True)
class Change:
    """What changed for all parts: scopes of limits, or names of pauses."""

    names: Sequence[str]

    def encode(self) -> bytes:
        """Return the content of its message."""
        return orjson.dumps({"names": [*self.names]})

    @classmethod
    def decode(cls, content: bytes) -> Change:
        """Read the content of a message. Raises ``InvalidMessage``."""
        return _read(content, lambda given: cls([str(one) for one in _list(given["names"])]))


def _read(content: bytes, read: Callable[[Mapping[str, object]], _T]) -> _T:
    try:
        given = orjson.loads(content)
        if not isinstance(given, dict):
            raise TypeError
        return read(given)
    except (ValueError, TypeError, KeyError) as error:
        # The cause may quote the content.
        raise InvalidMessage(f"a message is none of this release ({type(error).__name__}): update both parts") from None


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _count(value: object) -> tuple[tuple[Side, Outcome], int]:
    side, outcome, number = _list(value)
    return (Side(str(side)), Outcome(str(outcome))), _number(number, MAX_COUNT)


def _times(value: object) -> Amount:
    """Return a histogram: the sum in ms, and how many times fell in each bucket."""
    numbers = [_number(one, MAX_TOTAL_MS) for one in _list(value)]
    if not numbers:
        return NO_TIMES
    total_ms, *buckets = numbers
    if len(buckets) != BUCKETS or max(buckets) >= MAX_COUNT:
        raise ValueError
    return Amount(sum(buckets), total_ms, tuple(buckets))


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError
    return {str(name): str(text) for name, text in value.items()}


def _name(value: object) -> str:
    """Return the name of a process, which every handler chooses itself."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError
    return value


def _number(value: object, limit: int = MAX_NUMBER) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    if not 0 <= value < limit:
        raise ValueError
    return value
