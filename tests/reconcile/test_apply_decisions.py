"""Decisions are checked as a file and applied a key at a time: all of a key's decisions, or none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.damage import damage
from tests.support.reconcile_harness import (
    InstantClock,
    Sides,
    compare,
    ignore,
    lock_by_another,
    make_reconcile,
    make_runtime,
)
from tests.support.store_rows import a_link
from wanesync.core.diff.decisions import Verdict
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.core.model import WANTED, LinkState, NoteCode, PutBack, Side
from wanesync.reconcile.apply_decisions import LOCK_ATTEMPTS, LOCKED, AppliedDecisions, DecisionApplier
from wanesync.store.database import Store, Tx
from wanesync.sync.runtime import Runtime

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


@pytest.fixture
def sides(store: Store) -> Sides:
    """A pair that differs, and a record of each side that is alone."""
    made = Sides(store.now_ms())
    made.add_contact("1", email="ana@example.com", city="Lyon", phone="")
    made.add_customer("cus_1", email="ana@example.com", city="Leeds", phone="112")
    made.add_contact("2", email="ben@example.com")
    made.add_customer("cus_3", email="cleo@example.com")
    return made


@pytest.fixture
def runtime(store: Store, sides: Sides) -> Runtime:
    """All records are stored, as before any decision."""
    made = make_runtime(store, sides)
    make_reconcile(made).queue(compare(made))
    for side in Side:
        store.run(lambda tx, side=side: tx.jobs.finish_many(tx.jobs.claim(side, None, 50, "first")))  # type: ignore[misc] # binds the loop's value
    return made


def decide(runtime: Runtime, *lines: str) -> AppliedDecisions:
    data = "\n".join(["hubspot_id,stripe_id,field,decision", *lines, ""]).encode()
    applier = DecisionApplier(runtime, InstantClock())
    return applier.apply(applier.check(data), "run-1", ignore)


@pytest.mark.parametrize(
    ("value", "condition"), [("records content", "side = 'hubspot' AND id = '1'"), ("links base", "hubspot_id = '1'")]
)
def test_a_damaged_row_is_named_and_the_other_decisions_are_applied(
    store: Store, runtime: Runtime, value: str, condition: str
) -> None:
    store.run(lambda tx: tx.links.put(a_link("k1", "1", "cus_1")))
    table, column = value.split()
    damage(store, table, column, condition)
    applied = decide(runtime, "1,cus_1,city,hubspot", "2,,,exclude", ",cus_3,,exclude")
    assert applied.done == {Verdict.EXCLUDE: 2}
    [(key, why)] = applied.left.items()
    assert (key, "contact:1" in applied.avoid) == ("contact:1", True)
    assert "damaged" in why


def queued(store: Store) -> set[tuple[Side, str]]:
    jobs = []
    for side in Side:
        jobs += [(side, job.key) for job in store.run(lambda tx, s=side: tx.jobs.claim(s, None, 50, "first"))]  # type: ignore[misc] # binds the loop's value
    return set(jobs)


@pytest.mark.parametrize(("verdict", "lane", "loser"), [("hubspot", STRIPE, "Leeds"), ("stripe", HUBSPOT, "Lyon")])
def test_the_losing_value_is_kept_and_the_winner_queued(
    runtime: Runtime, store: Store, verdict: str, lane: Side, loser: str
) -> None:
    applied = decide(runtime, f"1,cus_1,city,{verdict}")
    assert (applied.done, applied.left) == ({Verdict(verdict): 1}, {})
    assert (lane, "contact:1") in queued(store)
    with store.reading() as tx:
        assert [
            (row.conflict.kind, row.conflict.value) for row in tx.conflicts.list() if row.conflict.field == "city"
        ] == [("policy", loser)]


def test_a_blank_winner_clears_the_value(runtime: Runtime) -> None:
    assert decide(runtime, "1,cus_1,phone,hubspot").cleared == 1


def test_a_locked_key_is_left_whole(runtime: Runtime, store: Store) -> None:
    lock_by_another(store, "contact:1")
    clock = InstantClock()
    applier = DecisionApplier(runtime, clock)
    data = b"hubspot_id,stripe_id,field,decision\n1,cus_1,city,hubspot\n2,,,exclude\n"
    applied = applier.apply(applier.check(data), "run-1", ignore)
    assert applied.left == {"contact:1": LOCKED}
    assert (applied.done, clock.waits) == ({Verdict.EXCLUDE: 1}, LOCK_ATTEMPTS - 1)
    assert {"contact:1", "customer:cus_1"} <= applied.avoid
    with store.reading() as tx:
        assert tx.conflicts.list() == []


def test_two_records_that_share_nothing_are_linked(runtime: Runtime, store: Store) -> None:
    decide(runtime, "2,,,link cus_3")
    with store.reading() as tx:
        (link,) = tx.links.of_ids(["2"], [])
    assert (link.stripe_id, link.state, link.primary, link.base) == ("cus_3", LinkState.ACTIVE, True, {})


def test_an_excluded_record_is_left_alone_until_it_is_to_be_created(runtime: Runtime, store: Store) -> None:
    decide(runtime, "2,,,exclude")
    with store.reading() as tx:
        note = tx.records.get_many([(HUBSPOT, "2")])[HUBSPOT, "2"].note
    assert note is not None
    assert note.code is NoteCode.BY_DECISION
    assert compare(runtime).counts[DifferenceClass.EXCLUDED] == 1
    decide(runtime, "2,,,create")
    assert compare(runtime).counts[DifferenceClass.CREATE_CUSTOMER] == 1


def test_what_is_not_put_back_any_more_because_its_pair_is_released_is_kept(runtime: Runtime, store: Store) -> None:
    decide(runtime, "2,,,link cus_3")
    back = PutBack(STRIPE, "Ulm", ("", ""), contested=True)
    with store.transaction() as tx:
        (link,) = tx.links.of_ids(["2"], [])
        tx.links.put(replace(link, put_back={"city": back}, version=link.version + 1))
    decide(runtime, "2,cus_3,,exclude")
    with store.reading() as tx:
        (link,) = tx.links.of_ids(["2"], [])
        kept = {(row.conflict.kind, row.conflict.value) for row in tx.conflicts.list()}
    assert (link.state, dict(link.put_back)) == (LinkState.RELEASED, {})
    assert ("overwritten", "Ulm") in kept


@pytest.mark.parametrize("verdict", ["hubspot", "stripe"])
def test_a_buried_value_that_a_decision_replaces_before_it_is_put_back_is_kept(
    runtime: Runtime, store: Store, verdict: str
) -> None:
    """Whoever decided saw the two sides, and no conflict of it."""
    base = ("Lyon", "Leeds")
    link = a_link("k1", "1", "cus_1")
    back = PutBack(HUBSPOT, "Nantes", base, contested=True)
    store.run(lambda tx: tx.links.put(replace(link, base={"city": base}, put_back={"city": back})))
    assert decide(runtime, f"1,cus_1,city,{verdict}").left == {}
    with store.reading() as tx:
        (after,) = tx.links.of_ids(["1"], [])
        kept = {(row.conflict.kind, row.conflict.value) for row in tx.conflicts.list() if row.conflict.field == "city"}
    assert "Nantes" not in {note.value for note in after.put_back.values()}
    assert ("overwritten", "Nantes") in kept


def test_a_skipped_key_is_not_queued(runtime: Runtime, store: Store) -> None:
    applied = decide(runtime, "1,cus_1,,skip")
    assert (applied.jobs, applied.avoid, queued(store)) == (0, {"contact:1"}, set())


def test_one_line_that_cannot_be_applied_refuses_the_file(runtime: Runtime, store: Store) -> None:
    with pytest.raises(ConfigError, match="line 3"):
        decide(runtime, "2,,,exclude", "9,,,exclude")
    with store.reading() as tx:
        assert tx.records.get_many([(HUBSPOT, "2")])[HUBSPOT, "2"].note is None


def delete_both(store: Store, *, erased: bool = False) -> None:
    """Contact 2's customer was deleted, or the data of a person with its address were erased."""

    def bury(tx: Tx) -> None:
        hmacs = tx.records.get_many([(HUBSPOT, "2")])[HUBSPOT, "2"].hmacs
        tx.tombstones.put(STRIPE, "cus_9", hmacs, tx.now_ms, erased=erased)

    store.run(bury)


