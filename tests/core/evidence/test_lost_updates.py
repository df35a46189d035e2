"""Judging events: is an observed value current, ours, superseded by a person, or about to vanish silently?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import FIELDS, HUBSPOT, STEADY, STRIPE, contact, customer, full_name, stored
from wanesync.core.evidence.lost_updates import (
    MAX_OWN_WRITE_AGE_MS,
    Judgement,
    is_answered,
    judge_events,
    was_edited_after,
    was_left_by,
)
from wanesync.core.fields import has_value
from wanesync.core.model import Change, Conflict, Event, PendingWrite, Side, StoredRecord, WriteKind, WriteResult

NOW_MS = 1_700_000_000_000


def change_of(name: str, value: str, at_ms: int = NOW_MS, **facts: object) -> Event:
    """A person's change of one field of the contact."""
    row = Event(
        f"{name}-{value}-{at_ms}", HUBSPOT, "updated", "1", at_ms, {name: value}, source="user:CRM_UI/7", read=True
    )
    return replace(row, **facts)  # type: ignore[arg-type] # a test names the fields it changes


def write_of(before: str, after: str, name: str = "phone", side: Side = HUBSPOT, **facts: object) -> PendingWrite:
    """An answered update of ours, a minute old."""
    changes = {name: Change(before, after, after)}
    target = "1" if side is HUBSPOT else "cus_1"
    pending = PendingWrite("own", side, WriteKind.UPDATE, "contact:1", "x", target, "own-key", "{}", changes)
    return replace(replace(pending, sent_ms=NOW_MS - 60_000, result=WriteResult.OK), **facts)  # type: ignore[arg-type] # a test names the fields it changes


def judged(
    window: Sequence[Event], writes: Sequence[PendingWrite] = (), record: StoredRecord | None = None, **values: str
) -> Judgement:
    return judge_events(record or stored(contact(**values)), window, writes, FIELDS, NOW_MS)


def lost(outcome: Judgement) -> list[str]:
    return [c.value for c in outcome.conflicts]


def test_a_current_value_is_settled_without_a_word() -> None:
    assert judged([change_of("phone", "110")], phone="110") == Judgement(["phone-110-1700000000000"], [])


@pytest.mark.case(13)
def test_a_webhook_s_milliseconds_are_the_time_that_the_copy_or_a_write_holds() -> None:
    """A typed property that is mapped as text: HubSpot answers ISO 8601, and tells changes in milliseconds."""
    ours = write_of("2024-02-29", "2026-01-31", landed_ms=NOW_MS + 1)
    told = change_of("phone", "1769817600000")
    assert lost(judged([told], [ours], phone="2026-01-31")) == []
    echo = replace(told, source="own")
    assert lost(judged([echo], [ours], phone="2027-01-01")) == []
    assert lost(judged([change_of("phone", "1769817600001")], [ours], phone="2026-01-31")) == ["1769817600001"]


def test_digits_of_a_text_are_no_time_of_another_text() -> None:
    ours = write_of("0123", "456", landed_ms=NOW_MS + 1)
    assert lost(judged([change_of("phone", "123")], [ours], phone="456")) == ["123"]


def test_a_value_that_only_another_program_can_have_replaced_is_no_conflict() -> None:
    assert lost(judged([change_of("phone", "110")], phone="112")) == []
    landed = write_of("109", "111", landed_ms=NOW_MS - 1)
    assert lost(judged([change_of("phone", "110")], [landed], phone="112")) == []


def test_a_value_that_is_neither_current_nor_superseded_is_a_conflict() -> None:
    outcome = judged([change_of("phone", "110")], [write_of("109", "112")], phone="112")
    assert outcome.conflicts == [Conflict(HUBSPOT, "1", "phone", "110", "overwritten")]


@pytest.mark.parametrize(("writes", "kept"), [([], []), ([write_of("109", "112")], ["110"])])
def test_of_a_field_our_copy_does_not_hold_a_value_we_may_have_buried_is_kept(
    writes: list[PendingWrite], kept: list[str]
) -> None:
    archived = stored(replace(contact(city="Ulm"), unknown=frozenset({"phone"})))
    outcome = judged([change_of("phone", "110")], writes, archived)
    assert (lost(outcome), outcome.buried) == (kept, {})


