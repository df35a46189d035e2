"""Judging events under the lock: when it is postponed, and which values become conflicts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, SECOND_MS, STRIPE, LiveSync, refused
from wanesync.core.errors import Failure
from wanesync.core.evidence.lost_updates import MAX_OWN_WRITE_AGE_MS
from wanesync.core.model import OBSERVED_KIND, Change, Event, PendingWrite, Record, Side, WriteKind, WriteResult
from wanesync.core.normalize import NAME_PARTS
from wanesync.core.ports import UpdateItem
from wanesync.sync import lost_updates
from wanesync.sync.lost_updates import judge_records
from wanesync.sync.record_versions import RecordWriter

KEY = "contact:1"
IDS = {HUBSPOT: "1", STRIPE: "cus_1"}
VALUES = {"email": "ann@example.com", "city": "Paris"}
USER, APP = "user:CRM_UI", "app:INTEGRATION/1"
SIDES = pytest.mark.parametrize("side", list(Side))


def person(side: Side, **values: str) -> Record:
    """Ann on one side."""
    made = contact("1", "cus_1", **{**VALUES, **values}) if side is HUBSPOT else customer("cus_1", "1", **VALUES)
    return replace(made, values={**VALUES, **values}, modified_ms=1)


def report(live: LiveSync, side: Side, value: str, source: str = USER, **facts: object) -> str:
    """Store an event that Ann's city is ``value``; returns its key."""
    key = f"{side}{value}{live.clock.ms}"
    event = Event(key, side, "updated", IDS[side], live.clock.ms, {"city": value}, source=source, read=True)
    event = replace(event, **facts)  # type: ignore[arg-type] # a test names the facts it changes
    live.store.run(lambda tx: tx.events.put_many([event]))
    return key


def write(live: LiveSync, side: Side, result: WriteResult | None = WriteResult.OK, **facts: object) -> PendingWrite:
    """A write of Ann's city from Lyon to Paris; ``result`` None: it is open."""
    changes = {"city": Change("Lyon", "Paris", "Paris")}
    pending = PendingWrite(
        live.runtime.new_id(live.clock.ms),
        side,
        WriteKind.UPDATE,
        KEY,
        IDS[side.other],
        IDS[side],
        "key",
        "{}",
        changes,
    )
    pending = replace(pending, **facts)  # type: ignore[arg-type] # a test names the facts it changes
    with live.store.transaction() as tx:
        tx.pending_writes.put(pending)
        tx.pending_writes.mark_sent(pending.id)
        if result is not None:
            tx.pending_writes.record_result(pending.id, result)
    return pending


def judge(live: LiveSync, side: Side = HUBSPOT, key: str = KEY) -> None:
    live.store.run(lambda tx: judge_records(live.runtime, tx, {side: {IDS[side]: key}, side.other: {}}))


def is_judged(live: LiveSync, event_key: str) -> bool:
    with live.store.reading() as tx:
        event = tx.events.get(event_key)
    assert event is not None
    return event.judged


# -- when


@SIDES
def test_a_value_that_is_current_is_judged_and_is_no_conflict(live: LiveSync, side: Side) -> None:
    live.know(person(side))
    key = report(live, side, "Paris")
    judge(live, side)
    assert (is_judged(live, key), live.conflicts()) == (True, [])


def test_without_events_nothing_is_judged(live: LiveSync) -> None:
    live.know(person(HUBSPOT))
    judge(live)
    assert live.conflicts() == []


@SIDES
def test_an_open_write_of_the_key_postpones_it(live: LiveSync, side: Side) -> None:
    live.know(person(side))
    key = report(live, side, "Paris")
    write(live, side.other, None)
    judge(live, side)
    assert not is_judged(live, key)


def test_an_open_write_to_the_record_under_another_key_postpones_it(live: LiveSync) -> None:
    live.know(person(STRIPE))
    key = report(live, STRIPE, "Paris")
    write(live, STRIPE, None)
    judge(live, STRIPE, "customer:cus_1")
    assert not is_judged(live, key)


def test_a_stale_copy_postpones_it(live: LiveSync) -> None:
    live.know(person(STRIPE))
    key = report(live, STRIPE, "Paris")
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx) as records:
        records.want_read("cus_1")
    judge(live, STRIPE)
    assert not is_judged(live, key)


def test_a_record_that_was_never_read_is_judged_later(live: LiveSync) -> None:
    key = report(live, HUBSPOT, "Paris")
    judge(live)
    assert not is_judged(live, key)


# -- what becomes of a value


