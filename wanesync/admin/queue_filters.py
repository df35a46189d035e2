"""The filters of the queue as they stand in an address: for the pages and the API."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Annotated, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Form, Query

from wanesync.core.errors import ConfigError
from wanesync.core.jobs import DeadClass, JobKind
from wanesync.core.model import Side
from wanesync.core.operating.queue_filter import QueueFilter, QueueState
from wanesync.core.operating.times import parse_time
from wanesync.store.tables.operating.job_lists import Position

Text = Annotated[str, Query(max_length=200)]
Typed = Annotated[str, Form(max_length=200)]
MAX_CURSOR_DIGITS = 16
_ChoiceT = TypeVar("_ChoiceT", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class QueueQuery:
    """The filters as texts, "" where one is not used. ``code``: class of a dead letter, or what a job waits for."""

    state: str = ""
    side: str = ""
    kind: str = ""
    code: str = ""
    reason: str = ""
    newer: str = ""
    older: str = ""
    person: str = ""

    def read(self, now_ms: int) -> QueueFilter:
        """Return them as values. Raises ConfigError with everything that is wrong."""
        problems: list[str] = []
        state = _choose(QueueState, self.state or QueueState.DEAD, "state", problems) or QueueState.DEAD
        has_class = state in {QueueState.DEAD, QueueState.DISCARDED}
        found = QueueFilter(
            state=state,
            side=_choose(Side, self.side, "side", problems),
            kind=_choose(JobKind, self.kind, "kind", problems),
            dead_class=_choose(DeadClass, self.code if has_class else "", "class", problems),
            waits_for="" if has_class else self.code.strip(),
            reason=self.reason.strip(),
            newer_ms=_read_age(self.newer, now_ms, "newer", problems),
            older_ms=_read_age(self.older, now_ms, "older", problems),
            person=self.person.strip(),
        )
        if problems:
            raise ConfigError(problems)
        return found

    def used(self) -> dict[str, str]:
        """Return those that are used."""
        return {one.name: text for one in fields(self) if (text := getattr(self, one.name).strip())}

    def address(self, path: str = "/queue", **more: str) -> str:
        """Return the address of a page with these filters. ``more``: others, which win; "" removes one."""
        wanted = {name: text for name, text in (self.used() | more).items() if text}
        return f"{path}?{urlencode(wanted)}" if wanted else path


def write_position(position: Position | None) -> str:
    """Return a position as it stands in the address of a page; "" for none."""
    return f"{position.at_ms}.{position.id}" if position else ""


def read_position(text: str) -> Position | None:
    """Return the position that ``write_position`` wrote; None for "". Raises ConfigError."""
    if not text:
        return None
    digits, _, job_id = text.partition(".")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_CURSOR_DIGITS and job_id):
        raise ConfigError(["after: this is no page of the list: begin with the first one"])
    return Position(int(digits), job_id)


def _choose(kind: type[_ChoiceT], text: str, name: str, problems: list[str]) -> _ChoiceT | None:
    text = text.strip()
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        problems.append(f"{name} {text[:40]}: expected one of {', '.join(map(str, kind))}")
        return None


def _read_age(text: str, now_ms: int, name: str, problems: list[str]) -> int:
    """Return an age in ms of a span, a date or a time; 0 for none."""
    if not text.strip():
        return 0
    try:
        return max(1, now_ms - parse_time(text, now_ms, name))
    except ConfigError as error:
        problems += error.problems
        return 0


def _from_address(  # noqa: PLR0913, PLR0917 - FastAPI reads a parameter for each filter
    state: Text = "", side: Text = "", kind: Text = "", code: Text = "", reason: Text = "", newer: Text = "",
    older: Text = "", person: Text = "",
) -> QueueQuery:  # fmt: skip
    return QueueQuery(state, side, kind, code, reason, newer, older, person)


def _from_form(  # noqa: PLR0913, PLR0917 - as above
    state: Typed = "", side: Typed = "", kind: Typed = "", code: Typed = "", reason: Typed = "", newer: Typed = "",
    older: Typed = "", person: Typed = "",
) -> QueueQuery:  # fmt: skip
    return QueueQuery(state, side, kind, code, reason, newer, older, person)


InAddress = Annotated[QueueQuery, Depends(_from_address)]
InForm = Annotated[QueueQuery, Depends(_from_form)]
