"""A creation under a key of ours that nothing here knows: the database was restored or copied."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.support.core_builders import contact
from tests.support.live_sync import STRIPE, LiveSync, created
from tests.support.store_rows import a_create, a_link, an_update
from wanesync.core.ids import make_id
from wanesync.core.jobs import WaitCode
from wanesync.core.model import Event, Record, Side
from wanesync.store.tables.settings import LISTED, PORTAL, RESTORED, UNCONFIRMED, time_stamp_name
from wanesync.sync.intake import store_events
from wanesync.sync.restored import await_confirmation, confirm, end_listing, pull_back_stamps

LISTED_MS = 1_700_000_000_000


def shown(key: str, at_ms: int = LISTED_MS + 5_000) -> Event:
    return Event(f"e-{key}", STRIPE, "created", "cus_9", at_ms, request_key=key)


def prepare(live: LiveSync) -> None:
    with live.store.transaction() as tx:
        tx.settings.put(LISTED, str(LISTED_MS))
        tx.settings.put(PORTAL, "4711")


@pytest.mark.parametrize(
    ("event", "suspected"),
    [
        (shown("wane-c-4711-12-0"), True),
        (shown("wane-c-4711-12-0", LISTED_MS - 60_000), False),
        (shown("wane-c-99-12-0"), False),
        (shown("wane-u-cus_9-x"), False),
        (shown("another-program"), False),
        (shown(""), False),
    ],
)
def test_only_an_unknown_creation_of_ours_since_the_listing_counts(
    live: LiveSync, event: Event, suspected: bool
) -> None:
    prepare(live)
    live.store.run(lambda tx: store_events(tx, [event]))
    with live.store.reading() as tx:
        assert (tx.settings.get(LISTED) is None, tx.settings.get(RESTORED) is not None) == (suspected, suspected)


def test_a_creation_that_is_known_here_counts_for_nothing(live: LiveSync) -> None:
    prepare(live)
    with live.store.transaction() as tx:
        tx.pending_writes.put(replace(a_create("w1", "h1"), idempotency_key="wane-c-4711-12-0"))
    live.store.run(lambda tx: store_events(tx, [shown("wane-c-4711-12-0")]))
    with live.store.reading() as tx:
        assert tx.settings.get(LISTED)


@pytest.mark.parametrize(
    ("at_ms", "linked", "known", "suspected"),
    [
        (LISTED_MS + 5_000, "cus_9", False, True),
        (LISTED_MS - 60_000, "cus_9", False, False),
        (LISTED_MS + 5_000, "cus_1", False, False),
        (LISTED_MS + 5_000, "cus_9", True, False),
    ],
)
def test_an_unknown_update_of_ours_to_a_linked_customer_shows_that_a_copy_runs_elsewhere(
    live: LiveSync, at_ms: int, linked: str, known: bool, suspected: bool
) -> None:
    prepare(live)
    with live.store.transaction() as tx:
        tx.links.put(a_link("k1", "1", linked))
        if known:
            tx.pending_writes.put(replace(an_update("w1"), side=STRIPE, idempotency_key="wane-u-cus_9-w1"))
    live.store.run(lambda tx: store_events(tx, [shown("wane-u-cus_9-w1", at_ms)]))
    with live.store.reading() as tx:
        assert (tx.settings.get(RESTORED) is not None) == suspected


@pytest.mark.parametrize(
    ("made_ms", "known", "stored", "suspected"),
    [
        (LISTED_MS + 5_000, False, False, True),
        (LISTED_MS - 5_000, False, False, False),
        (LISTED_MS + 5_000, True, False, False),
        (LISTED_MS + 5_000, False, True, False),
        (None, False, False, False),
    ],
)
def test_a_contact_of_ours_that_is_unknown_here_shows_that_a_copy_runs_elsewhere(
    live: LiveSync, made_ms: int | None, known: bool, stored: bool, suspected: bool
) -> None:
    prepare(live)
    intent = "of another program" if made_ms is None else make_id(made_ms, random.Random(1))
    found = Record(Side.HUBSPOT, "9", {}, modified_ms=LISTED_MS, intent=intent)
    if known:
        pending = replace(a_create("w1", "h1"), side=Side.HUBSPOT, idempotency_key=intent)
        live.store.run(lambda tx: tx.pending_writes.put(pending))
    if stored:
        live.know(replace(found, intent=""))
    live.know(replace(found, modified_ms=LISTED_MS + 9_000))
    with live.store.reading() as tx:
        assert (tx.settings.get(RESTORED) is not None) == suspected


def test_creations_wait_until_a_catch_up_has_shown_what_this_state_forgot(live: LiveSync) -> None:
    live.know(contact("1", email="ann@example.com"))
    live.store.run(lambda tx: await_confirmation(tx, "no process ran for 2 h"))
    live.queue(STRIPE, "contact:1")
    (job,) = live.work(STRIPE)
    assert (job.waits_for, job.attempts, live.stripe.requests) == (WaitCode.CONFIRMATION, 0, [])
    live.store.run(lambda tx: confirm(tx, tx.now_ms, too_old=False))
    live.stripe.answer("create_customer", created({"email": "ann@example.com"}))
    live.work(STRIPE)
    assert [name for name, _ in live.stripe.requests] == ["create_customer"]


@pytest.mark.parametrize("catch_ups", ["a repair between them", "two in a row"])
def test_a_wait_that_a_wrong_clock_stamped_in_the_future_ends_by_a_catch_up_of_now(
    live: LiveSync, catch_ups: str
) -> None:
    prepare(live)
    with live.store.transaction() as tx:
        tx.settings.put(UNCONFIRMED, f"{tx.now_ms + 86_400_000} no process ran for 2 h")
        tx.settings.put(time_stamp_name(STRIPE), "17")
    live.store.run(pull_back_stamps if "repair" in catch_ups else lambda tx: confirm(tx, tx.now_ms - 1, too_old=False))
    with live.store.reading() as tx:
        # The catch-up that began before counts as too early; the next one is due at once.
        assert tx.settings.get(UNCONFIRMED) == f"{tx.now_ms} no process ran for 2 h"
        assert tx.settings.get(time_stamp_name(STRIPE)) == "0"
    live.store.run(lambda tx: confirm(tx, tx.now_ms, too_old=False))
    with live.store.reading() as tx:
        assert tx.settings.get(UNCONFIRMED) is None


def test_a_suspicion_that_a_wrong_clock_stamped_in_the_future_ends_by_the_next_listing(live: LiveSync) -> None:
    with live.store.transaction() as tx:
        tx.settings.put(RESTORED, f"{tx.now_ms + 86_400_000} a backup")
    live.store.run(pull_back_stamps)
    with live.store.transaction() as tx:
        end_listing(tx, str(tx.now_ms))
        assert tx.settings.get(RESTORED) is None
