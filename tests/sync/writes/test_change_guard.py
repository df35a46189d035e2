"""The change guard in live sync: whom it counts, what it holds back, and what passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.core_builders import FIELDS, contact, customer
from tests.support.live_sync import HUBSPOT, SECOND_MS, STRIPE, LiveSync
from wanesync.core.change_guard import ChangeGuardRule, HeldValue, HoldKind, HoldState
from wanesync.core.jobs import WaitCode
from wanesync.core.model import Change, Event, PendingWrite, Side, WriteKind, WriteResult
from wanesync.core.plan import Action, Plan, PlanContext
from wanesync.sync.writes.change_guard import MAX_SOURCE_EVENT_AGE_MS, find_overwrites, stop_sources

RULE = ChangeGuardRule(max_people=2, window_ms=600 * SECOND_MS, max_direction_changes=4)
IMPORT = "hubspot:IMPORT/12"


@pytest.fixture
def live() -> Iterator[LiveSync]:
    """Live sync that lets one source overwrite two people in ten minutes."""
    made = LiveSync(change_guard=RULE)
    yield made
    made.close()


def edit(live: LiveSync, number: int, side: Side = HUBSPOT, source: str = "user:IMPORT/12", **values: str) -> None:
    """One more linked person, edited on one side; the other side's job is queued."""
    who, old = str(number), {"email": f"p{number}@example.com", "city": "Lyon", "phone": "+33 1"}
    here, there = contact(who, f"cus_{who}", **old), customer(f"cus_{who}", who, **old)
    live.link(here, there)
    edited = replace(here if side is HUBSPOT else there, values={**old, **values}, modified_ms=5)
    live.know(edited)
    if source:
        event = Event(f"e{number}", side, "updated", edited.id, live.clock.ms, values, source=source)
        live.store.run(lambda tx: tx.events.put_many([event]))
    live.queue(side.other, f"contact:{who}")


def written(live: LiveSync, lane: Side = STRIPE) -> int:
    """Prepare the due jobs of a lane; returns how many records are written."""
    return sum(len(call.jobs) for call in live.prepare(live.claim(lane)))


def holds(live: LiveSync) -> list[tuple[str, HoldKind, int]]:
    """Source, kind and number of people of each hold."""
    with live.store.reading() as tx:
        return [(hold.source, hold.kind, hold.people) for hold in tx.holds.all()]


def open_hold(live: LiveSync, source: str, kind: HoldKind = HoldKind.BRAKE) -> str:
    return live.store.run(lambda tx: tx.holds.open(source, kind)[0])


# -- how many people


def test_a_source_that_overwrites_too_many_people_is_stopped_and_its_changes_are_kept(live: LiveSync) -> None:
    for number in range(3):
        edit(live, number, city="Paris")
    assert written(live) == 2
    assert holds(live) == [(IMPORT, HoldKind.BRAKE, 1)]
    assert {"hold opened", "held"} <= set(live.journal())


def test_another_source_passes_while_one_is_stopped(live: LiveSync) -> None:
    for number in range(3):
        edit(live, number, city="Paris")
    written(live)
    edit(live, 7, source="user:CRM_UI/ann", city="Nice")
    assert written(live) == 1


def test_an_import_counts_once_whether_a_user_or_an_app_made_it(live: LiveSync) -> None:
    for number, source in enumerate(["user:IMPORT/12", "app:IMPORT/12", "user:IMPORT/12"]):
        edit(live, number, source=source, city="Paris")
    assert written(live) == 2
    assert holds(live) == [(IMPORT, HoldKind.BRAKE, 1)]


def test_all_that_a_stopped_source_changes_later_is_held_too(live: LiveSync) -> None:
    open_hold(live, IMPORT)
    edit(live, 1, city="Paris")
    assert written(live) == 0
    assert holds(live) == [(IMPORT, HoldKind.BRAKE, 1)]


