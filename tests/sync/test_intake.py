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
from wanesync.core.ports import ParsedWebhook
from wanesync.core.purchases import Purchase
from wanesync.ops.field_map import MapClaim, claim_field_map
from wanesync.store.database import Tx
from wanesync.sync.intake import BUSY_S, GATHER_S, MAX_COMMITS, MAX_SHARED_EVENTS, Intake, store_events


@dataclass
class Webhooks:
    """Parses a body to what the test said; the signature ``bad`` is refused."""

    parsed: dict[bytes, ParsedWebhook]

    def verify(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> None:
        if headers.get("signature") == "bad":
            raise ValueError("bad signature")

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
    many = [event(f"e{n}", str(n)) for n in range(MAX_SHARED_EVENTS + 1)]
    assert intake(live, a=ParsedWebhook(many)).accept(HUBSPOT, b"a", {}, "/hook") == len(many)


def test_only_soon_after_a_commit_others_are_waited_for_which_then_share_the_next(live: LiveSync) -> None:
    names = "abcd"
    doors = intake(live, **{name: ParsedWebhook([event(name, name)]) for name in names})
    now_s, slept, arriving = [100.0], list[float](), ["c"]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        # Another one comes meanwhile, in a thread of its own.
        thread = threading.Thread(target=doors.accept, args=(HUBSPOT, arriving.pop().encode(), {}, "/hook"))
        thread.start()
        while len(doors._queue) < 2:
            thread.join(0.001)
        threads.append(thread)

    threads: list[threading.Thread] = []
    doors.sleep, doors.monotonic_s = sleep, lambda: now_s[0]
    doors.accept(HUBSPOT, b"a", {}, "/hook")
    assert slept == []
    now_s[0] += BUSY_S / 2
    commits = count_commits(doors)
    doors.accept(HUBSPOT, b"b", {}, "/hook")
    threads[0].join()
    assert (slept, commits) == ([GATHER_S], [2])
    now_s[0] += 2 * BUSY_S
    doors.accept(HUBSPOT, b"d", {}, "/hook")
    assert slept == [GATHER_S]


def test_posts_of_one_commit_share_their_statements_and_an_event_counts_once(live: LiveSync) -> None:
    doors = intake(live, a=ParsedWebhook([event("a"), event("both", "2")]), b=ParsedWebhook([event("both", "2")]))
    answers: dict[str, int] = {}

    def accept(name: str) -> None:
        answers[name] = doors.accept(HUBSPOT, name.encode(), {}, "/hook")

    # The turn to commit is taken, so that both wait.
    doors._commits = MAX_COMMITS[live.store.dialect]
    threads = [threading.Thread(target=accept, args=(name,)) for name in "ab"]
    for number, thread in enumerate(threads, start=1):
        thread.start()
        while len(doors._queue) < number:
            thread.join(0.001)
    commits = count_commits(doors)
    with doors._guard:
        doors._pass_turn()
    for thread in threads:
        thread.join()
    assert (answers, commits) == ({"a": 2, "b": 0}, [2])
    assert doors._commits == MAX_COMMITS[live.store.dialect] - 1


def test_the_turn_of_a_post_that_another_commit_took_passes_on(live: LiveSync) -> None:
    doors = intake(live, a=ParsedWebhook([event("a")]))
    doors._commits = MAX_COMMITS[live.store.dialect]
    thread = threading.Thread(target=doors.accept, args=(HUBSPOT, b"a", {}, "/hook"))
    thread.start()
    while not doors._queue:
        thread.join(0.001)
    # Chosen to commit next, but another commit is quicker.
    doors._queue[0].leads = True
    doors._commit()
    thread.join()
    assert not doors._queue
    assert doors._commits == MAX_COMMITS[live.store.dialect] - 1


def count_commits(doors: Intake) -> list[int]:
    """Return a list that grows by the number of POSTs of each commit."""
    commits = list[int]()
    original = Intake._keep_together

    def keep_together(self: Intake, tx: Tx, posts: Sequence[object]) -> None:
        commits.append(len(posts))
        original(self, tx, posts)  # type: ignore[arg-type] # POSTs

    doors.__class__ = type("Counted", (Intake,), {"_keep_together": keep_together, "__slots__": ()})
    return commits


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
