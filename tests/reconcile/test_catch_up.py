"""Catch-up stores Stripe's events and queues reads of contacts that changed, from a cursor with an overlap."""

from __future__ import annotations

import json

import pytest

from tests.support.core_builders import stored
from tests.support.reconcile_harness import OpenPacer, Sides, make_runtime
from tests.support.store_fixtures import Clock
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Event, Side
from wanesync.core.ports import EventPage
from wanesync.reconcile.catch_up import OVERLAP_MS, STRIPE_HISTORY_MS, CatchUp, pull_back_cursors
from wanesync.reconcile.missed_count import read_missed
from wanesync.store.database import Store
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.store.tables.settings import CURSORS
from wanesync.sync.loader import LISTED

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


@pytest.fixture
def sides(store: Store) -> Sides:
    return Sides(store.now_ms())


@pytest.fixture
def catch_up(store: Store, sides: Sides) -> CatchUp:
    return CatchUp(make_runtime(store, sides), {side: OpenPacer() for side in Side})  # type: ignore[misc] # as far as it is used


def cursor_ms(store: Store, side: Side) -> int:
    with store.reading() as tx:
        return int(tx.settings.get(CURSORS[side]) or 0)


def test_cursors_are_set_before_the_first_listing_and_then_stay(store: Store, catch_up: CatchUp) -> None:
    store.run(lambda tx: tx.settings.put(CURSORS[STRIPE], "5"))
    catch_up.mark_start()
    assert cursor_ms(store, STRIPE) == 5
    assert cursor_ms(store, HUBSPOT) > 5


@pytest.mark.parametrize("setting", ["", LISTED, f"{CURSORS[STRIPE]}_before"])
def test_a_cursor_that_a_wrong_clock_set_is_replaced_before_that_time_comes(
    store: Store, catch_up: CatchUp, clock: Clock, setting: str
) -> None:
    """Before anything was listed and caught up by now, else by what counts instead."""
    clock.advance(86_400_000)
    catch_up.mark_start()
    clock.advance(-86_400_000)
    known_ms = store.now_ms() - 60_000
    if setting:
        store.run(lambda tx: tx.settings.put(setting, str(known_ms)))
    catch_up.mark_start()
    assert cursor_ms(store, STRIPE) == (known_ms if setting else store.now_ms())
    clock.advance(60_000)
    store.run(pull_back_cursors)
    assert cursor_ms(store, STRIPE) == (known_ms if setting else store.now_ms() - 60_000), "it stays then"


def test_events_since_the_cursor_are_stored_once(store: Store, sides: Sides, catch_up: CatchUp) -> None:
    sides.events = [
        Event("new", STRIPE, "updated", "cus_1", sides.now_ms),
        Event("overlap", STRIPE, "updated", "cus_2", sides.now_ms - OVERLAP_MS + 2000),
        Event("old", STRIPE, "updated", "cus_3", sides.now_ms - OVERLAP_MS - 2000),
    ]
    store.run(lambda tx: tx.settings.put(CURSORS[STRIPE], str(sides.now_ms)))
    assert catch_up.run(STRIPE).changed == 2
    assert cursor_ms(store, STRIPE) >= sides.now_ms
    assert catch_up.run(STRIPE).changed == 0


def test_a_catch_up_whose_pages_lead_back_ends(store: Store, sides: Sides, catch_up: CatchUp) -> None:
    steps = {"": "b", "b": "c", "c": "b"}
    asked: list[str] = []

    def list_events(_since_s: int, after: str) -> EventPage:
        asked.append(after)
        assert len(asked) < 20, "the catch-up does not end"
        return EventPage([], [], steps[after])

    sides.list_events = list_events  # type: ignore[assignment,method-assign] # a circle
    with pytest.raises(CallError, match="leads back"):
        catch_up.run(STRIPE)
    assert asked == ["", "b", "c"]