def test_a_person_who_was_counted_may_be_changed_again(live: LiveSync) -> None:
    live.store.run(lambda tx: tx.holds.record_overwrites(IMPORT, ["link-0-cus_0", "link-9-cus_9"]))
    edit(live, 0, city="Paris")
    edit(live, 1, city="Paris")
    assert written(live) == 1
    assert [write.source_id for write in live.open_writes("contact:0")] == ["0"]
    assert holds(live) == [(IMPORT, HoldKind.BRAKE, 1)]


def test_the_count_starts_again_after_the_window(live: LiveSync) -> None:
    for number in range(2):
        edit(live, number, city="Paris")
    assert written(live) == 2
    live.advance(RULE.window_ms + 1)
    edit(live, 3, city="Paris")
    assert written(live) == 1
    assert holds(live) == []


def test_fields_that_are_not_stopped_are_written_all_the_same(live: LiveSync) -> None:
    open_hold(live, "hubspot:city")
    edit(live, 1, source="", city="Paris", phone="+33 2")
    (call,) = live.prepare(live.claim(STRIPE))
    (write,) = live.open_writes("contact:1")
    assert (len(call.jobs), set(write.changes)) == (1, {"phone"})


def test_clearing_a_value_counts_as_overwriting_it(live: LiveSync) -> None:
    for number in range(3):
        edit(live, number, phone="")
    assert written(live) == 2


def test_filling_a_blank_is_not_counted(live: LiveSync) -> None:
    for number in range(3):
        edit(live, number, company="Acme")
    assert (written(live), holds(live)) == (3, [])


def test_creates_are_not_counted(live: LiveSync) -> None:
    for number in range(3):
        live.know(contact(str(number), email=f"p{number}@example.com", city="Paris"))
        live.queue(STRIPE, f"contact:{number}")
    assert (written(live), holds(live)) == (3, [])


def test_with_writes_off_nothing_is_counted(live: LiveSync) -> None:
    live.store.run(lambda tx: tx.settings.put("writes", "off"))
    for number in range(3):
        edit(live, number, city="Paris")
    assert (written(live), holds(live)) == (0, [])
    with live.store.transaction() as tx:
        assert tx.holds.count(IMPORT, 0, ["link-0-cus_0"]) == (0, set())


# -- which source


@pytest.mark.parametrize(
    "age_ms", [0, MAX_SOURCE_EVENT_AGE_MS + SECOND_MS], ids=["no event", "an event that is too old"]
)
def test_without_a_recent_event_the_source_is_the_side_and_the_field(live: LiveSync, age_ms: int) -> None:
    for number in range(3):
        edit(live, number, source="user:IMPORT/12" if age_ms else "", city="Paris")
    live.advance(age_ms)
    assert written(live) == 2
    assert holds(live) == [("hubspot:city", HoldKind.BRAKE, 1)]


def test_changes_made_in_stripe_count_by_their_field(live: LiveSync) -> None:
    for number in range(3):
        edit(live, number, STRIPE, phone="+33 2")
    assert written(live, HUBSPOT) == 2
    assert holds(live) == [("stripe:phone", HoldKind.BRAKE, 1)]


def test_what_a_reconcile_found_was_checked_by_its_own_guards(live: LiveSync) -> None:
    for number in range(3):
        edit(live, number, source="", city="Paris")
    jobs = [replace(job, run_id="run") for job in live.claim(STRIPE)]
    assert len(live.prepare(jobs)) == 3
    assert holds(live) == []


def test_what_a_reconcile_found_of_a_source_that_events_show_is_counted(live: LiveSync) -> None:
    for number in range(3):
        edit(live, number, city="Paris")
    jobs = [replace(job, run_id="run") for job in live.claim(STRIPE)]
    assert len(live.prepare(jobs)) == 2
    assert holds(live) == [(IMPORT, HoldKind.BRAKE, 1)]


# -- what a hold let go


