"""Intake: a POST is stored as a whole or not at all, and several share a commit."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from tests.support.core_builders import FIELDS
from tests.support.live_sync import HUBSPOT, LiveSync
from wanesync.core.errors import DatabaseUnavailable, FieldMapChanged
from wanesync.core.fields import FieldMap
from wanesync.core.jobs import JobKind
from wanesync.core.model import Event
from wanesync.core.operating.tracing import NoTracing
from wanesync.core.ports import ParsedWebhook
from wanesync.core.posts import Post
from wanesync.core.purchases import Purchase
from wanesync.ops.field_map import MapClaim, claim_field_map
from wanesync.sync.group_commit import MAX_SHARED_WEIGHT
from wanesync.sync.intake import Intake, store_events


@dataclass
class Webhooks:
    """Parses a body to what the test said; the signature ``bad`` is refused."""

    parsed: dict[bytes, ParsedWebhook]

    def verify(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> None:
        if headers.get("signature") == "bad":
            raise ValueError("bad signature")

    def is_signed(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> bool:
        return headers.get("signature") != "bad"

    def parse(self, body: bytes, now_ms: int) -> ParsedWebhook:
        return self.parsed[body]


def event(key: str, record_id: str = "1") -> Event:
    return Event(key, HUBSPOT, "updated", record_id, 1, {"city": "Paris"}, source="user:1")


def intake(live: LiveSync, **parsed: ParsedWebhook) -> Intake:
    return Intake(live.store, {HUBSPOT: Webhooks({name.encode(): one for name, one in parsed.items()})})


def test_new_events_are_stored_and_their_records_queued(live: LiveSync) -> None:
    doors = intake(live, a=ParsedWebhook([event("e1"), event("e2", "2")]))
    assert doors.accept(HUBSPOT, b"a", {}, "/hook") == 2
    assert doors.accept(HUBSPOT, b"a", {}, "/hook") == 0
    assert live.is_queued(HUBSPOT, "1", JobKind.READ)
    assert live.is_queued(HUBSPOT, "2", JobKind.READ)


def test_a_payment_and_an_element_that_was_set_aside_are_stored(live: LiveSync) -> None:
    payment = Purchase("pi_1", "ch_1", "", "a@example.com", "", 500, "eur", 1)
    doors = intake(live, a=ParsedWebhook((), [payment, payment], [(b"{}", "no id")]))
    assert doors.accept(HUBSPOT, b"a", {}, "/hook") == 0
    with live.store.reading() as tx:
        assert tx.purchases.get_many(["pi_1"])["pi_1"].hmac == live.store.hmac("a@example.com")
        assert tx.rejected.count() == 1
    assert live.is_queued(HUBSPOT, "pi_1", JobKind.PURCHASE)


def test_elements_that_are_dropped_or_cost_a_read_are_counted(live: LiveSync) -> None:
    counted: list[tuple[str, str, int]] = []
    doors = intake(live, a=ParsedWebhook([event("e1")], foreign=2, ignored=3, reread=1))
    doors.count = lambda side, outcome, number: counted.append((side, outcome, number))
    doors.accept(HUBSPOT, b"a", {}, "/hook")
    assert counted == [("hubspot", "foreign", 2), ("hubspot", "ignored", 3), ("hubspot", "reread", 1)]


def test_a_bad_signature_stores_nothing(live: LiveSync) -> None:
    with pytest.raises(ValueError, match="bad signature"):
        intake(live, a=ParsedWebhook([event("e1")])).accept(HUBSPOT, b"a", {"signature": "bad"}, "/hook")
    assert not live.is_queued(HUBSPOT, "1", JobKind.READ)


def test_a_post_that_cannot_be_stored_does_not_take_others_with_it(
    live: LiveSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors = intake(live, a=ParsedWebhook([event("e1")]), b=ParsedWebhook([event("e2", "2")]))

    def fail_one(tx: object, events: list[Event], bulk_sources: object = None) -> set[str]:
        if events[0].key == "e1":
            raise ValueError("no room")
        return store_events(tx, events)  # type: ignore[arg-type] # a transaction

    monkeypatch.setattr("wanesync.sync.intake.store_events", fail_one)
    with pytest.raises(ValueError, match="no room"):
        doors.accept(HUBSPOT, b"a", {}, "/hook")
    assert doors.accept(HUBSPOT, b"b", {}, "/hook") == 1


def test_a_database_that_is_down_is_the_outcome_of_every_post(live: LiveSync, monkeypatch: pytest.MonkeyPatch) -> None:
    doors = intake(live, a=ParsedWebhook([event("e1")]))

    def down(*_arguments: object) -> int:
        raise DatabaseUnavailable("down")

    monkeypatch.setattr("wanesync.sync.intake.store_events", down)
    with pytest.raises(DatabaseUnavailable):
        doors.accept(HUBSPOT, b"a", {}, "/hook")


def test_a_post_larger_than_a_shared_commit_is_stored_alone(live: LiveSync) -> None:
    many = [event(f"e{n}", str(n)) for n in range(MAX_SHARED_WEIGHT + 1)]
    assert intake(live, a=ParsedWebhook(many)).accept(HUBSPOT, b"a", {}, "/hook") == len(many)


def test_posts_of_one_commit_share_their_statements_and_an_event_counts_once(live: LiveSync) -> None:
    doors = intake(live, a=ParsedWebhook([event("a"), event("both", "2")]), b=ParsedWebhook([event("both", "2")]))
    settled, done = list[Sequence[Post]](), threading.Event()

    def settle(posts: Sequence[Post]) -> None:
        settled.append(posts)
        done.set()

    posts = [post for name in (b"a", b"b") if (post := doors.prepare(HUBSPOT, name, {}, "/hook", settle))]
    doors.store_prepared(posts)
    assert done.wait(10)
    assert settled == [posts]
    assert [(post.new, post.error) for post in posts] == [(2, None), (0, None)]


def test_a_post_that_is_not_signed_by_a_known_secret_or_is_traced_is_handled_in_a_thread(live: LiveSync) -> None:
    doors = intake(live, a=ParsedWebhook([event("a")]))
    assert doors.prepare(HUBSPOT, b"a", {"signature": "bad"}, "/hook", lambda _posts: None) is None
    doors.tracing = NoTracing(is_on=True)
    assert doors.prepare(HUBSPOT, b"a", {}, "/hook", lambda _posts: None) is None


def test_no_events_are_nothing(live: LiveSync) -> None:
    assert live.store.run(lambda tx: store_events(tx, [])) == set()


@pytest.mark.case(6)
@pytest.mark.parametrize(
    "bad",
    [
        replace(event("bad", "9"), values={"city": "half \ud83d"}),
        replace(event("bad", "9"), kind="up\udc00dated"),
        replace(event("bad", "9"), occurred_ms=2**63),
        Purchase("pi_9", "ch_9", "", "a@example.com", "", 2**64, "eur", 1),
    ],
    ids=["half an emoji", "half a character in a column", "time beyond 64 bits", "amount beyond 64 bits"],
)
def test_an_element_that_the_database_does_not_take_is_set_aside_and_the_others_are_stored(
    live: LiveSync, bad: Event | Purchase
) -> None:
    good = [event(f"e{number}", str(number)) for number in range(5)]
    events = [*good[:3], *([bad] if isinstance(bad, Event) else []), *good[3:]]
    paid = [Purchase("pi_1", "ch_1", "", "b@example.com", "", 5, "eur", 1)]
    purchases = [*paid, *([bad] if isinstance(bad, Purchase) else [])]
    doors = intake(live, a=ParsedWebhook(events, purchases, [(b"{}", "no id")]))
    assert doors.accept(HUBSPOT, b"a", {}, "/hook") == 5
    assert live.is_queued(HUBSPOT, "4", JobKind.READ)
    assert live.is_queued(HUBSPOT, "pi_1", JobKind.PURCHASE)
    with live.store.reading() as tx:
        rejected = {row.reason: row.body for row in tx.rejected.list(9)}
    assert len(rejected) == 2
    (reason,) = rejected.keys() - {"no id"}
    assert reason.startswith("cannot be stored")
    assert "example.com" not in reason
    assert json.loads(rejected[reason])["occurred_ms"] == bad.occurred_ms


def test_a_process_with_an_earlier_field_map_stores_nothing(live: LiveSync) -> None:
    claim_field_map(live.store, FIELDS, MapClaim.TAKE_OVER)
    earlier = live.store.generations
    claim_field_map(live.store, FieldMap(FIELDS.specs[:2]), MapClaim.TAKE_OVER)
    live.store.use_fields(earlier)
    doors = intake(live, a=ParsedWebhook([event("e1")]))
    with pytest.raises(FieldMapChanged):
        doors.accept(HUBSPOT, b"a", {}, "/hook")
    assert not live.is_queued(HUBSPOT, "1", JobKind.READ)


def test_a_record_that_an_element_set_aside_names_is_read_and_the_element_is_kept_once(live: LiveSync) -> None:
    bad = ParsedWebhook([event("e1", "2")], (), [(b"{}", "sourceId holds U+0000")], named=[(HUBSPOT, "1")])
    doors = intake(live, a=bad)
    assert doors.accept(HUBSPOT, b"a", {}, "/hook") == 1
    assert live.is_queued(HUBSPOT, "1", JobKind.READ)
    doors.accept(HUBSPOT, b"a", {}, "/hook")
    with live.store.reading() as tx:
        assert tx.rejected.count() == 1
