"""What bench reconcile plants: people who are really the same, differences that are really there, and the difference."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanesync.adapters.hubspot.contacts import properties_to_read, read_contact
from wanesync.adapters.stripe.customers import read_customer
from wanesync.bench import BenchFailed
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
from wanesync.bench.reconcile.linked_state import SandboxReader, link_pairs
from wanesync.bench.reconcile.run import find_bound_s
from wanesync.bench.resource_usage import run_measured
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, exact
from wanesync.core.merge import Pair as MergePair
from wanesync.core.merge import merge
from wanesync.core.model import Record, Side
from wanesync.sandbox.seed_data import DAY_MS
from wanesync.sandbox.server import clock_ms
from wanesync.store.database import open_store

FIELDS = FieldMap(DEFAULT_FIELDS)
PORTAL = "4242"
PEOPLE = 200


def test_everybody_is_the_same_on_both_sides() -> None:
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


def test_records_are_read_as_the_sides_read_them() -> None:
    sandbox = build_sandbox(Limits())
    reader = SandboxReader(sandbox, FIELDS)
    pairs = create_pairs(sandbox, PEOPLE)
    create_differences(sandbox, pairs, 90)
    names = properties_to_read(FIELDS)
    for contact in sandbox.hubspot.portal.contacts.live.values():
        raw = contact.view(names, int(PORTAL))
        assert reader.contact(str(contact.id)) == read_contact(raw, FIELDS)
    for row in sandbox.records(Side.STRIPE):
        found = sandbox.stripe.account.customers.get(row["id"])
        assert found is not None
        assert reader.customer(row["id"]) == read_customer(found, FIELDS, PORTAL)


def test_the_database_knows_what_both_sides_agreed_on(tmp_path: Path) -> None:
    sandbox = build_sandbox(Limits())
    reader = SandboxReader(sandbox, FIELDS)
    pairs = create_pairs(sandbox, 30)
    store = open_store(f"sqlite:{tmp_path / 'filled.db'}", migrate=True)
    try:
        link_pairs(store, reader, pairs, FIELDS)
        with store.reading() as tx:
            links = tx.links.page("", 100)
            outlines = {link.hubspot_id: link for link in tx.links.outlines("", 100)}
            known = tx.records.get_many([(Side.STRIPE, pair.stripe_id) for pair in pairs])
            hashes = tx.records.row_hashes(Side.STRIPE, [pair.stripe_id for pair in pairs])
    finally:
        store.close()
    assert {(link.hubspot_id, link.stripe_id) for link in links} == {(p.hubspot_id, p.stripe_id) for p in pairs}
    for link in links:
        contact, customer = reader.contact(link.hubspot_id), reader.customer(link.stripe_id)
        assert link.base == {s.name: (contact.values[s.name], customer.values[s.name]) for s in DEFAULT_FIELDS}
        assert known[Side.STRIPE, customer.id].record == customer
        assert hashes[customer.id] == store.row_hash(FIELDS.comparison(customer))
        assert outlines[contact.id].stripe_hash == store.row_hash(exact(customer.values.items()))


def test_every_class_is_planted_in_known_numbers_and_nobody_twice() -> None:
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


# -- the difference

UPDATE = Difference(DifferenceClass.UPDATE_CUSTOMER, "1", "cus_1", frozenset({"city"}))
ORPHAN = Difference(DifferenceClass.ORPHANED, "", "cus_2")


@given(st.lists(st.sampled_from(CLASSES), max_size=30))
def test_what_was_planted_is_found_and_nothing_else(kinds: list[DifferenceClass]) -> None:
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


def test_a_difference_that_is_told_twice_is_invented_once() -> None:
    matched = match_found([UPDATE], [UPDATE, UPDATE])
    assert (matched.found, len(matched.missed), len(matched.invented)) == (1, 0, 1)


@pytest.mark.parametrize("hubspot_id", ["", "17"])
def test_an_orphan_may_be_told_with_or_without_the_one_it_lost(hubspot_id: str) -> None:
    assert match_found([ORPHAN], [Difference(DifferenceClass.ORPHANED, hubspot_id, "cus_2", frozenset())]).found == 1
    assert match_found([ORPHAN], [Difference(DifferenceClass.ORPHANED, hubspot_id, "cus_3", frozenset())]).found == 0


def test_the_document_of_diff_is_read() -> None:
    row = {"class": "conflict", "hubspot_id": "1", "stripe_id": "cus_1", "fields": {"name": {"hubspot": "A"}}}
    assert read_found({"differences": [row]}) == [
        Difference(DifferenceClass.CONFLICT, "1", "cus_1", frozenset({"name"}))
    ]
    assert read_found({}) == []


# -- what it costs


def test_the_bounds_are_the_issues() -> None:
    pages = {Side.HUBSPOT: 1000, Side.STRIPE: 1000}
    assert find_bound_s(pages, Limits(15, 100, (200, 200)), parallel=False) == 200
    assert find_bound_s(pages, Limits(15, 100, (200, 200)), parallel=True) == pytest.approx(66.67, abs=0.01)
    assert find_bound_s(pages, Limits(15, 5, (0, 0)), parallel=True) == 200


def test_memory_is_of_the_command_alone(tmp_path: Path) -> None:
    held = bytearray(400 << 20)
    code = "import sys; x = bytearray(50 << 20); print('output'); sys.exit(3)"
    usage = run_measured(tmp_path, {}, [sys.executable, "-c", code], 60)
    assert (usage.code, usage.output) == (3, "output\n")
    assert 50 < usage.peak_rss_mb < 200
    assert usage.took_s > 0
    assert len(held) == 400 << 20


def test_a_command_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(BenchFailed, match=r"did not end within 0\.5 s"):
        run_measured(tmp_path, {}, [sys.executable, "-c", "while True: pass"], 0.5)