def test_a_released_value_is_written_and_not_counted_again(live: LiveSync) -> None:
    hold_id = open_hold(live, IMPORT)
    edit(live, 1, city="Paris")
    written(live)
    live.store.run(lambda tx: tx.holds.close(hold_id, HoldState.RELEASED))
    live.queue(STRIPE, "contact:1")
    assert written(live) == 1
    with live.store.transaction() as tx:
        assert tx.holds.count(IMPORT, 0, ["link-1-cus_1"]) == (0, set())


def change(before: str, after: str, source: str) -> dict[str, Change]:
    return {"city": Change(before, after, source)}


@pytest.mark.parametrize(
    ("held", "counted"),
    [
        (None, True),
        (HeldValue(HUBSPOT, "Paris", "Lyon", "h1", HoldState.RELEASED), False),
        (HeldValue(HUBSPOT, "Nice", "Lyon", "h1", HoldState.RELEASED), True),
        (HeldValue(HUBSPOT, "Paris", "Lyon", "h1", HoldState.OPEN), True),
    ],
    ids=["nothing is held", "released", "another value was released", "still held"],
)
def test_only_the_released_value_itself_is_exempt(live: LiveSync, held: HeldValue | None, *, counted: bool) -> None:
    live.queue(STRIPE, "contact:1")
    (job,) = live.claim(STRIPE)
    action = Action(STRIPE, WriteKind.UPDATE, "1", "cus_1", changes=change("Lyon", "Paris", "Paris"), link_id="l1")
    context = PlanContext("contact:1", held={"l1": {"city": held}} if held else {})
    found = find_overwrites([(job, context, Plan(actions={STRIPE: action}))], FIELDS)
    assert [(one.field, one.spot) for one in found] == ([("city", ("l1", "city"))] if counted else [])


@pytest.mark.parametrize("facts", ["late", "wait", "equal", "other lane"])
def test_what_overwrites_nothing_now_is_not_counted(live: LiveSync, facts: str) -> None:
    live.queue(STRIPE, "contact:1")
    (job,) = live.claim(STRIPE)
    before = "Paris" if facts == "equal" else "Lyon"
    action = Action(STRIPE, WriteKind.UPDATE, "1", "cus_1", changes=change(before, "Paris", "Paris"), link_id="l1")
    context = PlanContext("contact:1")
    if facts == "late":
        context.late = frozenset({(STRIPE, "cus_1", "city")})
    plan = Plan(actions={HUBSPOT if facts == "other lane" else STRIPE: action})
    if facts == "wait":
        plan.wait = WaitCode.READ_PENDING
    assert find_overwrites([(job, context, plan)], FIELDS) == []


# -- names of businesses


def rename_business(live: LiveSync, number: int, name: str) -> None:
    """The customer of one more linked person, whose company is the name of a business, gets another name."""
    who, old = str(number), {"email": f"p{number}@example.com"}
    here, there = contact(who, f"cus_{who}", **old, company="Old GmbH"), customer(f"cus_{who}", who, **old)
    there = replace(there, values={**there.values, "name": "Old GmbH"})
    live.link(here, there)
    live.know(replace(there, values={**there.values, "name": name}))
    live.queue(HUBSPOT, f"contact:{who}")


def planned_changes(live: LiveSync, number: int) -> dict[str, str]:
    return {n: c.after for write in live.open_writes(f"contact:{number}") for n, c in write.changes.items()}


def test_a_business_name_whose_company_is_held_waits_and_goes_there_once_released(live: LiveSync) -> None:
    for number in range(3):
        rename_business(live, number, "NEW GMBH")
    assert written(live, HUBSPOT) == 2
    assert [planned_changes(live, number) for number in range(3)].count({"company": "NEW GMBH"}) == 2
    assert holds(live) == [("stripe:company", HoldKind.BRAKE, 1)]
    (held,) = [number for number in range(3) if not live.open_writes(f"contact:{number}")]
    with live.store.reading() as tx:
        (hold,) = tx.holds.all()
        held_of = tx.holds.of_links([f"link-{held}-cus_{held}"])[f"link-{held}-cus_{held}"]
    assert held_of == {"name": HeldValue(STRIPE, "NEW GMBH", "", hold.id)}
    live.queue(HUBSPOT, f"contact:{held}")
    assert (written(live, HUBSPOT), len(holds(live))) == (0, 1)
    live.store.run(lambda tx: tx.holds.close(hold.id, HoldState.RELEASED))
    live.queue(HUBSPOT, f"contact:{held}")
    assert written(live, HUBSPOT) == 1
    assert planned_changes(live, held) == {"company": "NEW GMBH"}


