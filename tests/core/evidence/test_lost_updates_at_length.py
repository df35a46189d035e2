"""Long histories are judged as short ones are, and in about the number of events times its logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import slow_judgement
from tests.support.core_builders import FIELDS, HUBSPOT, STEADY, STRIPE, contact, customer, full_name, stored
from wanesync.core.evidence import lost_updates
from wanesync.core.evidence.lost_updates import judge_events, was_edited_after
from wanesync.core.model import Change, Event, PendingWrite, Side, WriteKind, WriteResult

NOW_MS = 1_700_000_000_000
WORDS = st.sampled_from(["", "a", "b", "c"])
NAMES = st.sampled_from([full_name(first, last) for first in "ab" for last in "ab"] + [""])
TIMES = st.sampled_from([NOW_MS - ago for ago in (0, 1, 400, 999, 1000, 30_000, 599_999, 600_000, 600_001, 900_000)])
KEYS = st.sampled_from(["", "k0", "k1", "k2"])


@st.composite
def events(draw: st.DrawFn, side: Side) -> Event:
    values: dict[str, str] = {}
    for name in draw(st.lists(st.sampled_from(["city", "phone", "name/firstname", "name"]), max_size=2, unique=True)):
        values[name] = draw(NAMES if name == "name" else WORDS)
    previous = {"city": draw(WORDS)} if draw(st.booleans()) else {}
    source = draw(st.sampled_from(["user:CRM_UI/1", "INTEGRATION/9", ""]))
    record_id = "1" if side is HUBSPOT else "cus_1"
    at_ms, received_ms = draw(TIMES), draw(st.integers(0, 2) | TIMES)
    event = Event("", side, "updated", record_id, at_ms, values, previous, source=source, received_ms=received_ms)
    key = draw(KEYS) if side is STRIPE else ""
    return replace(event, request_key=key, judged=draw(st.booleans()), read=draw(st.booleans()))


@st.composite
def writes(draw: st.DrawFn, side: Side) -> PendingWrite:
    changes = {}
    for name in draw(st.lists(st.sampled_from(["city", "phone", "name"]), min_size=1, max_size=2, unique=True)):
        texts = NAMES if name == "name" else WORDS
        changes[name] = Change(draw(texts), draw(texts), draw(texts))
    kind = draw(st.sampled_from([WriteKind.UPDATE, WriteKind.UPDATE, WriteKind.CREATE]))
    result = draw(st.sampled_from([None, WriteResult.OK, WriteResult.LOST, WriteResult.REFUSED]))
    made = PendingWrite("", side, kind, "contact:1", "x", "1", draw(KEYS), "{}", changes)
    return replace(made, sent_ms=draw(TIMES), result=result, landed_ms=draw(TIMES | st.just(0)))


@pytest.mark.parametrize("side", Side)
@given(data=st.data())
@STEADY
def test_the_index_judges_as_the_comparison_of_all_with_all_does(side: Side, data: st.DataObject) -> None:
    window = [replace(event, key=str(at)) for at, event in enumerate(data.draw(st.lists(events(side), max_size=12)))]
    own = [replace(write, id=str(at)) for at, write in enumerate(data.draw(st.lists(writes(side), max_size=5)))]
    build = contact if side is HUBSPOT else customer
    values = {"city": data.draw(WORDS), "phone": data.draw(WORDS), "name": data.draw(NAMES)}
    record = stored(build("1" if side is HUBSPOT else "cus_1", **values))
    slow = slow_judgement.judge_events(record, window, own, FIELDS, NOW_MS)
    assert judge_events(record, window, own, FIELDS, NOW_MS) == slow
    for pending in own:
        for name in pending.changes:
            value = values[name]
            assert was_edited_after(pending, name, value, window) is slow_judgement.was_edited_after(
                pending, name, value, window
            )


def steps_of(count: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often the place of an event is computed to judge so many events beside 20 own writes."""
    steps = 0

    def place(event: Event) -> tuple[int, int]:
        nonlocal steps
        steps += 1
        return event.occurred_ms, event.received_ms

    monkeypatch.setattr(lost_updates, "_place", place)
    window = [
        Event(str(at), HUBSPOT, "updated", "1", NOW_MS + at, {"city": f"c{at}"}, source="user:CRM_UI/1", read=True)
        for at in range(count)
    ]
    assert len(judge_events(stored(contact(city="x")), window, own_writes(), FIELDS, NOW_MS + count).judged) == count
    return steps


def own_writes() -> Sequence[PendingWrite]:
    base = PendingWrite("0", HUBSPOT, WriteKind.UPDATE, "contact:1", "x", "1", "k", "{}", {})
    return [
        replace(base, id=str(at), changes={"city": Change(f"b{at}", f"a{at}", "")}, sent_ms=NOW_MS) for at in range(20)
    ]


@pytest.mark.case(4)
def test_ten_times_the_events_take_about_ten_times_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    few = steps_of(200, monkeypatch)
    assert steps_of(2_000, monkeypatch) <= 12 * few
