"""Defects the simulator found, each by explicit steps: every one of these failed before it was mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate

import pytest

from tests.simulation.observe import observed
from tests.simulation.parts import START_MS
from tests.simulation.play import Play, play_seed
from tests.simulation.world import World
from tests.support.core_builders import FIELDS, HUBSPOT, RULES, STRIPE, contact, customer, full_name, link, stored
from tests.support.store_reads import list_purchases
from wanesync.adapters.http_answers import read_timing
from wanesync.core.event_order import read_stripe_events
from wanesync.core.evidence.lost_updates import judge_events
from wanesync.core.fields import FieldMap
from wanesync.core.merge import Pair, merge
from wanesync.core.model import Change, Conflict, Event, PendingWrite, Record, Side, WriteKind, WriteResult
from wanesync.core.normalize import FormOptions
from wanesync.core.plan import COUNTERPART_DELETED, PlanContext
from wanesync.core.planner import plan
from wanesync.core.ports import CustomerAnswer, Timing
from wanesync.core.purchases import PurchaseState
from wanesync.sandbox.faults import Faults
from wanesync.sync.record_versions import RecordWriter

MINUTE_MS = 60_000
NOW_MS = 1_800_000_000_000


@contextmanager
def stage(*features: str) -> Iterator[Play]:
    """An installation without faults that has listed both sides, and a player who only does what is due."""
    world = World(1, frozenset(features))
    try:
        with observed(world.saw_links, world.saw_write, world.forgave, world.sleep, world.check_listing):
            play = Play(world)
            play.deeds = 0
            world.start()
            world.open_doors()
            assert world.list_all()
            yield play
            assert world.violations == []
    finally:
        world.close()


def pair_of(play: Play) -> tuple[str, str]:
    """A contact entered by hand and the customer made for it."""
    contact_id = play.world.hubspot.edit("create", None, {"email": "p0@example.com", "company": "Co"}, play.world.now)
    play.play()
    (row,) = play.world.stripe.records()
    return contact_id, row["id"]


def updates_sent(play: Play) -> int:
    """How many updates of customers reached Stripe."""
    operations = play.world.stripe.stats(play.world.now)["operations"]
    assert isinstance(operations, dict)
    return sum(n for name, n in operations.items() if name.startswith("POST /v1/customers/"))


def scene_of(key: str, *records: object, **facts: object) -> PlanContext:
    known = {(s.side, s.id): s for s in records}  # type: ignore[attr-defined] # any rows of records
    return replace(PlanContext(key, known), **facts)  # type: ignore[arg-type] # a test names the fields it changes


def own_of(before: str, after: str, sent_ms: int, answer: WriteResult | None) -> PendingWrite:
    changes = {"city": Change(before, after, after)}
    return PendingWrite(
        "own", HUBSPOT, WriteKind.UPDATE, "contact:1", "cus_1", "1", "k", "{}", changes, sent_ms=sent_ms, result=answer
    )


def change_of(value: str, at_ms: int, source: str = "user:CRM_UI/1", *, judged: bool = False) -> Event:
    return Event(
        f"{value}-{at_ms}", HUBSPOT, "updated", "1", at_ms, {"city": value}, source=source, judged=judged, read=True
    )


def test_a_read_under_way_does_not_end_a_doubt_that_came_after_it_began() -> None:
    with stage() as play:
        runtime = play.world.processes[0].worker.runtime
        record = Record(STRIPE, "cus_9", {"city": "old"})
        answer = CustomerAnswer(record, Timing(0, 999))
        with play.world.store.transaction() as tx:
            recorder = RecordWriter(runtime, tx)
            recorder.store_customer(answer, 0)
            recorder.want_read("cus_9")
            known = recorder.get(STRIPE, "cus_9")
            assert known is not None
            recorder.want_read("cus_9")  # an update's answer came in between: the read may be older than it
            recorder.store_customer(answer, known.revision)
            after = recorder.get(STRIPE, "cus_9")
        assert after is not None
        assert after.stale


def test_a_500_that_stripe_keeps_under_its_key_is_not_sent_for_ever() -> None:
    with stage() as play:
        contact_id, customer_id = pair_of(play)
        play.world.hubspot.edit("update", contact_id, {"company": "New"}, play.world.now)
        play.world.stripe.set_faults(Faults(error_500=1.0))
        while not updates_sent(play) and play.step():
            pass
        play.world.stripe.set_faults(Faults())
        play.play()
        assert play.world.facts.value((STRIPE, customer_id), "company") == "New"


def test_a_customer_found_after_a_500_is_known_at_once() -> None:
    with stage() as play:
        world = play.world
        world.hubspot.edit("create", None, {"email": "p0@example.com"}, world.now)
        world.stripe.set_faults(Faults(error_500=1.0))
        while not world.stripe.records() and play.step():
            pass  # half of these 500s come after the effect
        world.stripe.set_faults(Faults())
        play.play()
        assert len(world.facts.living(STRIPE)) == 1


def test_a_purchase_does_not_stick_to_a_contact_that_was_deleted() -> None:
    with stage("note") as play:
        world = play.world
        contact_id, customer_id = pair_of(play)
        world.hubspot.set_target(None)
        world.hubspot.edit("delete", contact_id, {}, world.now)
        world.facts.drain()
        world.stripe.edit("purchase", customer_id, {"amount": "100", "currency": "usd"}, world.now)
        play.play()
        with world.store.reading() as tx:
            (row,) = list_purchases(tx, PurchaseState.UNMATCHED)
        assert row.contact_id == ""


def test_no_customer_is_made_for_a_contact_whose_customer_was_deleted_before_they_were_linked() -> None:
    gone = stored(customer("cus_1", email="a@example.com"), deleted=True)
    made = stored(contact("1", "cus_1", email="a@example.com"))
    outcome = plan(scene_of("contact:1", gone, made, email_holders={"a@example.com": "customer:cus_1"}), RULES, "new")
    assert outcome.actions == {}
    assert outcome.wait == ""
    assert outcome.notes[HUBSPOT, "1"] == COUNTERPART_DELETED


LIST_BUSINESSES = FieldMap(tuple(replace(s, options=FormOptions(business_names="list")) for s in FIELDS.specs))


def test_a_name_that_a_new_contact_cannot_take_is_kept() -> None:
    firm = stored(customer("cus_1", email="a@example.com", name="Acme 24"))
    action = plan(scene_of("customer:cus_1", firm), replace(RULES, fields=LIST_BUSINESSES), "new").actions[HUBSPOT]
    assert action.conflicts == (Conflict(STRIPE, "cus_1", "name", "Acme 24", "unsplit"),)


def test_a_name_that_a_nameless_contact_cannot_take_is_kept() -> None:
    pair = Pair(contact(name=""), customer(name="Acme 24"), {})
    assert [c.value for c in merge(pair, LIST_BUSINESSES, "keep").immediate_conflicts] == ["Acme 24"]


def test_what_a_new_primary_holds_and_its_contact_does_not_is_kept() -> None:
    here = stored(contact("1", email="a@example.com", city="Ulm"))
    gone = stored(customer("cus_1", email="a@example.com"), deleted=True)
    other = stored(customer("cus_2", email="a@example.com", city="Bonn"))
    links = [
        link("1", "cus_1", {"city": ("Ulm", "Ulm"), "email": ("a@example.com", "a@example.com")}),
        link("1", "cus_2", primary=False),
    ]
    outcome = plan(scene_of("contact:1", here, gone, other, links=links), RULES, "new")
    assert [conflict for conflict, _ in outcome.conflicts] == [
        Conflict(HUBSPOT, "1", "city", "Ulm", "differ"),
        Conflict(STRIPE, "cus_2", "city", "Bonn", "differ"),
    ]


def test_a_value_that_a_late_write_of_ours_buried_is_kept() -> None:
    late = own_of("", "Bonn", NOW_MS - 9_000, WriteResult.LOST)
    window = [change_of("Ulm", NOW_MS - 5_000, judged=True), change_of("Bonn", NOW_MS - 1_000, "own")]
    outcome = judge_events(stored(contact("1", city="Bonn")), window, [late], FIELDS, NOW_MS)
    assert [c.value for c in outcome.conflicts] == ["Ulm"]


def test_a_value_set_unheard_before_a_late_write_left_is_kept_when_that_buries_it() -> None:
    late = own_of("", "Bonn", NOW_MS - 9_000, WriteResult.LOST)
    landed = change_of("Bonn", NOW_MS - 1_000, "own")
    here = stored(contact("1", city="Bonn"))
    outcome = judge_events(here, [change_of("Ulm", NOW_MS - 9_500, judged=True), landed], [late], FIELDS, NOW_MS)
    assert [c.value for c in outcome.conflicts] == ["Ulm"]
    planned_from = own_of("Ulm", "Bonn", NOW_MS - 9_000, WriteResult.LOST)
    outcome = judge_events(
        here, [change_of("Ulm", NOW_MS - 9_500, judged=True), landed], [planned_from], FIELDS, NOW_MS
    )
    assert outcome.conflicts == []
    ours = change_of("Kiel", NOW_MS - 9_200, "own", judged=True)  # its own echo told what became of the value
    outcome = judge_events(here, [change_of("Ulm", NOW_MS - 9_500, judged=True), ours, landed], [late], FIELDS, NOW_MS)
    assert outcome.conflicts == []


def test_what_a_late_write_had_buried_is_kept_even_if_that_was_put_back_already() -> None:
    late = own_of("", "Bonn", NOW_MS - 9_000, WriteResult.LOST)
    back = replace(own_of("Bonn", "", NOW_MS - 500, WriteResult.OK), id="back")
    window = [change_of("Ulm", NOW_MS - 5_000, judged=True), change_of("Bonn", NOW_MS - 1_000, "own")]
    outcome = judge_events(stored(contact("1", city="")), window, [late, back], FIELDS, NOW_MS)
    assert [c.value for c in outcome.conflicts] == ["Ulm"]
    outcome = judge_events(stored(contact("1", city="Ulm")), window, [late, back], FIELDS, NOW_MS)
    assert outcome.conflicts == []


def test_a_write_counts_from_the_event_however_late_it_is_judged() -> None:
    at_ms = NOW_MS - 20 * MINUTE_MS
    window = [change_of("Ulm", at_ms), change_of("Bonn", at_ms + 1_000)]
    ours = own_of("Kiel", "Trier", at_ms - MINUTE_MS, WriteResult.OK)
    outcome = judge_events(stored(contact("1", city="Bonn")), window, [ours], FIELDS, NOW_MS)
    assert [c.value for c in outcome.conflicts] == ["Ulm"]


def test_our_unanswered_fill_does_not_come_back_once_its_source_was_cleared() -> None:
    pair = Pair(contact(company="Co"), customer(company=""), {}, late={(HUBSPOT, "company")})
    writes = merge(pair, FIELDS, "keep").writes
    assert writes[HUBSPOT]["company"].after == ""
    assert "company" not in writes[STRIPE]


def guest_of(play: Play) -> dict[str, str]:
    """A contact made for a guest's purchase, whose answer was lost."""
    world = play.world
    bought = {"amount": "100", "currency": "usd", "email": "p0@example.com"}
    world.stripe.edit("purchase", None, bought, world.now)
    world.hubspot.set_faults(Faults(lost_answer=1.0))
    while not world.hubspot.records() and play.step():
        pass
    (row,) = world.hubspot.records()
    world.hubspot.set_faults(Faults())
    return dict(row)


