"""Webhooks, writes and decisions of a person in order, and which write caused which webhook."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.model import Change, Event, PendingWrite, Side, WriteKind, WriteResult
from wanesync.core.operating.echoes import Basis
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.people.timeline import RESULTS, TimelineEntry, What, read_timeline
from wanesync.store.database import Store, Tx

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
REFS = {(HUBSPOT, "1"), (STRIPE, "cus_1")}
IDS = ["1", "cus_1", "k1"]


def write(write_id: str, side: Side, target: str, city: str) -> PendingWrite:
    changes = {"city": Change("Ulm", city, city), "phone": Change("1", "1", "1")}
    key = f"key-{write_id}"
    return PendingWrite(write_id, side, WriteKind.UPDATE, "contact:1", "1", target, key, "{}", changes, link_id="k1")


@pytest.fixture(name="lived")
def live(store: Store, clock: Clock) -> Store:
    """An edit, a write to each side with its echo, a decision, and a write without an answer."""

    def send(tx: Tx, one: PendingWrite, result: WriteResult | None) -> None:
        tx.pending_writes.put(one)
        tx.pending_writes.mark_sent(one.id)
        if result is not None:
            tx.pending_writes.record_result(one.id, result, one.target_id)
            if result is WriteResult.OK:
                fields = {"city": ["Ulm", one.changes["city"].after]}
                tx.journal.add("updated", one.side, one.target_id, "k1", {"write": one.id, "fields": fields})

    def event(key: str, side: Side, record_id: str, city: str, *, source: str = "", by: str = "") -> Event:
        made = Event(key, side, "updated", record_id, store.now_ms(), {"city": city}, {"city": "Ulm"}, by)
        return replace(made, source=source)

    steps = (
        lambda tx: tx.events.put_many([event("e1", HUBSPOT, "1", "Bonn", source="user:CRM_UI/userId:7")]),
        lambda tx: send(tx, write("w1", STRIPE, "cus_1", "Bonn"), WriteResult.OK),
        lambda tx: tx.events.put_many([event("e2", STRIPE, "cus_1", "Bonn", by="key-w1")]),
        lambda tx: send(tx, write("w2", HUBSPOT, "1", "Graz"), WriteResult.OK),
        lambda tx: tx.events.put_many([event("e3", HUBSPOT, "1", "Graz", source="INTEGRATION/77")]),
        lambda tx: tx.journal.add(
            "decision", HUBSPOT, "1", "", {"verdict": "both", "field": "city"}, operator=Operator("anna", Via.CLI)
        ),
        lambda tx: send(tx, write("w3", STRIPE, "cus_1", "Wien"), None),
    )
    for step in steps:
        store.run(step)
        clock.advance(1_000)
    return store


def read(store: Store, limit: int = 50) -> list[TimelineEntry]:
    with store.reading() as tx:
        return read_timeline(tx, REFS, IDS, limit)


def test_everything_is_there_in_order_and_once(lived: Store) -> None:
    assert [(entry.what, entry.id if entry.what is not What.DECISION else "") for entry in read(lived)] == [
        (What.WEBHOOK, "e1"),
        (What.WRITE, "w1"),
        (What.ECHO, "e2"),
        (What.WRITE, "w2"),
        (What.ECHO, "e3"),
        (What.DECISION, ""),
        (What.WRITE, "w3"),
    ]
    assert len(read(lived, 2)) == 2


def test_each_echo_names_its_write_and_each_write_its_echoes(lived: Store) -> None:
    of = {entry.id: entry for entry in read(lived)}
    assert [(of[key].cause, of[key].basis) for key in ("e1", "e2", "e3")] == [
        ("", None),
        ("w1", Basis.KEY),
        ("w2", Basis.VALUE),
    ]
    assert [of[key].effects for key in ("w1", "w2", "w3")] == [("e2",), ("e3",), ()]


def test_values_stand_in_fields_only(lived: Store) -> None:
    for entry in read(lived):
        assert not any(city in f"{entry.text} {entry.data}" for city in ("Ulm", "Bonn", "Graz", "Wien"))
    of = {entry.id: entry for entry in read(lived)}
    assert dict(of["w1"].fields) == dict(of["e2"].fields) == {"city": ("Ulm", "Bonn")}


def test_a_write_says_what_became_of_it_and_a_decision_who_made_it(lived: Store) -> None:
    entries = read(lived)
    assert [entry.text for entry in entries if entry.what is What.WRITE] == [
        "update: done",
        "update: done",
        "update: no answer yet",
    ]
    (decision,) = [entry for entry in entries if entry.what is What.DECISION]
    assert (decision.text, str(decision.operator)) == ("decision: both", "anna (cli)")
    assert set(RESULTS) == {None, *WriteResult}


def test_a_creation_and_the_rest_of_the_journal(store: Store) -> None:
    created = replace(write("w4", STRIPE, "", "Ulm"), kind=WriteKind.CREATE)

    def live(tx: Tx) -> None:
        tx.pending_writes.put(created)
        tx.pending_writes.mark_sent("w4")
        tx.journal.add("created", STRIPE, "cus_1", "k1", {"write": "w4", "fields": {"city": ["", "Ulm"]}})
        tx.journal.add("updated", STRIPE, "cus_1", "k1", {"write": "forgotten", "fields": {"city": ["", "Ulm"]}})
        tx.journal.add("conflict", STRIPE, "cus_1", "k1", {"kind": "policy", "fields": {"city": "Bonn"}})

    store.run(live)
    texts = {(entry.what, entry.text, entry.record_id) for entry in read(store)}
    assert (What.WRITE, "creation: done", "cus_1") in texts
    assert (What.JOURNAL, "updated", "cus_1") in texts
    assert (What.JOURNAL, "conflict: policy", "cus_1") in texts


def test_the_webhook_of_a_creation_names_it_and_one_of_our_app_is_ours(store: Store) -> None:
    made = replace(write("w5", STRIPE, "", "Ulm"), kind=WriteKind.CREATE)

    def live(tx: Tx) -> None:
        tx.pending_writes.put(made)
        tx.pending_writes.mark_sent("w5")
        tx.pending_writes.record_result("w5", WriteResult.MATCHED)
        tx.events.put_many(
            [
                Event("e5", STRIPE, "created", "cus_1", tx.now_ms, {"city": "Ulm"}, request_key="key-w5"),
                Event("e6", HUBSPOT, "updated", "1", tx.now_ms, source="own"),
            ]
        )

    store.run(live)
    of = {entry.id: entry for entry in read(store)}
    assert (of["e5"].cause, of["w5"].effects) == ("w5", ("e5",))
    assert of["w5"].text == "creation: its answer was lost; the record was found by our id"
    assert of["e6"].text == "updated: our own write, of a property without a field"