@SIDES
def test_a_value_that_stands_nowhere_any_more_becomes_a_conflict(live: LiveSync, side: Side) -> None:
    live.know(person(side))
    write(live, side)
    key = report(live, side, "Nice")
    judge(live, side)
    assert is_judged(live, key)
    assert live.conflicts() == [("overwritten", "city", "Nice")]
    assert live.journal() == ["conflict"]


def test_a_value_that_a_later_event_replaced_is_no_conflict(live: LiveSync) -> None:
    live.know(person(HUBSPOT))
    report(live, HUBSPOT, "Nice")
    live.advance(SECOND_MS)
    report(live, HUBSPOT, "Paris")
    judge(live)
    assert live.conflicts() == []


def test_an_event_that_was_judged_before_still_shows_what_came_later(live: LiveSync) -> None:
    live.know(person(HUBSPOT))
    report(live, HUBSPOT, "Nice")
    live.advance(SECOND_MS)
    report(live, HUBSPOT, "Paris", judged=True)
    judge(live)
    assert live.conflicts() == []


def test_a_value_our_write_overwrote_unread_becomes_a_conflict(live: LiveSync) -> None:
    live.know(person(HUBSPOT))
    report(live, HUBSPOT, "Nice")
    live.advance(SECOND_MS)
    write(live, HUBSPOT)
    report(live, HUBSPOT, "Paris", APP)
    judge(live)
    assert live.conflicts() == [("overwritten", "city", "Nice")]


def test_a_write_that_was_planned_from_the_value_lost_nothing(live: LiveSync) -> None:
    live.know(person(HUBSPOT))
    report(live, HUBSPOT, "Lyon")
    live.advance(SECOND_MS)
    write(live, HUBSPOT)
    report(live, HUBSPOT, "Paris", APP)
    live.advance(SECOND_MS)
    report(live, HUBSPOT, "Paris", USER)
    judge(live)
    assert live.conflicts() == []


def test_an_event_older_than_its_retention_window_still_counts_itself(live: LiveSync) -> None:
    """An event far in the past is judged with the writes of its own time, however late that happens."""
    live.know(person(HUBSPOT))
    write(live, HUBSPOT)
    key = report(live, HUBSPOT, "Nice")
    live.advance(3 * MAX_OWN_WRITE_AGE_MS)
    judge(live)
    assert is_judged(live, key)
    assert live.conflicts() == [("overwritten", "city", "Nice")]


# -- echoes


def test_the_echo_of_an_answered_write_is_judged_without_a_look_at_others(live: LiveSync) -> None:
    live.know(person(STRIPE))
    write(live, STRIPE)
    key = report(live, STRIPE, "Paris", "", request_key="key")
    judge(live, STRIPE)
    assert (is_judged(live, key), live.conflicts()) == (True, [])


def test_an_echo_that_names_a_value_we_never_read_makes_it_a_conflict(live: LiveSync) -> None:
    live.know(person(STRIPE))
    write(live, STRIPE)
    report(live, STRIPE, "Paris", "", request_key="key", previous={"city": "Nice"})
    judge(live, STRIPE)
    assert live.conflicts() == [("overwritten", "city", "Nice")]


def test_an_echo_that_names_the_value_the_write_was_planned_from_is_no_conflict(live: LiveSync) -> None:
    live.know(person(STRIPE))
    write(live, STRIPE)
    report(live, STRIPE, "Paris", "", request_key="key", previous={"city": "Lyon"})
    judge(live, STRIPE)
    assert live.conflicts() == []


def test_the_request_of_another_program_is_no_echo(live: LiveSync) -> None:
    live.know(person(STRIPE))
    write(live, STRIPE)
    report(live, STRIPE, "Nice", USER, request_key="of another program")
    judge(live, STRIPE)
    assert live.conflicts() == [("overwritten", "city", "Nice")]


@pytest.mark.parametrize("source", [APP, USER], ids=["by an app", "by a user"])
def test_a_late_write_that_overwrote_a_users_value_makes_it_a_conflict(live: LiveSync, source: str) -> None:
    live.know(person(HUBSPOT))
    pending = write(live, HUBSPOT, WriteResult.LOST)
    live.advance(SECOND_MS)
    first = report(live, HUBSPOT, "Nice", USER)
    live.store.run(lambda tx: tx.events.mark_judged([first]))
    live.advance(SECOND_MS)
    report(live, HUBSPOT, "Paris", source)
    judge(live)
    expected = [("overwritten", "city", "Nice")] if source == APP else []
    assert (pending.target_id, live.conflicts()) == ("1", expected)