def test_a_guest_whose_new_contact_got_another_address_before_we_heard_of_it_is_not_made_twice() -> None:
    with stage() as play:
        world, row = play.world, guest_of(play)
        world.hubspot.edit("update", row["id"], {"email": "p0b@example.com"}, world.now)
        world.facts.drain()
        play.play()
        assert [record["id"] for record in world.hubspot.records()] == [row["id"]]


@pytest.mark.parametrize("side", [HUBSPOT, STRIPE])
def test_nothing_is_made_for_a_record_that_was_deleted_while_its_creation_could_not_be_sent(side: Side) -> None:
    with stage() as play:
        world = play.world
        here, there = (world.stripe, world.hubspot) if side is HUBSPOT else (world.hubspot, world.stripe)
        there.set_faults(Faults(error_503=1.0))
        record_id = here.edit("create", None, {"email": "p0@example.com"}, world.now)
        while not _open_writes(play) and play.step():
            pass
        here.edit("delete", record_id, {}, world.now)
        world.facts.drain()
        until_ms = world.now + MINUTE_MS
        while world.now < until_ms and play.step():
            pass
        there.set_faults(Faults())
        play.play()
        assert there.records() == []
        assert _open_writes(play) == 0


def _open_writes(play: Play) -> int:
    with play.world.store.reading() as tx:
        return tx.pending_writes.count_open()