@pytest.mark.parametrize("result", [WriteResult.REFUSED, WriteResult.NOT_FOUND])
def test_a_write_that_hubspot_refused_has_buried_nothing(result: WriteResult) -> None:
    refused = write_of("109", "112", result=result)
    archived = stored(replace(contact(city="Ulm"), unknown=frozenset({"phone"})))
    assert lost(judged([change_of("phone", "110")], [refused], archived)) == []
    edits = [change_of("phone", "110", NOW_MS - 2_000), change_of("phone", "111", NOW_MS - 1_000)]
    assert lost(judged(edits, [refused], phone="111")) == []


def test_a_refused_write_did_not_replace_knowingly_what_an_earlier_one_buried_late() -> None:
    edit = change_of("phone", "110", NOW_MS - 30_000)
    late = write_of("109", "112", result=WriteResult.LOST)
    refused = replace(write_of("110", "113", result=WriteResult.REFUSED, sent_ms=NOW_MS - 10_000), id="refused")
    assert lost(judged([edit], [late, refused], phone="112")) == ["110"]


def test_a_refusal_under_a_key_of_stripe_says_nothing_about_an_earlier_call_with_it() -> None:
    edit = change_of("phone", "110", side=STRIPE, record_id="cus_1", source="")
    refused = write_of("109", "112", side=STRIPE, result=WriteResult.REFUSED)
    outcome = judge_events(stored(customer(phone="112")), [edit], [refused], FIELDS, NOW_MS)
    assert lost(outcome) == ["110"]


def test_a_value_superseded_by_a_later_change_of_a_person_is_settled() -> None:
    window = [change_of("phone", "110", NOW_MS - 2000), change_of("phone", "112", NOW_MS - 1000)]
    assert lost(judged(window, phone="112")) == []


def test_an_earlier_change_supersedes_nothing() -> None:
    window = [change_of("phone", "110", NOW_MS - 1000), change_of("phone", "112", NOW_MS - 2000)]
    assert lost(judged(window, [write_of("109", "112")], phone="112")) == ["110"]


def test_a_later_change_of_another_field_supersedes_nothing() -> None:
    window = [change_of("phone", "110", NOW_MS - 2000), change_of("city", "Ulm", NOW_MS - 1000)]
    assert lost(judged(window, [write_of("109", "112")], phone="112", city="Ulm")) == ["110"]


def test_a_value_that_our_newest_write_was_planned_from_was_replaced_knowingly() -> None:
    edit = change_of("phone", "110", NOW_MS - 2000, received_ms=NOW_MS - 1500)
    ours = write_of("110", "112", sent_ms=NOW_MS - 1000)
    assert lost(judged([edit], [ours], phone="112")) == []
    unanswered = replace(ours, result=WriteResult.LOST)
    assert lost(judged([edit], [unanswered], phone="112")) == []
    assert lost(judged([replace(edit, received_ms=NOW_MS - 500)], [unanswered], phone="112")) == ["110"]


def test_an_event_that_no_read_covers_is_not_judged_yet() -> None:
    newer = change_of("phone", "110", read=False)
    outcome = judged([newer, change_of("phone", "111", NOW_MS - 1)], [write_of("109", "112")], phone="112")
    assert outcome.judged == [f"phone-111-{NOW_MS - 1}"]
    assert lost(outcome) == ["111"]
    assert judged([newer], record=stored(contact(phone="112"), deleted=True)).judged == [newer.key]


def test_a_superseded_value_is_a_conflict_if_we_wrote_the_field_without_having_seen_it() -> None:
    window = [change_of("phone", "110", NOW_MS - 2000), change_of("phone", "112", NOW_MS - 1000)]
    assert lost(judged(window, [write_of("109", "111")], phone="112")) == ["110"]


def test_a_superseded_value_is_settled_if_our_write_was_planned_from_it() -> None:
    window = [change_of("phone", "110", NOW_MS - 2000), change_of("phone", "112", NOW_MS - 1000)]
    assert lost(judged(window, [write_of("110", "111")], phone="112")) == []


def test_a_write_of_ours_older_than_ten_minutes_does_not_count() -> None:
    window = [change_of("phone", "110", NOW_MS - 2000), change_of("phone", "112", NOW_MS - 1000)]
    old = write_of("109", "111", sent_ms=NOW_MS - 2000 - MAX_OWN_WRITE_AGE_MS)
    assert lost(judged(window, [old], phone="112")) == []


def test_a_write_of_ours_is_no_person_and_supersedes_nothing() -> None:
    window = [change_of("phone", "110", NOW_MS - 2000), change_of("phone", "112", NOW_MS - 1000, source="own")]
    assert lost(judged(window, [write_of("109", "112")], phone="112")) == ["110"]


