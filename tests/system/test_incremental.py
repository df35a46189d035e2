"""What webhooks missed is read and counted, and nothing else is: with a worker, its webhooks, and real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from tests.support.stage import Stage
from wanesync.adapters.http_answers import MAX_SKEW_MS
from wanesync.core.errors import GuardError
from wanesync.core.model import Side
from wanesync.reconcile.changed_since import Changes, ChangesReader
from wanesync.reconcile.page_store import PageStore
from wanesync.reconcile.requests import Requests
from wanesync.reconcile.snapshot.file import MEMORY, Snapshot
from wanesync.sandbox.faults import Faults

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
DAY_MS = 86_400_000
LISTED = 2
"""One page of Stripe's events, one search."""
_numbers = count(1)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("incremental")
    with Stage(f"sqlite:{folder / 'wanesync.db'}", folder) as made:
        made.sandbox.hubspot.portal.search_index.lag_ms = 0
        made.live()
        yield made


@pytest.fixture
def pair(stage: Stage) -> tuple[str, str]:
    """A contact and a customer that are linked and in sync, with nothing under way."""
    hear(stage)
    email = f"person{next(_numbers)}@example.com"
    contact_id = stage.edit(HUBSPOT, "create", email=email, firstname="Ana", lastname="Silva", city="Lyon")
    stage.until(lambda: stage.customer(email), "the contact arrives")
    stage.rest()
    return contact_id, stage.customer(email)["id"]


def hear(stage: Stage) -> None:
    """Webhooks arrive again."""
    for machine in stage.sandbox.machines.values():
        machine.set_faults(Faults())


def deafen(stage: Stage, side: Side) -> None:
    """No webhook of a side arrives from now on."""
    stage.sandbox.machines[side].set_faults(Faults(drop=1.0))