def test_an_id_that_another_contact_carries_does_not_ride_along() -> None:
    with stage() as play:
        world = play.world
        contact_id, customer_id = pair_of(play)
        rival = world.hubspot.edit("create", None, {"firstname": "R", "stripe_customer_id": customer_id}, world.now)
        world.stripe.edit("update", customer_id, {"business_name": "New"}, world.now)
        world.facts.drain()
        play.play()
        assert rival != contact_id
        assert world.facts.value((HUBSPOT, contact_id), "company") == "New"


def test_full_names_of_people_are_still_split() -> None:
    person = stored(customer("cus_1", email="a@example.com", name="Ada Byron"))
    action = plan(scene_of("customer:cus_1", person), RULES, "new").actions[HUBSPOT]
    assert action.changes["name"].after == full_name("Ada", "Byron")
    assert action.conflicts == ()


def test_an_event_stamped_by_another_clock_than_an_answer_is_not_taken_for_a_newer_copy() -> None:
    answered_ms = START_MS // 1000 * 1000
    timing = read_timing({"Date": formatdate(answered_ms // 1000 - 1, usegmt=True)}, 0.04, answered_ms)
    copy = replace(stored(customer("cus_1", phone="111")), valid_from_ms=timing.from_ms, valid_to_ms=timing.to_ms)
    before = Event("k", STRIPE, "updated", "cus_1", answered_ms, record=customer("cus_1", phone=""))
    reading = read_stripe_events(copy, [before], ())
    assert (reading.store, reading.needs_read) == (None, True)


def test_an_intent_whose_commit_was_done_twice_is_not_left_open() -> None:
    assert play_seed(181).violations == []


@pytest.mark.parametrize("seed", [673, 919])
def test_jobs_whose_outcome_came_in_a_gap_of_the_heartbeat_do_not_stay_without_an_owner(seed: int) -> None:
    assert play_seed(seed).violations == []


def test_a_probe_that_found_nothing_to_ask_is_still_due() -> None:
    assert play_seed(1007042).violations == []


def test_a_roll_up_that_arrives_late_does_not_stay() -> None:
    assert play_seed(1006823).violations == []


def test_a_guest_does_not_ask_twice_a_second_while_a_side_is_away_for_hours() -> None:
    assert play_seed(1008772).violations == []


def test_a_job_of_a_customer_does_not_judge_its_contact_while_that_is_written() -> None:
    assert play_seed(1006389).violations == []


@pytest.mark.parametrize("seed", [2002624, 2006647])
def test_an_edit_made_behind_the_back_of_a_listing_is_none_that_waited_for_us(seed: int) -> None:
    assert play_seed(seed).violations == []


@pytest.mark.parametrize("seed", [2006491, 2008139])
def test_who_closes_a_write_to_a_record_that_a_merge_took_along_wakes_its_new_pass(seed: int) -> None:
    assert play_seed(seed).violations == []


def test_a_name_s_untouched_part_does_not_tell_that_the_webhook_of_the_other_came() -> None:
    assert play_seed(3000136).violations == []


def test_a_job_run_alone_keeps_no_other_lane_from_work_while_its_own_side_is_away() -> None:
    assert play_seed(2013245).violations == []


def test_what_stands_where_the_owner_s_name_could_not_be_told_is_kept_if_it_was_edited_too() -> None:
    assert play_seed(4012888).violations == []


def test_a_heartbeat_that_ended_a_gap_unacknowledged_leaves_no_jobs_without_an_owner() -> None:
    assert play_seed(4016774).violations == []


def test_a_late_write_is_known_for_one_however_long_the_other_side_was_away() -> None:
    assert play_seed(20010096).violations == []


def test_whose_value_it_is_is_not_asked_for_ever_by_one_lane_for_the_other() -> None:
    assert play_seed(21012007).violations == []


def test_an_edit_a_late_write_buried_is_not_forgotten_when_that_is_put_back() -> None:
    assert play_seed(40003579).violations == []


def test_a_creation_that_cannot_be_linked_is_not_sent_again_for_ever() -> None:
    assert play_seed(70079195).violations == []


def test_a_value_that_a_user_set_once_more_is_not_lost() -> None:
    assert play_seed(70001299).violations == []


def test_a_customer_deleted_before_its_update_failed_is_not_in_doubt_for_ever() -> None:
    assert play_seed(80051848).violations == []


def test_a_listing_that_comes_empty_hides_nothing_from_a_worker_that_looks_for_its_own_record() -> None:
    assert play_seed(90006322).violations == []


def test_a_late_write_is_known_for_one_beside_another_event_of_the_same_second() -> None:
    assert play_seed(110003772).violations == []


def test_the_roll_up_of_a_merged_contact_counts_what_all_its_parts_bought() -> None:
    assert play_seed(110010268).violations == []


def test_a_name_set_while_the_other_side_s_was_cleared_is_the_newer_edit_where_both_were_known_blank() -> None:
    assert play_seed(110008353).violations == []


def test_an_edit_whose_webhook_never_came_may_be_overwritten_unread_by_a_late_write() -> None:
    assert play_seed(120006120).violations == []


def test_a_side_that_came_back_is_not_called_where_no_call_waits() -> None:
    assert play_seed(120057443).violations == []


def test_a_write_whose_answer_was_lost_is_closed_when_the_other_lane_has_to_ask_first() -> None:
    assert play_seed(120065252).violations == []


def test_an_edit_that_met_a_value_the_other_side_had_just_set_back_stands() -> None:
    assert play_seed(140034035).violations == []


def test_a_business_name_of_which_the_property_kept_a_part_counts_as_the_company_that_a_user_replaced() -> None:
    assert play_seed(275005102).violations == []


def test_a_read_of_a_merged_contact_that_could_not_be_used_is_made_again_once_the_survivor_can() -> None:
    assert play_seed(275012622).violations == []


@pytest.mark.parametrize("seed", [275063801, 275064602])
def test_what_waits_for_an_archived_property_or_was_cleared_by_a_person_is_not_lost(seed: int) -> None:
    assert play_seed(seed).violations == []


def test_a_job_that_is_queued_only_now_did_not_wait_for_a_side_that_came_back() -> None:
    assert play_seed(280050791).violations == []


def test_a_part_that_the_property_kept_of_a_creation_and_that_a_user_replaced_was_replaced_knowingly() -> None:
    assert play_seed(280054431).violations == []


def test_a_name_that_a_late_write_filled_and_that_is_a_business_s_by_now_is_taken_back() -> None:
    assert play_seed(280008518).violations == []


def test_a_company_that_was_cleared_before_its_customer_was_given_the_name_of_a_business_is_that_name() -> None:
    assert play_seed(280010935).violations == []


def test_a_business_name_that_a_company_replaced_which_a_user_cleared_stands_nowhere_in_hubspot() -> None:
    names = frozenset({"firm", "filled", "clear", "renamed", "aba"})
    assert play_seed(296000045, also=names).violations == []
