"""Created pairs are equal, created differences are real, and found differences are matched with them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanesync.bench.environment import Limits, build_sandbox
from wanesync.bench.reconcile.differences import (
    CLASSES,
    Difference,
    count_by_class,
    count_in_sync,
    create_differences,
    create_pairs,
    match_found,
    pairs_needed,
    read_found,
)
from wanesync.bench.reconcile.linked_state import SandboxReader
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.merge import Pair as MergePair
from wanesync.core.merge import merge
from wanesync.core.model import Record
from wanesync.sandbox.seed_data import DAY_MS
from wanesync.sandbox.server import clock_ms

FIELDS = FieldMap(DEFAULT_FIELDS)


PORTAL = "4242"


PEOPLE = 200


def test_created_pairs_are_equal_on_both_sides() -> None:
    sandbox = build_sandbox(Limits())
    reader = SandboxReader(sandbox, FIELDS)
    pairs = create_pairs(sandbox, PEOPLE)
    for pair in pairs:
        contact, customer = reader.contact(pair.hubspot_id), reader.customer(pair.stripe_id)
        assert FIELDS.comparison(contact) == FIELDS.comparison(customer)
        merged = merge(MergePair(contact, customer, {}), FIELDS, "keep")
        assert not any(merged.writes.values())
    ages = [clock_ms() - reader.customer(pair.stripe_id).created_ms for pair in pairs]
    assert max(ages) - min(ages) > 89 * DAY_MS
    assert len({reader.contact(pair.hubspot_id).modified_ms for pair in pairs}) == PEOPLE
    assert {reader.customer(pair.stripe_id).other_id for pair in pairs} == {"", *(p.hubspot_id for p in pairs[1::2])}


def test_every_class_is_created_in_known_numbers_and_no_record_twice() -> None:
    sandbox = build_sandbox(Limits())
    pairs = create_pairs(sandbox, PEOPLE)
    committed = sum(len(machine.journal) for machine in sandbox.machines.values())
    planted_differences = create_differences(sandbox, pairs, 92)
    counts = Counter(difference.kind for difference in planted_differences)
    assert counts == count_by_class(92)
    assert set(counts) == set(CLASSES)
    assert max(counts.values()) - min(counts.values()) == 1
    ids = [i for difference in planted_differences for i in (difference.hubspot_id, difference.stripe_id) if i]
    assert len(ids) == len(set(ids))
    assert sum(len(machine.journal) for machine in sandbox.machines.values()) > committed + 92
    assert all(machine.next_delivery_ms() is None for machine in sandbox.machines.values())
    assert count_in_sync(PEOPLE, 92) == PEOPLE - pairs_needed(92) + 20


def test_the_named_fields_are_those_that_differ() -> None:
    sandbox = build_sandbox(Limits())
    reader = SandboxReader(sandbox, FIELDS)
    pairs = create_pairs(sandbox, PEOPLE)
    for difference in create_differences(sandbox, pairs, 180):
        if difference.kind in (
            DifferenceClass.UPDATE_CUSTOMER,
            DifferenceClass.UPDATE_CONTACT,
            DifferenceClass.CONFLICT,
        ):
            contact, customer = reader.contact(difference.hubspot_id), reader.customer(difference.stripe_id)
            values = [(s, contact.values[s.name], customer.values[s.name]) for s in DEFAULT_FIELDS]
            assert difference.fields == frozenset(s.name for s, ours, theirs in values if not s.agree(ours, theirs))
        elif difference.kind is DifferenceClass.CREATE_CUSTOMER:
            assert difference.fields == _held(reader.contact(difference.hubspot_id))
        elif difference.kind is DifferenceClass.CREATE_CONTACT:
            assert difference.fields == _held(reader.customer(difference.stripe_id))


def _held(record: Record) -> frozenset[str]:
    return frozenset(name for name, value in record.values.items() if value)


def test_too_few_people_are_refused() -> None:
    sandbox = build_sandbox(Limits())
    with pytest.raises(ConfigError, match="only 10"):
        create_differences(sandbox, create_pairs(sandbox, 10), 90)


UPDATE = Difference(DifferenceClass.UPDATE_CUSTOMER, "1", "cus_1", frozenset({"city"}))


ORPHAN = Difference(DifferenceClass.ORPHANED, "", "cus_2")


@given(st.lists(st.sampled_from(CLASSES), max_size=30))
def test_the_created_differences_match_themselves(kinds: list[DifferenceClass]) -> None:
    planted = [Difference(kind, f"h{n}", f"c{n}", frozenset({"city"})) for n, kind in enumerate(kinds)]
    matched = match_found(planted, list(reversed(planted)))
    assert matched.figures() == {"planted": len(kinds), "found": len(kinds), "missed": 0, "invented": 0}


@pytest.mark.parametrize(
    "found",
    [
        Difference(DifferenceClass.UPDATE_CONTACT, "1", "cus_1", frozenset({"city"})),
        Difference(DifferenceClass.UPDATE_CUSTOMER, "1", "cus_9", frozenset({"city"})),
        Difference(DifferenceClass.UPDATE_CUSTOMER, "1", "cus_1", frozenset({"city", "phone"})),
        Difference(DifferenceClass.UPDATE_CUSTOMER, "", "cus_1", frozenset({"city"})),
    ],
)
def test_another_class_record_or_field_is_both_missed_and_invented(found: Difference) -> None:
    matched = match_found([UPDATE], [found])
    assert (matched.missed, matched.invented) == ([UPDATE], [found])
    assert matched.figures()["missed_by_class"] == {"update_customer": 1}


def test_a_difference_that_is_found_twice_is_invented_once() -> None:
    matched = match_found([UPDATE], [UPDATE, UPDATE])
    assert (matched.found, len(matched.missed), len(matched.invented)) == (1, 0, 1)


@pytest.mark.parametrize("hubspot_id", ["", "17"])
def test_an_orphan_is_found_with_or_without_the_id_of_its_lost_record(hubspot_id: str) -> None:
    assert match_found([ORPHAN], [Difference(DifferenceClass.ORPHANED, hubspot_id, "cus_2", frozenset())]).found == 1
    assert match_found([ORPHAN], [Difference(DifferenceClass.ORPHANED, hubspot_id, "cus_3", frozenset())]).found == 0


def test_the_document_of_diff_is_read() -> None:
    row = {"class": "conflict", "hubspot_id": "1", "stripe_id": "cus_1", "fields": {"name": {"hubspot": "A"}}}
    assert read_found({"differences": [row]}) == [
        Difference(DifferenceClass.CONFLICT, "1", "cus_1", frozenset({"name"}))
    ]
    assert read_found({}) == []