def test_an_echo_of_ours_is_settled() -> None:
    assert lost(judged([change_of("phone", "111", source="own")], [write_of("110", "111")], phone="112")) == []


def test_the_same_value_set_by_a_person_is_not_taken_for_our_echo() -> None:
    assert lost(judged([change_of("phone", "111")], [write_of("110", "111")], phone="112")) == ["111"]


def test_a_judged_event_is_not_judged_again_but_still_supersedes() -> None:
    window = [change_of("phone", "110", NOW_MS - 2000), change_of("phone", "112", NOW_MS - 1000, judged=True)]
    outcome = judged(window, phone="112")
    assert outcome.judged == [window[0].key]
    assert lost(outcome) == []


@pytest.mark.parametrize("facts", [{"deleted": True}, {"survivor": "2"}])
def test_events_of_a_record_that_is_gone_are_settled(facts: dict[str, object]) -> None:
    outcome = judged([change_of("phone", "110")], record=stored(contact(phone="112"), **facts))
    assert len(outcome.judged) == 1
    assert not outcome.conflicts


def test_one_part_of_a_name_is_current_when_the_contact_holds_it() -> None:
    assert lost(judged([change_of("name/lastname", "Byron")], name=full_name("Ada", "Byron"))) == []
    ours = [write_of(full_name("Ada", "King"), full_name("Ada", "Byron"), "name")]
    assert lost(judged([change_of("name/lastname", "Hopper")], ours, name=full_name("Ada", "Byron"))) == ["Hopper"]


def test_a_part_of_a_name_our_write_was_planned_from_is_not_reported_once_superseded() -> None:
    window = [change_of("name/firstname", "Ada", NOW_MS - 2000), change_of("name/firstname", "Eve", NOW_MS - 1000)]
    ours = write_of(full_name("Ada", "Byron"), full_name("Ada", "Lovelace"), "name")
    assert lost(judged(window, [ours], name=full_name("Eve", "Lovelace"))) == []


def paid(**facts: object) -> Event:
    """The Stripe event of a write of ours."""
    row = Event("e", STRIPE, "updated", "cus_1", NOW_MS, {"phone": "112"}, request_key="own-key", read=True)
    return replace(row, **facts)  # type: ignore[arg-type] # a test names the fields it changes


def judged_customer(window: Sequence[Event], writes: Sequence[PendingWrite], phone: str) -> Judgement:
    return judge_events(stored(customer(phone=phone)), window, writes, FIELDS, NOW_MS)


def test_stripe_tells_what_we_overwrote_without_having_seen_it() -> None:
    event = paid(previous={"phone": "111"})
    assert lost(judged_customer([event], [write_of("110", "112", side=STRIPE)], "112")) == ["111"]


@pytest.mark.parametrize("before", ["110", "1-1-0", "112", ""])
def test_what_we_knew_or_meant_to_write_is_not_reported(before: str) -> None:
    event = paid(previous={"phone": before})
    assert lost(judged_customer([event], [write_of("110", "112", side=STRIPE)], "112")) == []


def test_a_stripe_event_of_another_key_is_not_ours_whatever_its_value() -> None:
    event = paid(request_key="someone-elses")
    assert lost(judged_customer([event], [write_of("110", "112", side=STRIPE)], "113")) == ["112"]


def test_two_changes_in_one_second_do_not_supersede_one_another() -> None:
    first, second = (
        paid(key=phone, values={"phone": phone}, request_key="", occurred_ms=NOW_MS) for phone in ("111", "112")
    )
    ours = [write_of("110", "112", side=STRIPE)]
    assert lost(judged_customer([first, second], ours, "112")) == ["111"]


def test_within_one_second_the_previous_value_shows_what_a_change_replaced() -> None:
    first, second, third = (
        paid(key=phone, values={"phone": phone}, previous={"phone": before}, request_key="", occurred_ms=NOW_MS)
        for before, phone in [("110", "111"), ("111", "112"), ("112", "113")]
    )
    ours = [write_of("111", "112", side=STRIPE, sent_ms=NOW_MS - 9_000)]
    assert lost(judged_customer([third, first, second], ours, "113")) == ["112"]
    assert lost(judged_customer([third, first, second], [], "113")) == []
    landed = [replace(ours[0], landed_ms=NOW_MS - 1_000)]
    assert lost(judged_customer([third, first, second], landed, "113")) == []


