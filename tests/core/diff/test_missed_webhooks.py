"""Missed webhooks: what counts as missed, as reported, and when a webhook is not subscribed to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import FIELDS, HUBSPOT, STEADY, STRIPE, contact, customer, full_name, one_field, stored
from wanesync.core.diff.missed_webhooks import (
    NOT_SUBSCRIBED,
    SUBSCRIPTION_TYPES,
    MissedCounts,
    RecordObservation,
    find_missed,
    find_names,
)
from wanesync.core.fields import Direction
from wanesync.core.model import Event, Record, Side, StoredRecord

BEFORE, THEN, NOW = 1_000_000, 2_000_000, 3_000_000
"""When our copy was modified, when the change happened, and until when changes count."""
NAMES = {"name/firstname", "name/lastname", "phone", "city", "postal_code"}
PROPERTIES = {
    "name/firstname": "firstname",
    "name/lastname": "lastname",
    "phone": "phone",
    "city": "city",
    "postal_code": "zip",
}
PATHS = {
    "name": "name",
    "phone": "phone",
    "city": "address.city",
    "postal_code": "address.postal_code",
    "company": "business_name",
}


def event(side: Side, kind: str = "updated", at_ms: int = THEN, read: bool = False, **values: str) -> Event:
    named = {name.replace("__", "/"): value for name, value in values.items()}
    return replace(telling(side, named, kind), occurred_ms=at_ms, read=read, key=f"{side} {kind} {at_ms} {values}")


def telling(side: Side, values: Mapping[str, str], kind: str = "updated") -> Event:
    return Event(f"{side} {kind} {values}", side, kind, "1", THEN, values)


def old_contact(**values: str) -> StoredRecord:
    return stored(replace(contact(**values), modified_ms=BEFORE))


def new_contact(**values: str) -> Record:
    return replace(contact(**values), modified_ms=THEN, created_ms=BEFORE)


def of_contact(old: StoredRecord | None, new: Record | None, *reported: Event) -> frozenset[str]:
    return find_missed(RecordObservation(HUBSPOT, old, new, reported), FIELDS, NOW)


def of_customer(
    old: StoredRecord | None, new: Record | None, reported: tuple[Event, ...] = (), unstored: tuple[Event, ...] = ()
) -> frozenset[str]:
    return find_missed(RecordObservation(STRIPE, old, new, reported, unstored), FIELDS, NOW)


# -- HubSpot


def test_a_changed_property_no_event_told_of_is_missed() -> None:
    assert of_contact(old_contact(city="Lyon"), new_contact(city="Leeds")) == {"city"}


@pytest.mark.parametrize(
    ("what", "told", "missed"),
    [
        ("its own event", event(HUBSPOT, city="Leeds"), set()),
        ("an event of another property", event(HUBSPOT, phone="1"), {"city"}),
        ("an event that told an older value", event(HUBSPOT, at_ms=BEFORE, read=True, city="Lyon"), {"city"}),
        ("an event our copy holds, of the same value", event(HUBSPOT, at_ms=BEFORE, read=True, city="Leeds"), {"city"}),
        ("an event whose read is still to come", event(HUBSPOT, at_ms=BEFORE, city="Leeds"), set()),
        ("an event of a value in between", event(HUBSPOT, city="Lima"), {"city"}),
        ("an event whose value is withheld", event(HUBSPOT), set()),
    ],
)
def test_only_an_event_of_the_change_itself_was_heard(what: str, told: Event, missed: set[str]) -> None:
    assert of_contact(old_contact(city="Lyon"), new_contact(city="Leeds"), told) == missed, what


def test_of_a_name_each_property_counts_for_itself() -> None:
    old, new = old_contact(name=full_name("Ana", "Ribeiro")), new_contact(name=full_name("Anna", "Silva"))
    assert of_contact(old, new) == {"firstname", "lastname"}
    assert of_contact(old, new, event(HUBSPOT, name__firstname="Anna")) == {"lastname"}
    assert of_contact(old, new_contact(name=full_name("Ana", "Silva"))) == {"lastname"}


def test_an_unknown_contact_is_a_creation_missed_unless_its_event_came() -> None:
    assert of_contact(None, new_contact(city="Lyon")) == {"contact.creation"}
    assert of_contact(None, new_contact(city="Lyon"), event(HUBSPOT, "created")) == set()
    assert of_contact(None, new_contact(city="Lyon"), event(HUBSPOT, city="Lyon")) == {"contact.creation"}


def test_a_merge_is_missed_unless_its_event_came() -> None:
    merged = replace(new_contact(), merged_ids=("7",))
    assert of_contact(old_contact(), merged) == {"contact.merge"}
    assert of_contact(old_contact(), merged, event(HUBSPOT, "merged")) == set()
    assert of_contact(None, merged) == {"contact.merge"}, "a survivor has a new id"
    assert of_contact(None, merged, event(HUBSPOT, "merged")) == set()
    assert of_contact(stored(replace(contact(), merged_ids=("7",), modified_ms=BEFORE)), merged) == set()


def test_what_is_too_young_is_not_counted_yet() -> None:
    old = old_contact(city="Lyon")
    young, ripe = (replace(new_contact(city="Leeds"), modified_ms=at_ms) for at_ms in (NOW + 1, NOW))
    assert of_contact(old, young) == set()
    assert of_contact(old, ripe) == {"city"}
    assert of_contact(None, young) == set()


def test_records_that_are_dead_for_us_are_no_loss() -> None:
    for dead in (replace(old_contact(city="Lyon"), deleted=True), replace(old_contact(city="Lyon"), survivor="9")):
        assert of_contact(dead, new_contact(city="Leeds")) == set()
    gone = stored(customer(city="Lyon"), deleted=True)
    assert of_customer(gone, None, unstored=(event(STRIPE, "deleted"),)) == set()


def test_a_field_that_does_not_flow_from_a_side_needs_no_webhook_of_it() -> None:
    told = RecordObservation(HUBSPOT, old_contact(city="Lyon"), new_contact(city="Leeds"))
    assert find_missed(told, one_field(direction=Direction.TO_HUBSPOT), NOW) == set()
    assert find_missed(told, one_field(direction=Direction.TO_STRIPE), NOW) == {"city"}


# -- Stripe


def test_a_customers_change_is_missed_with_its_event() -> None:
    old, new = stored(customer(city="Lyon")), customer(city="Leeds")
    lost = event(STRIPE, city="Leeds")
    assert of_customer(old, new, unstored=(lost,)) == {"address.city", "customer.updated"}
    assert of_customer(old, new, reported=(lost,)) == set()


@pytest.mark.parametrize(
    ("what", "reported", "unstored", "missed"),
    [
        ("the newest one came", [("Leeds", THEN + 1)], [("Lima", THEN)], set()),
        ("only an older one came", [("Lima", THEN)], [("Leeds", THEN + 1)], {"address.city", "customer.updated"}),
        ("the newest is on its way", [], [("Lima", THEN), ("Leeds", NOW + 1)], set()),
        ("no event says so", [], [], set()),
    ],
)
def test_the_event_of_the_value_it_has_now_decides(
    what: str, reported: list[tuple[str, int]], unstored: list[tuple[str, int]], missed: set[str]
) -> None:
    rows = [tuple(event(STRIPE, at_ms=at_ms, city=city) for city, at_ms in told) for told in (reported, unstored)]
    assert of_customer(stored(customer(city="Lyon")), customer(city="Leeds"), *rows) == missed, what


def test_an_own_write_whose_webhook_is_lost_is_no_loss() -> None:
    same = customer(city="Leeds", phone="1")
    assert of_customer(stored(same), same, unstored=(event(STRIPE, city="Leeds"), event(STRIPE, phone="1"))) == set()


def test_creations_and_deletions_of_customers_are_counted() -> None:
    born, gone = event(STRIPE, "created", city="Lyon"), event(STRIPE, "deleted")
    assert of_customer(None, customer(city="Lyon"), unstored=(born,)) == {"customer.created"}
    assert of_customer(None, customer(city="Lyon"), reported=(born,)) == set()
    assert of_customer(None, replace(customer(), created_ms=NOW + 1), unstored=(born,)) == set()
    assert of_customer(stored(customer()), None, unstored=(gone,)) == {"customer.deleted"}
    assert of_customer(stored(customer()), None, reported=(gone,)) == set()
    assert of_customer(stored(customer()), None, unstored=(replace(gone, occurred_ms=NOW + 1),)) == set()
    assert of_customer(None, None, unstored=(gone,)) == set()


# -- always

WORDS = st.sampled_from(["", "a", "b", "c"])
VALUES = st.fixed_dictionaries({}, optional=dict.fromkeys(PATHS, WORDS))


def contact_of(parts: Mapping[str, str]) -> Record:
    first, last = parts["name/firstname"], parts["name/lastname"]
    name = full_name(first, last) if first or last else ""
    return new_contact(**({k: v for k, v in parts.items() if "/" not in k} | {"name": name}))


@STEADY
@given(
    st.fixed_dictionaries(dict.fromkeys(NAMES, WORDS)), st.fixed_dictionaries(dict.fromkeys(NAMES, WORDS)), st.data()
)
def test_exactly_the_changes_no_event_told_of_are_missed(
    before: Mapping[str, str], after: Mapping[str, str], data: st.DataObject
) -> None:
    changed = {name for name in NAMES if before[name] != after[name]}
    reported = data.draw(st.sets(st.sampled_from(sorted(changed)))) if changed else set()
    events = [telling(HUBSPOT, {name: after[name]}) for name in reported]
    found = of_contact(stored(replace(contact_of(before), modified_ms=BEFORE)), contact_of(after), *events)
    assert found == {PROPERTIES[name] for name in changed - reported}


@STEADY
@given(VALUES, VALUES, st.data())
def test_of_a_customer_too(before: Mapping[str, str], after: Mapping[str, str], data: st.DataObject) -> None:
    changed = {name for name in PATHS if before.get(name, "") != after.get(name, "")}
    reported = data.draw(st.sets(st.sampled_from(sorted(changed)))) if changed else set()
    rows = {name: telling(STRIPE, {name: after.get(name, "")}) for name in changed}
    found = of_customer(
        stored(customer(**before)),
        customer(**after),
        tuple(rows[name] for name in reported),
        tuple(rows[name] for name in changed - reported),
    )
    missed = {PATHS[name] for name in changed - reported}
    assert found == missed | ({"customer.updated"} if missed else set())


@STEADY
@given(VALUES, st.lists(st.tuples(st.sampled_from(["created", "updated"]), VALUES), max_size=5))
def test_what_our_copy_holds_was_never_missed(
    values: Mapping[str, str], told: list[tuple[str, Mapping[str, str]]]
) -> None:
    rows = tuple(telling(STRIPE, said, kind) for kind, said in told)
    assert of_customer(stored(customer(**values)), customer(**values), unstored=rows) == set()
    assert of_contact(old_contact(**values), new_contact(**values)) == set()


@STEADY
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(Side)), st.booleans(), st.sets(st.sampled_from(["city", "customer.updated"]))),
        max_size=12,
    )
)
def test_the_counts_add_up(adds: list[tuple[Side, bool, set[str]]]) -> None:
    losses = MissedCounts()
    for side, missed, names in adds:
        (losses.add_missed if missed else losses.add_reported)(side, names)
    for side in Side:
        assert losses.records[side] == sum(bool(names) for of, missed, names in adds if missed and of is side)
    for of, name, changed, lost, verdict in losses.rows():
        told = [was for side, was, names in adds if side == of and name in names]
        assert (changed, lost) == (len(told), sum(told))
        assert lost > 0
        subscribable = of == HUBSPOT or name in SUBSCRIPTION_TYPES[STRIPE].values()
        assert (verdict == NOT_SUBSCRIBED) == (subscribable and lost == changed)
    assert {(side, name) for side, name, *_ in losses.rows()} == {
        (side, name) for side, missed, names in adds if missed for name in names
    }


# -- what is shown


def test_rows_and_document_say_the_same() -> None:
    losses = MissedCounts()
    for _ in range(3):
        losses.add_missed(HUBSPOT, {"city"})
    losses.add_missed(HUBSPOT, {"phone"})
    losses.add_reported(HUBSPOT, {"phone", "zip"})
    losses.add_missed(STRIPE, {"address.city", "customer.updated"})
    losses.add_missed(STRIPE, set())
    assert losses.rows() == [
        ("hubspot", "city", 3, 3, "not subscribed"),
        ("hubspot", "phone", 2, 1, ""),
        ("stripe", "address.city", 1, 1, ""),
        ("stripe", "customer.updated", 1, 1, "not subscribed"),
    ]
    assert losses.as_dict() == {
        "hubspot": {
            "records": 4,
            "missed": {
                "city": {"changed": 3, "missed": 3, "not_subscribed": True},
                "phone": {"changed": 2, "missed": 1, "not_subscribed": False},
            },
        },
        "stripe": {
            "records": 1,
            "missed": {
                "address.city": {"changed": 1, "missed": 1, "not_subscribed": False},
                "customer.updated": {"changed": 1, "missed": 1, "not_subscribed": True},
            },
        },
    }


def test_events_name_properties_paths_and_types() -> None:
    told = [event(HUBSPOT, name__firstname="Ana"), event(HUBSPOT, postal_code="1"), event(HUBSPOT, unmapped="x")]
    assert find_names([*told, event(HUBSPOT, "created")], FIELDS) == {"firstname", "zip", "contact.creation"}
    born = event(STRIPE, "created", city="Lyon")
    assert find_names([born], FIELDS) == {"address.city", "customer.created"}
