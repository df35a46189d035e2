"""Events are judged under the lock: a value that was overwritten without having been synced becomes a conflict."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, refused
from wanesync.core.errors import Failure
from wanesync.core.model import Event
from wanesync.sync.lost_updates import judge_records

ANN = replace(contact("1", other_id="cus_1", email="ann@example.com", city="Lyon"), modified_ms=10)
CUS = customer("cus_1", other_id="1", email="ann@example.com", city="Lyon")
KEY = "contact:1"


def event(live: LiveSync, key: str, city: str, source: str = "user:1", **facts: object) -> Event:
    made = Event(key, HUBSPOT, "updated", "1", live.clock.ms, {"city": city}, source=source)
    return replace(made, **facts)  # type: ignore[arg-type] # a test names the fields it changes


def judge(live: LiveSync, *events: Event) -> list[str]:
    """Store events, mark them read, judge them; returns the ids of contacts with events that are still unjudged."""

    def put(tx):  # type: ignore[no-untyped-def] # a transaction
        tx.events.put_many(events)
        tx.events.mark_read([one.key for one in events])
        judge_records(live.runtime, tx, {HUBSPOT: {"1": KEY}, STRIPE: {}})
        return list(tx.events.with_unjudged(HUBSPOT, ["1"]))

    return live.store.run(put)


def test_a_value_that_the_record_holds_is_no_conflict(live: LiveSync) -> None:
    live.link(ANN, CUS)
    assert judge(live, event(live, "e1", "Lyon")) == []
    assert live.conflicts() == []


def test_a_value_that_is_gone_and_was_never_superseded_is_a_conflict(live: LiveSync) -> None:
    live.link(ANN, CUS)
    assert judge(live, event(live, "e1", "Nice", source="app:9")) == []
    assert [(kind, field) for kind, field, _ in live.conflicts()] == [("overwritten", "city")]
    assert live.journal() == ["conflict"]


def test_a_value_superseded_by_a_later_user_is_no_conflict(live: LiveSync) -> None:
    live.link(ANN, CUS)
    first = event(live, "e1", "Nice")
    live.advance(1_000)
    assert judge(live, first, event(live, "e2", "Lyon")) == []
    assert live.conflicts() == []


def test_a_record_that_is_not_stored_is_judged_later(live: LiveSync) -> None:
    assert judge(live, event(live, "e1", "Nice")) == ["1"]


def test_events_wait_while_a_write_of_their_key_is_open(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(replace(CUS, values={**CUS.values, "city": "Paris"}))
    live.queue(HUBSPOT, KEY)
    live.hubspot.answer("update_contacts", refused(HUBSPOT, Failure.NO_ANSWER))
    live.work(HUBSPOT)
    assert judge(live, event(live, "e1", "Nice")) == ["1"]


def test_an_app_that_wrote_beside_a_lost_write_is_judged_with_all_that_happened(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(replace(CUS, values={**CUS.values, "city": "Paris"}))
    live.queue(HUBSPOT, KEY)
    live.hubspot.answer("update_contacts", refused(HUBSPOT, Failure.NO_ANSWER))
    live.work(HUBSPOT)
    (pending,) = live.open_writes(KEY)
    live.store.run(lambda tx: tx.pending_writes.mark_others_lost(replace(pending, id="another")))
    assert judge(live, event(live, "e1", "Lyon", source="app:9")) == []
    assert live.conflicts() == []