def test_the_event_of_our_write_shows_whether_it_buried_a_value() -> None:
    edit = paid(key="edit", values={"phone": "111"}, previous={"phone": "110"}, request_key="")
    echo = paid(values={"phone": "112"}, previous={"phone": "110"}, judged=True)
    ours = [write_of("110", "112", side=STRIPE)]
    assert lost(judged_customer([edit, echo], ours, "113")) == []
    assert lost(judged_customer([edit, replace(echo, previous={"phone": "111"})], ours, "113")) == ["111"]


@given(
    phones=st.lists(st.sampled_from(["110", "111", "112", ""]), min_size=1, max_size=5),
    current=st.sampled_from(["110", "111", "112", "113", ""]),
)
@STEADY
def test_the_last_value_a_person_set_is_current_or_a_conflict(phones: list[str], current: str) -> None:
    window = [change_of("phone", phone, NOW_MS + i) for i, phone in enumerate(phones)]
    outcome = judged(window, [write_of("109", "113")], phone=current)
    assert len(outcome.judged) == len(window)
    assert phones[-1] == current or phones[-1] in lost(outcome)


@given(phones=st.lists(st.sampled_from(["110", "111", "112", ""]), min_size=1, max_size=5))
@STEADY
def test_edits_of_one_side_are_never_conflicts(phones: list[str]) -> None:
    window = [change_of("phone", phone, NOW_MS + i) for i, phone in enumerate(phones)]
    assert lost(judged(window[:-1], phone=phones[-1])) == []
    before = write_of("110", "111", landed_ms=NOW_MS - 1)
    assert lost(judged(window[:-1], [before], phone=phones[-1])) == []


# -- words


def test_a_part_of_a_name_is_held_by_the_whole() -> None:
    ada = stored(contact(name=full_name("Ada", "Byron")))
    assert has_value(ada, "name/firstname", "Ada")
    assert not has_value(ada, "name/firstname", "Ada Byron")
    assert has_value(ada, "phone", "")


@pytest.mark.parametrize(
    ("answer", "known"), [(None, False), (WriteResult.LOST, False), (WriteResult.OK, True), (WriteResult.REFUSED, True)]
)
def test_a_lost_answer_is_no_answer(answer: WriteResult | None, known: bool) -> None:
    assert is_answered(replace(write_of("", ""), result=answer)) is known


def test_a_part_of_an_address_that_went_out_with_another_part_is_judged_by_what_was_sent() -> None:
    mine = replace(
        write_of("Old Street", "New Street", "street", STRIPE, result=WriteResult.LOST), sent_ms=NOW_MS - 5_000
    )
    theirs = Event(
        "theirs", STRIPE, "updated", "cus_1", NOW_MS - 4_000, {"city": "Oslo"}, source="user:dashboard", read=True
    )
    echo = Event(
        "echo", STRIPE, "updated", "cus_1", NOW_MS - 1_000, {"city": "Rome", "street": "New Street"},
        request_key="own-key", read=True,
    )  # fmt: skip
    outcome = judged([theirs, echo], [mine], stored(customer(city="Rome", street="New Street")))
    assert "Oslo" in lost(outcome)


def test_a_change_of_an_app_that_is_no_write_of_ours_is_judged_like_any_other() -> None:
    window = [change_of("phone", "999", source="INTEGRATION/1")]
    assert lost(judged(window, [write_of("109", "111")], phone="1")) == ["999"]


def test_a_value_that_a_late_write_overwrote_is_kept_even_after_another_write_reverted_the_late_one() -> None:
    edit = change_of("phone", "110", NOW_MS - 2_000, judged=True)
    echo = change_of("phone", "111", NOW_MS - 1_000, source="INTEGRATION/1")
    late = write_of("109", "111", sent_ms=NOW_MS - 1_500, result=None)
    reverting = write_of("111", "112", id="second", sent_ms=NOW_MS - 500)
    assert lost(judged([edit, echo], [late, reverting], phone="112")) == ["110"]
    assert lost(judged([edit, echo], [late], phone="112")) == [], "nothing shows that the late write was reverted"


# -- whether a value was left by a write of ours


def stripe_change(value: str, at_ms: int = NOW_MS, key: str = "", **previous: str) -> Event:
    """A change of the customer's city; ``key``: the idempotency key of the request that made it."""
    source = "" if key else "user"
    return Event(
        f"{value}-{at_ms}", STRIPE, "updated", "cus_1", at_ms, {"city": value}, previous, key, source, read=True
    )


