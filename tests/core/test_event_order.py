"""What Stripe events are worth: whether one gives its object, asks for a read, or is only an observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import STEADY, STRIPE, customer
from wanesync.core.event_order import EventsReading, bound_future, read_stripe_events
from wanesync.core.model import Event, StoredRecord
from wanesync.core.ports import Timing


def at(second: int, phone: str = "", kind: str = "updated", **facts: object) -> Event:
    """A Stripe event of a second, whose object holds a phone."""
    key = f"{second}-{kind}-{phone}"
    row = Event(key, STRIPE, kind, "cus_1", second * 1000, record=customer(phone=phone) if phone else None)
    return replace(row, **facts)  # type: ignore[arg-type] # a test names the fields it changes


def copy(low_s: int, high_s: int, **facts: object) -> StoredRecord:
    """Our copy of the customer, true at some time between two seconds."""
    return replace(StoredRecord(customer(), low_s * 1000, high_s * 1000 + 999, 1), **facts)  # type: ignore[arg-type] # a test names the fields it changes


def read(events: Sequence[Event], known: StoredRecord | None = None, answered: Sequence[str] = ()) -> EventsReading:
    return read_stripe_events(known, events, answered)


def phone_of(reading: EventsReading) -> str:
    assert reading.store is not None
    return reading.store.values["phone"]


# -- the order of Stripe's events


def test_the_first_event_of_a_customer_gives_its_object() -> None:
    reading = read([at(10, "110", "created")])
    assert (phone_of(reading), reading.at_ms, reading.needs_read) == ("110", 10_000, False)


def test_an_event_above_what_we_saw_gives_its_object() -> None:
    assert phone_of(read([at(12, "112")], copy(9, 11))) == "112"


@given(order=st.permutations([at(12, "1"), at(13, "2"), at(14, "3")]))
@STEADY
def test_events_in_any_order_give_the_newest_object(order: list[Event]) -> None:
    reading = read(order, copy(9, 11))
    assert (phone_of(reading), reading.at_ms, reading.needs_read) == ("3", 14_000, False)


def test_two_events_of_one_second_ask_for_a_read() -> None:
    reading = read([at(12, "1"), at(12, "2")], copy(9, 11))
    assert reading.needs_read
    assert reading.store is None


def test_an_event_inside_the_interval_asks_for_a_read() -> None:
    for second in (9, 10, 11):
        reading = read([at(second, "1")], copy(9, 11))
        assert reading.needs_read
        assert reading.store is None


def test_an_event_below_the_interval_is_only_an_observation() -> None:
    assert read([at(8, "1")], copy(9, 11)) == EventsReading()


def test_an_event_in_another_version_of_the_api_asks_for_a_read() -> None:
    assert read([at(12)], copy(9, 11)).needs_read


def test_an_echo_of_an_answered_write_asks_for_nothing() -> None:
    echo = at(10, "1", request_key="wane-u-1")
    assert read([echo], copy(9, 11), ["wane-u-1"]) == EventsReading()


def test_an_echo_of_a_write_without_an_answer_asks_for_a_read() -> None:
    assert read([at(10, "1", request_key="wane-u-1")], copy(9, 11)).needs_read


def test_two_events_of_the_second_of_our_copy_ask_for_a_read_even_beside_an_echo() -> None:
    echo = at(10, "1", request_key="wane-u-1")
    assert read([echo, at(10, "2")], copy(9, 11), ["wane-u-1"]).needs_read


@given(order=st.permutations([at(12, "1"), at(13, kind="deleted"), at(14, "3")]))
@STEADY
def test_a_deletion_is_final_and_asks_for_no_read(order: list[Event]) -> None:
    reading = read(order, copy(9, 11))
    assert reading.deleted
    assert not reading.needs_read


def test_a_deletion_older_than_our_copy_is_believed() -> None:
    assert read([at(3, kind="deleted")], copy(9, 11)).deleted


def test_nothing_is_taken_from_events_of_a_deleted_customer() -> None:
    assert read([at(12, "1")], copy(9, 11, deleted=True)) == EventsReading()


EVENTS = st.lists(
    st.builds(
        at, st.integers(7, 14), st.sampled_from(["", "1", "2"]), st.sampled_from(["created", "updated", "deleted"])
    ),
    max_size=5,
    unique_by=lambda e: e.key,
)


@given(events=EVENTS)
@STEADY
def test_an_object_is_only_taken_above_the_interval_and_alone_in_its_second(events: list[Event]) -> None:
    reading = read(events, copy(9, 11))
    if reading.store is not None:
        assert reading.at_ms > 11_999
        assert len([e for e in events if e.occurred_ms == reading.at_ms and e.kind != "deleted"]) == 1


@given(events=EVENTS)
@STEADY
def test_no_event_above_what_we_saw_goes_without_an_object_a_read_or_a_deletion(events: list[Event]) -> None:
    reading = read(events, copy(9, 11))
    newest = max((e.occurred_ms for e in events if e.kind != "deleted"), default=0)
    if newest >= 9_000:
        assert reading.deleted or reading.needs_read or (reading.store is not None and reading.at_ms == newest)


def test_an_edit_after_an_answer_that_was_stamped_in_the_future_is_read() -> None:
    hour_ms, now_ms = 3_600_000, 1_790_000_000_000
    stamped = Timing(now_ms + hour_ms, now_ms + hour_ms + 999)
    valid = bound_future(stamped, now_ms)
    stored = StoredRecord(customer(), valid.from_ms, valid.to_ms, 1)
    edit = at(now_ms // 1000 + 30, "5")
    assert read([edit], stored).needs_read
    late = read([at(now_ms // 1000 + 3_700, "6")], stored)
    assert phone_of(late) == "6"


def test_a_clock_a_little_ahead_is_believed() -> None:
    timing = Timing(70_000, 71_000)
    assert bound_future(timing, 10_000) == timing