def test_new_events_in_an_unknown_version_are_counted_once(store: Store, sides: Sides, catch_up: CatchUp) -> None:
    event = Event("new", STRIPE, "updated", "cus_1", sides.now_ms)

    def list_events(_since_s: int, _after: str) -> EventPage:
        return EventPage([event], [], "", reread=1)

    sides.list_events = list_events  # type: ignore[assignment,method-assign] # the account has an old version
    for _ in range(2):
        catch_up.run(STRIPE)
    with store.reading() as tx:
        counts = {(count.side, count.outcome): count.kept for count in tx.webhook_counts.sum(60_000)}
    assert counts == {(STRIPE, Outcome.REREAD): 1}


def test_events_that_no_webhook_brought_in_minutes_are_counted_until_none_is_missed(
    store: Store, sides: Sides, catch_up: CatchUp
) -> None:
    known = Event("known", STRIPE, "updated", "cus_1", sides.now_ms - 200_000)
    store.run(lambda tx: tx.events.put_many([known]))
    sides.events = [
        Event("just now", STRIPE, "updated", "cus_2", sides.now_ms - 60_000),
        Event("missed", STRIPE, "updated", "cus_3", sides.now_ms - 180_000),
        known,
    ]
    for missed in (1, 0):
        assert catch_up.run(STRIPE).missed == missed
        with store.reading() as tx:
            count = read_missed(tx, STRIPE)
            assert read_missed(tx, HUBSPOT) is None
        assert count is not None
        assert count.records == missed


def test_contacts_that_changed_are_queued_for_a_read(store: Store, sides: Sides, catch_up: CatchUp) -> None:
    for number in range(1, 4):
        sides.add_contact(str(number), email=f"{number}@example.com")
    result = catch_up.run(HUBSPOT)
    assert (result.changed, result.requests) == (3, 1)
    with store.reading() as tx:
        assert {(row["lane"], row["kind"], row["ready"]) for row in tx.jobs.depth()} == {("hubspot", "read", 3)}


def test_a_hit_that_does_not_show_when_it_changed_is_read(store: Store, sides: Sides, catch_up: CatchUp) -> None:
    sides.add_contact("1", email="1@example.com")
    with store.transaction() as tx:
        tx.records.put_many([stored(sides.contacts["1"])])
    sides.search_modified = lambda since_ms, above_id: [("1", 0)]  # type: ignore[method-assign] # noqa: ARG005 - in place of the answer
    assert catch_up.run(HUBSPOT).changed == 1


def test_a_full_page_of_search_results_is_followed_by_the_next(sides: Sides, catch_up: CatchUp) -> None:
    for number in range(1, 302):
        sides.add_contact(str(number), email=f"{number}@example.com")
    result = catch_up.run(HUBSPOT)
    assert (result.changed, result.requests) == (301, 2)


def test_a_cursor_beyond_stripes_history_is_reported(store: Store, sides: Sides, catch_up: CatchUp) -> None:
    store.run(lambda tx: tx.settings.put(CURSORS[STRIPE], str(sides.now_ms - STRIPE_HISTORY_MS)))
    assert catch_up.run(STRIPE).too_old
    assert not catch_up.run(STRIPE).too_old


def test_a_failure_leaves_the_cursor(store: Store, sides: Sides, catch_up: CatchUp) -> None:
    store.run(lambda tx: tx.settings.put(CURSORS[STRIPE], "5"))

    def fail(_since_s: int, _after: str) -> None:
        raise CallError(STRIPE, Failure.UNREACHED, "no answer")

    sides.list_events = fail  # type: ignore[method-assign, assignment] # in place of the answer
    with pytest.raises(CallError):
        catch_up.run(STRIPE)
    assert cursor_ms(store, STRIPE) == 5