@pytest.mark.parametrize(
    ("window", "left"),
    [
        ([], None),
        ([change_of("city", "Ulm")], False),
        ([change_of("city", "Ulm", source="INTEGRATION/1")], None),
        ([change_of("city", "Ulm"), change_of("city", "Rom")], None),
        ([change_of("city", "Ulm", NOW_MS - 1), change_of("city", "Rom")], None),
    ],
)
def test_events_of_a_contact_show_only_that_a_user_set_its_value(window: list[Event], left: bool | None) -> None:
    assert was_left_by(write_of("Bonn", "Ulm", "city"), stored(contact(city="Ulm")), "city", window) is left


@pytest.mark.parametrize(
    ("window", "left"),
    [
        ([], None),
        ([stripe_change("Ulm", key="own-key")], True),
        ([stripe_change("Ulm", key="another")], False),
        ([stripe_change("Rom", key="own-key")], None),
        ([stripe_change("Ulm", key="own-key"), stripe_change("Rom", city="Ulm")], None),
        ([stripe_change("Rom", NOW_MS - 1_000), stripe_change("Ulm", key="own-key")], True),
    ],
)
def test_events_of_a_customer_show_which_request_left_its_value(window: list[Event], left: bool | None) -> None:
    pending = write_of("Bonn", "Ulm", "city", STRIPE)
    assert was_left_by(pending, stored(customer(city="Ulm")), "city", window) is left


# -- whether a user edited a field after a write of ours


def test_a_user_s_edit_after_the_echo_of_our_write_is_found_on_hubspot() -> None:
    pending = write_of("Bonn", "Ulm", "city", sent_ms=NOW_MS - 5_000)
    echo = change_of("city", "Ulm", NOW_MS - 3_000, source="INTEGRATION/1")
    edit = change_of("city", "Rom", NOW_MS - 1_000)
    assert was_edited_after(pending, "city", "Rom", [echo, edit])
    assert not was_edited_after(pending, "city", "Rom", [edit])
    assert not was_edited_after(pending, "city", "Rom", [echo, replace(edit, judged=True)])
    assert not was_edited_after(pending, "city", "Rom", [echo, edit, change_of("city", "Wien")])


def test_stripe_s_previous_values_settle_the_order_within_a_second() -> None:
    pending = write_of("Bonn", "Ulm", "city", STRIPE)
    echo, edit = stripe_change("Ulm", key="own-key", city="Bonn"), stripe_change("Rom", city="Ulm")
    assert was_edited_after(pending, "city", "Rom", [echo, edit])
    assert not was_edited_after(pending, "city", "Rom", [echo, replace(edit, previous={"city": "Bonn"})])


def test_a_value_that_the_user_replaced_by_what_our_write_sends_is_no_conflict() -> None:
    window = [change_of("phone", "110", NOW_MS - 2), change_of("phone", "112", NOW_MS - 1)]
    assert lost(judged(window, [write_of("109", "112")], phone="112")) == []
    other = replace(write_of("109", "113"), id="other", idempotency_key="other")
    assert lost(judged(window, [write_of("109", "112"), other], phone="112")) == ["110"]
    apart = [window[0], change_of("phone", "111", NOW_MS - 2, received_ms=5), window[1]]
    assert set(lost(judged(apart, [write_of("109", "112")], phone="112"))) == {"110", "111"}


STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from("ABCD")), min_size=1, max_size=8)


@given(STEPS, st.data())
def test_a_value_that_our_writes_replaced_unread_is_always_kept(
    steps: list[tuple[bool, str]], data: st.DataObject
) -> None:
    """HubSpot sends an event of each change, and of nothing else; echoes of ours may still be on their way."""
    held, by_user, events, writes, buried = "", False, list[Event](), list[PendingWrite](), set[str]()
    for number, (is_user, value) in enumerate(steps):
        at_ms = NOW_MS - 1_000 + number
        result = data.draw(st.sampled_from([WriteResult.OK, WriteResult.LOST]))
        if not is_user:
            landed_ms = at_ms if result is WriteResult.OK else 0
            name = f"own{number}"
            own = write_of("-", value, id=name, idempotency_key=name, result=result, landed_ms=landed_ms, planned_ms=1)
            writes.append(own)
        if value == held:
            continue
        if by_user and not is_user:
            buried.add(held)
        held, by_user = value, is_user
        source = "user:CRM_UI/7" if is_user else "own"
        if is_user or data.draw(st.booleans()):
            events.append(change_of("phone", value, at_ms, source=source))
    outcome = judge_events(stored(contact(phone=held)), events, writes, FIELDS, NOW_MS)
    kept = {conflict.value for conflict in outcome.conflicts} | {value for value, _ in outcome.buried.values()}
    assert buried - {held} <= kept
