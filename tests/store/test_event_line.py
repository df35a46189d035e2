"""What a message that stores events holds, and what its answer means."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from wanesync.core.errors import DatabaseRefused, FieldMapChanged, WanesyncError
from wanesync.core.field_generations import FieldGenerations
from wanesync.core.jobs import JobKind, Priority
from wanesync.core.model import Event, Side
from wanesync.store.encryption import Encryption
from wanesync.store.event_line import SHARE_COUNTS, STORE_EVENTS, Draft, EventLine
from wanesync.store.queries import Dialect, load_queries
from wanesync.store.session import Row, SessionContext

CONTEXT = SessionContext(
    Encryption({"k001": bytes(32)}, bytes(32)), random.Random(1), lambda: 1_700, FieldGenerations(generation=7)
)


class Line:
    """Keeps what is sent."""

    is_usable = True

    def __init__(self) -> None:
        self.sent: list[tuple[str, Mapping[str, object]]] = []

    def fileno(self) -> int:
        return -1

    def send(self, statement: str, values: Mapping[str, object]) -> bool:
        self.sent.append((statement, values))
        return False

    def flush(self) -> bool:
        return False

    def receive(self) -> list[Row] | None:
        return None

    def close(self) -> None:
        """Nothing is open."""


def event(key: str, city: str = "Paris") -> Event:
    return Event(key, Side.STRIPE, "updated", f"cus_{key}", 5, {"city": city}, source="user")


def test_a_message_has_a_row_and_a_read_for_each_event() -> None:
    line, checks = Line(), []
    events = [(event("e1"), Priority.LIVE), (event("e2"), Priority.LIVE_BULK)]
    EventLine(line).send_events(CONTEXT, events, lambda: checks.append(len(line.sent)))
    assert checks == [0], "it is checked before the message leaves"
    statement, values = line.sent[0]
    assert statement == STORE_EVENTS
    assert (values["cause"], values["event_key"], values["job_key"]) == (
        ["e1", "e2"],
        ["e1", "e2"],
        ["cus_e1", "cus_e2"],
    )
    assert values["job_priority"] == [Priority.LIVE, Priority.LIVE_BULK]
    assert (values["job_lane"], values["job_kind"]) == (["stripe"] * 2, [JobKind.READ] * 2)
    assert (values["map"], values["now"], values["event_received_ms"]) == ("7", 1_700, [1_700] * 2)
    assert b"Paris" not in b"".join(values["event_data"])  # type: ignore[arg-type] # ciphertexts


def test_an_answer_tells_which_events_were_new() -> None:
    line = EventLine(Line())
    line.send_events(CONTEXT, [(event(key), Priority.LIVE) for key in ("e1", "e2", "e1")], lambda: None)
    assert line.find_new([("1", "2", "e1,e2", "")]) == {"e1", "e2"}
    assert line.find_new([("1", "1", "e2", "")]) == {"e2"}
    assert line.find_new([("1", "0", None, None)]) == set()
    with pytest.raises(FieldMapChanged):
        line.find_new([("0", "0", None, None)])


def test_what_cannot_be_stored_is_refused_before_anything_is_sent() -> None:
    line = Line()
    with pytest.raises(DatabaseRefused):
        EventLine(line).send_events(CONTEXT, [(event("e1", "\ud800"), Priority.LIVE)], lambda: None)
    assert not line.sent


def test_counts_name_no_source() -> None:
    line = Line()
    EventLine(line).send_counts(CONTEXT, {"hubspot:user:1": 30}, 500)
    statement, values = line.sent[0]
    assert statement == SHARE_COUNTS
    assert (values["records"], values["at_ms"], values["since_ms"]) == ([30], [1_700], 1_200)
    assert values["source"] == [CONTEXT.encryption.row_hash("hubspot:user:1")]


def test_a_draft_executes_nothing() -> None:
    draft = Draft(CONTEXT)
    with pytest.raises(WanesyncError, match="executes nothing"):
        draft.execute_each(load_queries(Dialect.POSTGRES)["add_event"], [{}])
    with pytest.raises(WanesyncError, match="executes nothing"):
        draft.rows("get_event", key="e1")
    error = ValueError()
    assert draft.translate(error) is error