@pytest.mark.case(49)
def test_a_decision_to_create_wins_over_an_old_deletion_until_it_is_carried_out(runtime: Runtime, store: Store) -> None:
    delete_both(store)
    assert compare(runtime).counts[DifferenceClass.CREATE_CUSTOMER] == 0
    decide(runtime, "2,,,create")
    assert (STRIPE, "contact:2") in queued(store)
    assert compare(runtime).counts[DifferenceClass.CREATE_CUSTOMER] == 1
    with store.reading() as tx:
        assert tx.records.get_many([(HUBSPOT, "2")])[HUBSPOT, "2"].note == WANTED


def test_a_privacy_deletion_is_lifted_by_a_decision_only(runtime: Runtime, store: Store) -> None:
    delete_both(store, erased=True)
    with pytest.raises(ConfigError, match="write lift"):
        decide(runtime, "2,,,create")
    decide(runtime, "2,,,lift")
    assert (STRIPE, "contact:2") in queued(store)
    assert compare(runtime).counts[DifferenceClass.CREATE_CUSTOMER] == 1


def test_a_record_that_is_neither_listed_nor_found_is_missing_and_not_orphaned(
    runtime: Runtime, store: Store, sides: Sides
) -> None:
    def lose(tx: Tx) -> None:
        copies = tx.records.get_many([(HUBSPOT, "1"), (HUBSPOT, "2")])
        tx.records.put_many([replace(copy, absent_ms=1, missing=True) for copy in copies.values()])

    store.run(lose)
    for record_id in ("1", "2"):
        del sides.contacts[record_id]
    counts = compare(runtime).counts
    # Both contacts, and the customer that belongs to one of them.
    assert (counts[DifferenceClass.MISSING], counts[DifferenceClass.ORPHANED]) == (3, 0)