def now_ms(stage: Stage) -> int:
    """A moment in whose second nothing has happened yet: Stripe's times are whole seconds."""
    began_s = stage.store.now_ms() // 1000
    stage.until(lambda: stage.store.now_ms() // 1000 > began_s, "the next second")
    return stage.store.now_ms()


def incremental(stage: Stage, most: int | None = None) -> tuple[ChangesReader, Snapshot]:
    snapshot = Snapshot.resume(MEMORY, stage.store.encryption, {}, 0)
    page_store = PageStore(stage.runtime, snapshot)
    return ChangesReader(
        stage.runtime, stage.runtime.pacers, page_store, snapshot, Requests(most), grace_ms=0
    ), snapshot


def gather(stage: Stage, since_ms: int) -> Changes:
    return incremental(stage)[0].run(since_ms, _ignore)


def _ignore(_side: Side, _read: int) -> None:
    """No progress is shown."""


def names(found: Changes) -> dict[str, set[str]]:
    return {str(side): set(found.losses.missed(side)) for side in Side}


def unsubscribed(found: Changes) -> set[str]:
    return {name for _, name, *_, verdict in found.losses.rows() if verdict}


def requests(stage: Stage) -> int:
    return sum(int(str(counts["requests"])) for counts in stage.sandbox.stats().values())


def test_where_nothing_was_missed_nothing_is_read(stage: Stage, pair: tuple[str, str]) -> None:
    since_ms = now_ms(stage)
    stage.edit(HUBSPOT, "update", pair[0], city="Leeds", firstname="Anna")
    stage.edit(STRIPE, "update", pair[1], phone="+12025550123")
    stage.until(lambda: stage.row(HUBSPOT, pair[0]).get("phone") == "+12025550123", "both edits arrive")
    stage.until(lambda: stage.row(STRIPE, pair[1]).get("address.city") == "Leeds", "both edits arrive")
    stage.rest()
    before = requests(stage)
    found = gather(stage, since_ms)
    assert (found.requests, requests(stage) - before) == (LISTED, LISTED)
    assert found.losses.rows() == []
    assert (
        found.losses.counters[STRIPE, "phone"].reported
        == found.losses.counters[STRIPE, "customer.updated"].reported
        == 1
    )
    assert found.changed == {HUBSPOT: {pair[0]}, STRIPE: {pair[1]}}, "echoes of our own writes among them"
    assert (found.deleted_stored, found.read, found.too_old) == ([], {HUBSPOT: 0, STRIPE: 0}, False)


def test_an_own_write_whose_echo_is_lost_is_no_loss(stage: Stage, pair: tuple[str, str]) -> None:
    since_ms = now_ms(stage)
    deafen(stage, STRIPE)
    stage.edit(HUBSPOT, "update", pair[0], city="Oslo")
    stage.until(lambda: stage.row(STRIPE, pair[1]).get("address.city") == "Oslo", "the edit arrives")
    stage.rest()
    found = gather(stage, since_ms)
    assert (found.requests, found.losses.rows()) == (LISTED, [])


def test_a_property_that_is_not_subscribed_is_named_and_no_other(stage: Stage, pair: tuple[str, str]) -> None:
    since_ms = now_ms(stage)
    hooks = stage.sandbox.hubspot.portal.webhooks
    everything = hooks._settings
    try:
        with stage.sandbox.lock:
            hooks._settings = replace(everything, subscribed=frozenset({"phone", "firstname", "lastname"}))
        stage.edit(HUBSPOT, "update", pair[0], firstname="Eva", phone="+12025550177")
        stage.until(lambda: stage.row(STRIPE, pair[1]).get("phone") == "+12025550177", "what is subscribed arrives")
        stage.rest()
        stage.edit(HUBSPOT, "update", pair[0], city="Leeds", zip="LS1")
        deafen(stage, HUBSPOT)
        stage.edit(HUBSPOT, "update", pair[0], phone="+12025550188")
    finally:
        with stage.sandbox.lock:
            hooks._settings = everything
    found = gather(stage, since_ms)
    assert names(found) == {"hubspot": {"city", "zip", "phone"}, "stripe": set()}
    assert unsubscribed(found) == {"city", "zip"}
    assert ("hubspot", "phone", 2, 1, "") in found.losses.rows()
    assert (found.requests, found.read) == (LISTED + 1, {HUBSPOT: 1, STRIPE: 0})


def test_what_was_read_stays_in_the_snapshot_and_is_not_read_twice(stage: Stage, pair: tuple[str, str]) -> None:
    since_ms = now_ms(stage)
    for side in Side:
        deafen(stage, side)
    stage.edit(HUBSPOT, "update", pair[0], city="Leeds")
    stage.edit(STRIPE, "update", pair[1], phone="+12025550123")
    born = stage.edit(HUBSPOT, "create", email=f"born{since_ms}@example.com")
    made = stage.edit(STRIPE, "create", email=f"made{since_ms}@example.com")
    rounds, snapshot = incremental(stage)
    seen: list[tuple[Side, int]] = []
    found = rounds.run(since_ms, lambda side, read: seen.append((side, read)))
    assert names(found) == {
        "hubspot": {"city", "contact.creation"},
        "stripe": {"phone", "customer.updated", "customer.created"},
    }
    assert unsubscribed(found) == {"city", "contact.creation", "customer.updated", "customer.created"}
    assert found.changed == {HUBSPOT: {pair[0], born}, STRIPE: {pair[1], made}}
    assert (found.requests, seen) == (LISTED + 1 + 2, [(HUBSPOT, 2), (STRIPE, 2)])
    contacts, customers = (snapshot.changed_after(side, "", 10) for side in Side)
    assert (contacts[pair[0]].record.values["city"], set(contacts)) == ("Leeds", {pair[0], born})
    assert (customers[pair[1]].record.values["phone"], set(customers)) == ("+12025550123", {pair[1], made})
    with stage.store.reading() as tx:
        kept = tx.records.get_many([(HUBSPOT, pair[0]), (STRIPE, pair[1]), (HUBSPOT, born), (STRIPE, made)])
    assert {ref[1] for ref in kept} == set(pair), "the database learns nothing of what a dry run read"
    assert kept[HUBSPOT, pair[0]].record.values["city"] == "Lyon"
    again = rounds.run(since_ms, _ignore)
    assert again.read[HUBSPOT] == 0, "its modification date tells that the snapshot has it"


def test_a_copy_is_read_anew_when_a_worker_learned_more_since(stage: Stage, pair: tuple[str, str]) -> None:
    since_ms = now_ms(stage)
    deafen(stage, STRIPE)
    stage.edit(STRIPE, "update", pair[1], phone="+12025550123")
    settled_ms = stage.store.now_ms() + 2_000 + MAX_SKEW_MS  # from then on an answer is surely younger than the event
    stage.until(lambda: stage.store.now_ms() > settled_ms, "the edit's second is over for every clock")
    rounds, snapshot = incremental(stage)
    assert rounds.run(since_ms, _ignore).read[STRIPE] == 1
    assert rounds.run(since_ms, _ignore).read[STRIPE] == 0, "the snapshot has it"
    hear(stage)
    stage.edit(STRIPE, "update", pair[1], phone="+12025550188")
    stage.until(lambda: stage.row(HUBSPOT, pair[0]).get("phone") == "+12025550188", "the second edit arrives")
    stage.rest()
    found = rounds.run(since_ms, _ignore)
    assert (found.read[STRIPE], snapshot.changed_after(STRIPE, "", 10)) == (1, {})
    assert found.losses.rows() == []


def test_a_deletion_is_known_by_its_event(stage: Stage, pair: tuple[str, str]) -> None:
    since_ms = now_ms(stage)
    deafen(stage, STRIPE)
    stage.edit(STRIPE, "update", pair[1], phone="+12025550123")
    stage.edit(STRIPE, "delete", pair[1])
    passing = stage.edit(STRIPE, "create", email=f"passing{since_ms}@example.com")
    stage.edit(STRIPE, "delete", passing)
    found = gather(stage, since_ms)
    assert found.deleted_stored == [(STRIPE, pair[1])]
    assert names(found) == {"hubspot": set(), "stripe": {"customer.deleted"}}
    assert (found.requests, found.changed[STRIPE]) == (LISTED, set()), "nothing has to be read for it"


def test_a_merge_brings_the_survivor(stage: Stage, pair: tuple[str, str]) -> None:
    other = stage.edit(HUBSPOT, "create", email=f"other{pair[0]}@example.com")
    stage.until(lambda: stage.customer(f"other{pair[0]}@example.com"), "the other one arrives")
    stage.rest()
    since_ms = now_ms(stage)
    deafen(stage, HUBSPOT)
    survivor = stage.edit(HUBSPOT, "merge", None, **{"into": pair[0], "from": other})
    found = gather(stage, since_ms)
    assert found.changed[HUBSPOT] == {survivor}
    assert (names(found)["hubspot"], found.deleted_stored) == ({"contact.merge"}, [])


def test_what_is_young_is_read_and_not_counted(stage: Stage, pair: tuple[str, str]) -> None:
    since_ms = now_ms(stage)
    for side in Side:
        deafen(stage, side)
    stage.edit(HUBSPOT, "update", pair[0], city="Leeds")
    stage.edit(STRIPE, "update", pair[1], phone="+12025550123")
    rounds = replace(incremental(stage)[0], grace_ms=120_000, readers=1)
    found = rounds.run(since_ms, _ignore)
    assert (found.read, found.losses.rows()) == ({HUBSPOT: 1, STRIPE: 1}, [])


def test_many_are_read_page_by_page_and_again_on_trouble_that_passes(stage: Stage) -> None:
    since_ms = now_ms(stage)
    deafen(stage, HUBSPOT)
    stage.sandbox.machines[STRIPE].set_faults(Faults(drop=1.0, error_503=0.05))
    contacts = {stage.edit(HUBSPOT, "create", email=f"c{n}.{since_ms}@example.com") for n in range(230)}
    customers = {stage.edit(STRIPE, "create", email=f"s{n}.{since_ms}@example.com") for n in range(120)}
    rounds, snapshot = incremental(stage)
    found = rounds.run(since_ms, _ignore)
    assert found.changed == {HUBSPOT: contacts, STRIPE: customers}
    assert found.losses.records == {HUBSPOT: 230, STRIPE: 120}
    assert {side: len(snapshot.changed_after(side, "", 1000)) for side in Side} == {HUBSPOT: 230, STRIPE: 120}
    pages = 2 + 2 + 3  # of events, of hits, of contacts read
    assert pages + 120 < found.requests < pages + 150, "a few of the customers were asked for again"


def test_requests_are_foreseen_and_refused(stage: Stage, pair: tuple[str, str]) -> None:
    since_ms = now_ms(stage)
    for side in Side:
        deafen(stage, side)
    stage.edit(HUBSPOT, "update", pair[0], city="Leeds")
    stage.edit(STRIPE, "update", pair[1], phone="+12025550123")
    rounds, snapshot = incremental(stage, most=LISTED + 1)
    before = requests(stage)
    with pytest.raises(GuardError, match=r"4 requests or more are needed, 2 of them were made.*nothing was written"):
        rounds.run(since_ms, _ignore)
    assert requests(stage) - before == LISTED
    assert not any(snapshot.changed_after(side, "", 1) for side in Side)
    assert incremental(stage, most=LISTED + 2)[0].run(since_ms, _ignore).requests == LISTED + 2


def test_beyond_stripes_history_nothing_is_asked(stage: Stage) -> None:
    before = requests(stage)
    found = gather(stage, stage.store.now_ms() - 30 * DAY_MS)
    assert (found.too_old, found.requests, requests(stage) - before) == (True, 0, 0)
    assert not gather(stage, stage.store.now_ms() - 29 * DAY_MS).too_old
