"""What an operator steers is read at once."""

from __future__ import annotations

from tests.support.core_builders import link
from tests.support.operators import ADA
from wanesync.core.change_guard import HeldValue, HoldKind
from wanesync.core.model import Side
from wanesync.core.rate_limits import Limit
from wanesync.ops.limits import change_limit, reset_limit
from wanesync.ops.pauses import pause_field, pause_sides, resume_field
from wanesync.ops.steering import read_steering
from wanesync.ops.writes import switch_writes
from wanesync.store import Store

FIELDS = {"city", "phone"}


def test_every_limit_is_listed_also_without_a_value(store: Store) -> None:
    store.run(lambda tx: tx.rates.put(Limit("stripe", 100.0, 100.0, 100.0), is_new=True))
    change_limit(store, "stripe", "50/s", ADA, force=False)
    found = {limit.scope: limit for limit in read_steering(store, FIELDS).limits}
    assert (found["stripe"].configured, found["stripe"].show(found["stripe"].effective)) == (50, "50/s")
    assert found["stripe"].note == "set by hand, in the file 100/s"
    assert found["stripe:customers.create"].configured is None
    assert found["stripe:customers.create"].allowed == "Stripe allows each kind of call 25/s unless it raised yours"


def test_pauses_of_an_operator_and_of_the_program_are_told_apart(store: Store) -> None:
    pause_sides(store, [Side.STRIPE], ADA)
    store.run(lambda tx: tx.pauses.set("hubspot", "it does not answer", away=True, probe_at_ms=0))
    store.run(lambda tx: tx.pauses.set("hubspot:notes.create", "a scope is missing", away=False, probe_at_ms=0))
    found = {side.name: side for side in read_steering(store, FIELDS).sides}
    assert (found["stripe"].paused, found["stripe"].by_operator) == (True, True)
    assert (found["hubspot"].away, found["hubspot"].by_operator) == (True, False)
    assert found["hubspot:notes.create"].side is Side.HUBSPOT


def test_the_last_changes_say_who_when_from_and_to(store: Store) -> None:
    store.run(lambda tx: tx.rates.put(Limit("stripe", 100.0, 100.0, 100.0), is_new=True))
    change_limit(store, "stripe", "50/s", ADA, force=False)
    reset_limit(store, "stripe", ADA)
    pause_sides(store, [Side.STRIPE], ADA)
    pause_field(store, "city", FIELDS, ADA)
    resume_field(store, "city", FIELDS, ADA)
    switch_writes(store, ADA, on=True)
    found = read_steering(store, FIELDS).changes
    assert {change.operator for change in found} == {"ada (cli)"}
    assert {change.what for change in found} == {
        "stripe: 100/s → 50/s",
        "stripe: 50/s → 100/s",
        "stripe paused",
        "city paused",
        "hold released: field:city, 0 people",
        "writes on",
    }


def test_fields_and_holds_say_how_much_is_kept_back(store: Store) -> None:
    pause_field(store, "city", FIELDS, ADA)
    pause_field(store, "old", {"old"}, ADA)
    with store.transaction() as tx:
        field = next(row for row in tx.holds.all() if row.source == "field:city")
        brake, _ = tx.holds.open("IMPORT/1", HoldKind.BRAKE)
        pair = link()
        tx.links.put(pair)
        tx.holds.put(pair.id, "city", HeldValue(Side.HUBSPOT, "Ulm", "Bonn", field.id))
        tx.holds.put(pair.id, "phone", HeldValue(Side.HUBSPOT, "1", "2", brake))
    found = read_steering(store, FIELDS)
    assert [(one.name, one.paused, one.people) for one in found.fields] == [
        ("city", True, 1),
        ("old", True, 0),
        ("phone", False, 0),
    ]
    assert [(hold.id, hold.kind, hold.people, hold.values) for hold in found.holds] == [(brake, "brake", 1, 1)]