def test_a_catch_up_that_ended_half_way_goes_on_behind_its_last_page(
    store: Store, sides: Sides, catch_up: CatchUp
) -> None:
    """All pages were kept in memory until the last one was there."""
    for number in range(1, 602):
        sides.add_contact(str(number), email=f"{number}@example.com")
    search, pages = sides.search_modified, list[str]()

    def search_twice(since_ms: int, above_id: str) -> object:
        pages.append(above_id)
        if len(pages) == 3:
            raise CallError(HUBSPOT, Failure.UNREACHED, "no answer")
        return search(since_ms, above_id)

    sides.search_modified = search_twice  # type: ignore[method-assign, assignment] # in place of the answer
    before = cursor_ms(store, HUBSPOT)
    with pytest.raises(CallError):
        catch_up.run(HUBSPOT)
    with store.reading() as tx:
        assert sum(row["ready"] for row in tx.jobs.depth()) == 400
    assert cursor_ms(store, HUBSPOT) == before
    catch_up.run(HUBSPOT)
    assert pages[2] == pages[3] != ""
    with store.reading() as tx:
        assert sum(row["ready"] for row in tx.jobs.depth()) == 601


def test_a_page_that_is_not_listed_any_more_is_not_gone_on_from(store: Store, sides: Sides, catch_up: CatchUp) -> None:
    progress = {"since_ms": 0, "until_ms": 1, "after": "evt_gone"}
    store.run(lambda tx: tx.settings.put("catch_up_progress_stripe", json.dumps(progress)))
    listed = sides.list_events

    def list_some(since_s: int, after: str) -> object:
        if after == "evt_gone":
            raise CallError(STRIPE, Failure.NOT_FOUND, "No such event")
        return listed(since_s, after)

    sides.list_events = list_some  # type: ignore[method-assign, assignment] # in place of the answer
    assert catch_up.run(STRIPE).requests == 1


def test_a_cursor_in_the_future_is_not_believed(store: Store, sides: Sides, catch_up: CatchUp) -> None:
    sides.events = [Event("missed", STRIPE, "updated", "cus_1", sides.now_ms - 3_600_000)]
    store.run(lambda tx: tx.settings.put(CURSORS[STRIPE], str(sides.now_ms + 3_600_000)))
    assert catch_up.run(STRIPE).changed == 1


@pytest.mark.case(50)
def test_a_cursor_that_a_wrong_clock_set_skips_nothing(
    store: Store, sides: Sides, catch_up: CatchUp, clock: Clock
) -> None:
    begun_ms = store.now_ms()
    sides.events = [Event("missed", STRIPE, "updated", "cus_1", begun_ms + 60_000)]
    store.run(lambda tx: tx.settings.put(CURSORS[STRIPE], str(begun_ms)))
    clock.advance(3_600_000)
    sides.events, missed = [], sides.events
    catch_up.run(STRIPE)
    clock.advance(600_000 - 3_600_000)
    sides.events = missed
    assert catch_up.run(STRIPE).changed == 1
    assert cursor_ms(store, STRIPE) == begun_ms + 600_000


def test_without_any_cursor_to_believe_the_whole_history_is_listed(
    store: Store, sides: Sides, catch_up: CatchUp, clock: Clock
) -> None:
    sides.events = [Event("missed", STRIPE, "updated", "cus_1", store.now_ms() - 86_400_000)]
    for name in (CURSORS[STRIPE], f"{CURSORS[STRIPE]}_before"):
        store.run(lambda tx, name=name: tx.settings.put(name, str(tx.now_ms + 3_600_000)))  # type: ignore[misc] # binds the loop's value
    assert catch_up.run(STRIPE).changed == 1


def test_an_event_that_the_database_does_not_take_does_not_stop_a_catch_up(
    store: Store, sides: Sides, catch_up: CatchUp
) -> None:
    sides.events = [
        Event(
            f"e{number}", STRIPE, "updated", f"cus_{number}", sides.now_ms, {"city": "\ud83d" if number == 2 else "x"}
        )
        for number in range(5)
    ]
    assert catch_up.run(STRIPE).changed == 4
    with store.reading() as tx:
        assert tx.rejected.count() == 1