def test_a_deleted_record_has_nothing_to_lose(live: LiveSync) -> None:
    live.know(person(HUBSPOT))
    key = report(live, HUBSPOT, "Nice")
    live.delete(HUBSPOT, "1")
    judge(live)
    assert (is_judged(live, key), live.conflicts()) == (True, [])


def test_records_of_one_side_are_judged_each_by_its_own_events(live: LiveSync) -> None:
    other = replace(contact("2", email="bob@example.com", city="Oslo"), modified_ms=1)
    live.know(person(HUBSPOT), other)
    write(live, HUBSPOT, target_id="2")
    old = report(live, HUBSPOT, "Nice", record_id="2")
    live.advance(3 * MAX_OWN_WRITE_AGE_MS)
    write(live, HUBSPOT)
    new = report(live, HUBSPOT, "Rome")
    live.store.run(lambda tx: judge_records(live.runtime, tx, {HUBSPOT: {"1": KEY, "2": "contact:2"}}))
    assert is_judged(live, old)
    assert is_judged(live, new)
    assert sorted(live.conflicts()) == [("overwritten", "city", "Nice"), ("overwritten", "city", "Rome")]


def test_an_app_that_set_the_current_value_beside_a_lost_write_overwrote_nothing(live: LiveSync) -> None:
    live.know(person(HUBSPOT))
    write(live, HUBSPOT, WriteResult.LOST)
    key = report(live, HUBSPOT, "Paris", APP)
    judge(live)
    assert (is_judged(live, key), live.conflicts()) == (True, [])


# -- long histories


def judge_to_the_end(live: LiveSync) -> list[int]:
    """Judge 20 changes of a city, one of which our write was planned from: how many were judged after each step."""
    live.know(person(HUBSPOT))
    keys = []
    for number in range(20):
        keys.append(report(live, HUBSPOT, f"City{number}", read=True))
        live.advance(SECOND_MS)
    write(live, HUBSPOT, changes={"city": Change("City5", "Paris", "Paris")})
    judge(live)
    steps = [sum(is_judged(live, key) for key in keys)]
    while live.work(HUBSPOT):
        steps.append(sum(is_judged(live, key) for key in keys))
    return steps