# -- update loops


def write_to_and_fro(live: LiveSync, times: int) -> None:
    """The city of person 1 was written so often, to one side and the other in turn."""
    for number in range(times):
        side = (STRIPE, HUBSPOT)[number % 2]
        target = "cus_1" if side is STRIPE else "1"
        source = "1" if side is STRIPE else "cus_1"
        values = ("PARIS", "Paris") if number % 2 else ("Paris", "PARIS")
        pending = PendingWrite(
            live.runtime.new_id(live.clock.ms),
            side,
            WriteKind.UPDATE,
            "contact:1",
            source,
            target,
            f"key-{number}",
            "{}",
            change(*values, values[1]),
            link_id="link-1-cus_1",
        )

        with live.store.transaction() as tx:
            tx.pending_writes.put(pending)
            tx.pending_writes.mark_sent(pending.id)
            tx.pending_writes.record_result(pending.id, WriteResult.OK)
        live.advance(SECOND_MS)


def test_a_field_that_is_written_to_and_fro_is_held_as_an_update_loop(live: LiveSync) -> None:
    edit(live, 1, city="Paris", phone="+33 2")
    write_to_and_fro(live, RULE.max_direction_changes + 2)
    assert written(live) == 1
    (write,) = live.open_writes("contact:1")
    assert set(write.changes) == {"phone"}
    assert holds(live) == [("loop:city", HoldKind.LOOP, 1)]


def test_another_person_whose_field_is_in_the_same_loop_joins_its_hold(live: LiveSync) -> None:
    hold_id = open_hold(live, "loop:city", HoldKind.LOOP)
    edit(live, 1, city="Paris")
    write_to_and_fro(live, RULE.max_direction_changes + 2)
    assert written(live) == 0
    with live.store.reading() as tx:
        assert [(hold.id, hold.people) for hold in tx.holds.all()] == [(hold_id, 1)]


def test_a_field_that_was_written_often_but_not_in_a_loop_is_written(live: LiveSync) -> None:
    edit(live, 1, phone="+33 2")
    write_to_and_fro(live, RULE.max_direction_changes + 2)
    assert (written(live), holds(live)) == (1, [])


def test_a_few_changes_of_direction_are_no_loop(live: LiveSync) -> None:
    edit(live, 1, city="Paris")
    write_to_and_fro(live, RULE.max_direction_changes)
    assert (written(live), holds(live)) == (1, [])


def test_changes_of_direction_from_long_ago_are_no_loop(live: LiveSync) -> None:
    edit(live, 1, city="Paris")
    write_to_and_fro(live, RULE.max_direction_changes + 2)
    live.advance(RULE.window_ms)
    assert (written(live), holds(live)) == (1, [])


def test_a_contact_that_is_not_known_gives_the_field_as_source(live: LiveSync) -> None:
    live.queue(STRIPE, "contact:1")
    (job,) = live.claim(STRIPE)
    action = Action(STRIPE, WriteKind.UPDATE, "1", "cus_1", changes=change("Lyon", "Paris", "Paris"), link_id="l1")
    context = PlanContext("contact:1")
    open_hold(live, "hubspot:city")
    overwrites = find_overwrites([(job, context, Plan(actions={STRIPE: action}))], FIELDS)
    assert live.store.run(lambda tx: stop_sources(live.runtime, tx, overwrites)) == {job.id}
    assert set(context.stopped) == {("l1", "city")}