@pytest.mark.case(4)
def test_many_events_of_one_record_are_judged_in_pieces(live: LiveSync, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction that judged all of them outlived its limit, and was repeated for ever."""
    other = LiveSync()
    assert judge_to_the_end(other) == [20]
    monkeypatch.setattr(lost_updates, "MAX_JUDGED", 4)
    monkeypatch.setattr(lost_updates, "MAX_WINDOW", 8)
    assert judge_to_the_end(live)[:5] == [4, 8, 12, 16, 20]
    assert sorted(live.conflicts()) == sorted(other.conflicts())
    assert len(live.conflicts()) == 19
    other.close()


def test_records_that_do_not_fit_one_transaction_follow_in_the_next(
    live: LiveSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_updates, "MAX_WINDOW", 3)
    live.know(person(HUBSPOT), replace(person(HUBSPOT), id="2"))
    first = [report(live, HUBSPOT, f"One{n}", read=True) for n in range(2)]
    second = [report(live, HUBSPOT, f"Two{n}", record_id="2", read=True) for n in range(2)]
    live.store.run(lambda tx: judge_records(live.runtime, tx, {HUBSPOT: {"1": KEY, "2": "contact:2"}}))
    assert [is_judged(live, key) for key in (*first, *second)] == [True, True, False, False]
    assert live.is_queued(HUBSPOT, "contact:2")
    assert not live.is_queued(HUBSPOT, KEY)


def edit_under_way(live: LiveSync, seen: Record) -> None:
    """Ann's city comes from Stripe while a read stores what an edit in HubSpot has set, whose event never comes."""
    ann, cus = person(HUBSPOT, city="Lyon"), person(STRIPE, city="Lyon")
    live.link(ann, cus)
    live.know(person(STRIPE, city="Rom"))
    live.queue(HUBSPOT, KEY)

    def answer(items: list[UpdateItem]) -> dict[str, Record]:
        live.know(seen)
        return {item.trace: replace(person(HUBSPOT, city="Rom"), modified_ms=9) for item in items}

    live.hubspot.script("update_contacts", answer)
    live.work(HUBSPOT)
    assert live.links("1")[0].base["city"] == ("Rom", "Rom")


def test_what_a_read_found_and_our_update_replaced_is_kept(live: LiveSync) -> None:
    edit_under_way(live, replace(person(HUBSPOT, city="Paris"), modified_ms=5))
    assert live.conflicts() == [("overwritten", "city", "Paris")]
    assert "conflict" in live.journal()


@pytest.mark.parametrize(
    ("city", "modified_ms"),
    [("Lyon", 5), ("Rom", 5), ("Paris", 10), ("", 5)],
    ids=["as it was planned from", "our own value", "after our update", "nothing"],
)
def test_a_read_beside_an_update_is_usually_no_conflict(live: LiveSync, city: str, modified_ms: int) -> None:
    edit_under_way(live, replace(person(HUBSPOT, city=city), modified_ms=modified_ms))
    assert live.conflicts() == []


LANDED = replace(person(HUBSPOT, city="Rom"), modified_ms=9)
EDITED = replace(person(HUBSPOT, city="Paris"), modified_ms=5)


def lose_answer(live: LiveSync, *reads: Record, failure: Failure = Failure.NO_ANSWER) -> None:
    """Ann's city comes from Stripe; meanwhile reads store what they find, and the update is not answered."""
    ann, cus = person(HUBSPOT, city="Lyon"), person(STRIPE, city="Lyon")
    live.link(ann, cus)
    live.know(person(STRIPE, city="Rom"))
    live.queue(HUBSPOT, KEY)

    def answer(items: list[UpdateItem]) -> dict[str, object]:
        live.know(*reads)
        return {item.trace: refused(HUBSPOT, failure, "city") for item in items}

    live.hubspot.script("update_contacts", answer)
    live.work(HUBSPOT)
    live.advance(60_000)


@pytest.mark.parametrize("reads", [(EDITED,), (EDITED, LANDED)], ids=["a re-read", "another read before it"])
def test_what_a_read_found_is_kept_where_a_read_settles_the_update(live: LiveSync, reads: tuple[Record, ...]) -> None:
    lose_answer(live, *reads)
    live.hubspot.answer("read_contacts", {"1": LANDED})
    live.work(HUBSPOT)
    assert live.open_writes(KEY) == []
    assert live.conflicts() == [("overwritten", "city", "Paris")]


@pytest.mark.parametrize("part", ["firstname", "lastname"])
def test_of_a_name_that_a_read_found_the_part_that_was_edited_is_kept(live: LiveSync, part: str) -> None:
    names = {"firstname": "Ann", "lastname": "Lee"}
    edited = {**names, part: "Eve"}
    before, meanwhile, after = (NAME_PARTS.join(each.values()) for each in (names, edited, {**names, part: "Zoe"}))
    live.link(person(HUBSPOT, name=before), person(STRIPE, name="Ann Lee"))
    live.know(person(STRIPE, name=after.replace(NAME_PARTS, " ")))
    live.queue(HUBSPOT, KEY)

    def answer(items: list[UpdateItem]) -> dict[str, object]:
        live.know(replace(person(HUBSPOT, name=meanwhile), modified_ms=5))
        return {item.trace: refused(HUBSPOT, Failure.NO_ANSWER) for item in items}

    live.hubspot.script("update_contacts", answer)
    live.work(HUBSPOT)
    live.advance(60_000)
    live.hubspot.answer("read_contacts", {"1": replace(person(HUBSPOT, name=after), modified_ms=9)})
    live.work(HUBSPOT)
    assert live.conflicts() == [("overwritten", f"name/{part}", "Eve")]


def test_a_read_that_comes_after_the_answer_still_shows_what_the_update_replaced(live: LiveSync) -> None:
    edit_under_way(live, replace(person(HUBSPOT, city="Lyon"), modified_ms=1))
    live.know(EDITED)
    live.queue(HUBSPOT, KEY)
    live.work(HUBSPOT)
    assert live.conflicts() == [("overwritten", "city", "Paris")]


def test_an_edit_beside_an_update_that_was_refused_stands_and_is_no_conflict(live: LiveSync) -> None:
    lose_answer(live, EDITED, failure=Failure.REFUSED)
    live.queue(HUBSPOT, KEY)
    live.work(HUBSPOT)
    assert [kind for kind, _, _ in live.conflicts() if kind == "overwritten"] == []


def test_what_a_read_found_does_not_count_as_a_webhook(live: LiveSync) -> None:
    lose_answer(live, EDITED)
    with live.store.reading() as tx:
        assert [event.kind for event in tx.events.windows(HUBSPOT, ["1"], 0)["1"]] == [OBSERVED_KIND]
        assert list(tx.events.newest_first(HUBSPOT, ["1"], 0).get("1", [])) == []
