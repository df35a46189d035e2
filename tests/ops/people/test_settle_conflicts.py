"""Conflicts are settled as a person chose: closed, kept in the journal, audited, and written by the workers only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.reconcile_harness import InstantClock, Sides, finish_jobs, lock_by_another, store_all
from wanesync.core.errors import ConfigError, GuardError, NotFound
from wanesync.core.model import Conflict, Link, LinkState, Side, both_right_key
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.people.conflicts import Pick, read_conflict
from wanesync.ops.people.settle_conflicts import (
    Choice,
    ConflictSelection,
    ConflictSettler,
    Settled,
    check_choice,
    check_count,
    select_conflicts,
)
from wanesync.reconcile.apply_decisions import CHANGED, LOCKED
from wanesync.store.database import Store, Tx
from wanesync.store.tables.conflicts import ConflictFilter, KindGroup
from wanesync.store.tables.operating.audit import AuditFilter
from wanesync.sync.runtime import Runtime

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
ANNA = Operator("anna", Via.CLI)
MANY = 1_000


@pytest.fixture(name="runtime")
def keep_conflicts(store: Store) -> Runtime:
    """A linked pair with two cities, of which one more was overwritten, and one phone number that lost."""
    sides = Sides(store.now_ms())
    sides.add_contact("1", email="ana@example.com", city="Lyon", phone="112")
    sides.add_customer("cus_1", email="ana@example.com", city="Leeds", phone="112")
    sides.add_contact("2", email="ben@example.com", city="Ulm")
    runtime = store_all(store, sides)
    base = {"email": ("ana@example.com",) * 2, "city": ("Lyon", "Leeds"), "phone": ("112", "112")}

    def keep(tx: Tx) -> None:
        tx.links.put(Link("k1", "1", "cus_1", primary=True, base=base, version=1))
        for conflict in (
            Conflict(HUBSPOT, "1", "city", "Lyon", "differ"),
            Conflict(STRIPE, "cus_1", "city", "Leeds", "differ"),
            Conflict(STRIPE, "cus_1", "city", "Bonn", "overwritten"),
            Conflict(HUBSPOT, "1", "phone", "110", "policy"),
        ):
            tx.conflicts.put(conflict, "k1")
        tx.conflicts.put(Conflict(HUBSPOT, "2", "city", "Graz", "overwritten"), "")

    store.run(keep)
    return runtime


def select(runtime: Runtime, wanted: ConflictFilter | None = None) -> ConflictSelection:
    return select_conflicts(runtime.store, runtime.rules.fields, wanted or ConflictFilter(), MANY)


def settle(runtime: Runtime, choice: Choice, *people: str, field: str = "") -> Settled:
    selection = select(runtime, ConflictFilter(field=field, people=people))
    return ConflictSettler(runtime, ANNA, InstantClock()).settle(selection, choice)


def open_values(store: Store) -> list[str]:
    with store.reading() as tx:
        return sorted(row.conflict.value for row in tx.conflicts.list())


def read_link(store: Store) -> Link:
    with store.reading() as tx:
        link = tx.links.get("k1")
    assert link is not None
    return link


def test_a_side_that_is_right_closes_all_of_the_field_and_queues_one_job(runtime: Runtime, store: Store) -> None:
    done = settle(runtime, Choice(Pick.HUBSPOT), "cus_1", field="city")
    assert (done.conflicts, done.fields, done.people, done.jobs, done.left) == (3, 1, 1, 1, [])
    assert open_values(store) == ["110", "Graz"]
    assert read_link(store).base["city"] == ("Leeds", "Leeds")
    assert finish_jobs(store) == [(STRIPE, "contact:1")]


def test_nothing_but_the_link_and_the_conflicts_is_changed(runtime: Runtime, store: Store) -> None:
    settle(runtime, Choice(Pick.STRIPE), "cus_1", field="city")
    with store.reading() as tx:
        copies = tx.records.get_many([(HUBSPOT, "1"), (STRIPE, "cus_1")])
        assert [copy.record.values["city"] for _, copy in sorted(copies.items())] == ["Lyon", "Leeds"]
        assert tx.pending_writes.open_for_keys(["contact:1"]) == []


def test_the_journal_and_the_audit_log_name_the_operator(runtime: Runtime, store: Store) -> None:
    settle(runtime, Choice(Pick.HUBSPOT), "1", field="city")
    with store.reading() as tx:
        rows = [row for row in tx.journal.latest(20) if row.operator is not None]
        (audit,) = tx.audit.find(AuditFilter(action="decision.apply"), 10)
    assert {row.operator for row in rows} == {ANNA}
    closed = {row.data["kind"] for row in rows if row.kind == "conflict closed"}
    assert closed == {"differ", "overwritten", "policy"}
    assert (audit.operator, audit.subject) == (ANNA, "1 cus_1")
    assert "Lyon" not in str(audit)
    assert "Leeds" not in str(audit)


def test_a_kept_value_is_put_on_its_side_first(runtime: Runtime, store: Store) -> None:
    with store.reading() as tx:
        (row,) = [row for row in tx.conflicts.list() if row.conflict.value == "110"]
    done = settle(runtime, Choice(Pick.KEPT), row.id)
    assert (done.conflicts, done.left) == (1, [])
    back = read_link(store).put_back["phone"]
    assert (back.side, back.value, back.over, back.decided) == (HUBSPOT, "110", ("112", "112"), False)
    assert finish_jobs(store) == [(HUBSPOT, "contact:1")]


def test_a_typed_value_and_both_right(runtime: Runtime, store: Store) -> None:
    settle(runtime, Choice(Pick.VALUE, "Graz"), "1", field="city")
    assert read_link(store).put_back["city"].value == "Graz"  # city is Stripe's
    assert read_link(store).put_back["city"].side is STRIPE
    finish_jobs(store)
    settle(runtime, Choice(Pick.BOTH), "1", field="phone")
    assert both_right_key("phone") not in read_link(store).base  # both agree: there is only a value to forget
    assert open_values(store) == ["Graz"]


def test_both_right_is_noted_where_they_differ(runtime: Runtime, store: Store) -> None:
    done = settle(runtime, Choice(Pick.BOTH), "1", field="city")
    link = read_link(store)
    assert link.base[both_right_key("city")] == link.base["city"] == ("Lyon", "Leeds")
    assert done.conflicts == 3


def test_all_that_match_are_settled_and_the_rest_is_left_with_its_reason(runtime: Runtime, store: Store) -> None:
    done = settle(runtime, Choice(Pick.HUBSPOT))
    assert (done.conflicts, done.fields, done.people) == (4, 2, 1)
    assert [why for _, why in done.left] == ["hubspot does not fit: the two records are no pair"]
    assert settle(runtime, Choice(Pick.BOTH)).conflicts == 1
    assert open_values(store) == []


def test_a_preview_changes_nothing(runtime: Runtime, store: Store) -> None:
    before = open_values(store)
    done = ConflictSettler(runtime, ANNA).preview(select(runtime), Choice(Pick.STRIPE))
    assert (done.conflicts, done.jobs, open_values(store)) == (4, 0, before)
    assert finish_jobs(store) == []


def test_a_value_that_changed_since_it_was_shown_is_left(runtime: Runtime, store: Store) -> None:
    selection = select(runtime, ConflictFilter(field="city", people=("1",)))

    def edit(tx: Tx) -> None:
        copy = tx.records.get(HUBSPOT, "1")
        assert copy is not None
        values = {**copy.record.values, "city": "Paris"}
        tx.records.put_many([replace(copy, record=replace(copy.record, values=values), revision=copy.revision + 1)])

    store.run(edit)
    done = ConflictSettler(runtime, ANNA, InstantClock()).settle(selection, Choice(Pick.STRIPE))
    assert [why for _, why in done.left] == [CHANGED]
    assert len(open_values(store)) == 5


def test_a_locked_person_is_left(runtime: Runtime, store: Store) -> None:
    lock_by_another(store, "contact:1")
    done = settle(runtime, Choice(Pick.HUBSPOT), "1", field="city")
    assert ([why for _, why in done.left], done.conflicts) == ([LOCKED], 0)


def test_where_nothing_flows_only_both_right_fits(runtime: Runtime, store: Store) -> None:
    store.run(lambda tx: tx.links.put(replace(read_link(store), state=LinkState.RELEASED, primary=False, version=2)))
    assert settle(runtime, Choice(Pick.HUBSPOT), "1", field="phone").conflicts == 0
    assert settle(runtime, Choice(Pick.BOTH), "1", field="phone").conflicts == 1


def test_several_kept_values_are_told_apart_by_their_id(runtime: Runtime, store: Store) -> None:
    store.run(lambda tx: tx.conflicts.put(Conflict(HUBSPOT, "1", "city", "Nice", "overwritten"), "k1"))
    done = settle(runtime, Choice(Pick.KEPT), "1", field="city")
    assert [why for _, why in done.left] == ["it has 2 kept values: choose one of them by its id"]
    with store.reading() as tx:
        (row,) = [row for row in tx.conflicts.list() if row.conflict.value == "Nice"]
    assert settle(runtime, Choice(Pick.KEPT, conflict_id=row.id), row.id).conflicts == 4
    assert read_link(store).put_back["city"].value == "Nice"


def test_the_number_must_be_the_one_that_was_confirmed(runtime: Runtime) -> None:
    selection = select(runtime, ConflictFilter(group=KindGroup.STANDING))
    check_count(selection, 3)  # with the overwritten value of the same field
    with pytest.raises(GuardError, match="3 conflicts are selected by now, and 2 were confirmed"):
        check_count(selection, 2)


def test_a_choice_and_its_value_belong_together() -> None:
    check_choice(Choice(Pick.VALUE, "Ulm"))
    for choice in (Choice(Pick.VALUE, " "), Choice(Pick.BOTH, "Ulm")):
        with pytest.raises(ConfigError, match="a value is given with the choice value"):
            check_choice(choice)


def test_what_may_be_chosen_says_why_not(runtime: Runtime, store: Store) -> None:
    (entry,) = select(runtime, ConflictFilter(field="city", people=("1",))).entries
    assert [(one.pick, one.value, one.why_not) for one in entry.options] == [
        (Pick.HUBSPOT, "Lyon", ""),
        (Pick.STRIPE, "Leeds", ""),
        (Pick.BOTH, "", ""),
        (Pick.KEPT, "Bonn", ""),
        (Pick.VALUE, "", ""),
    ]
    alone = read_conflict(
        store, runtime.rules.fields, select(runtime, ConflictFilter(people=("2",))).entries[0].rows[0].id
    )
    assert {one.why_not for one in alone.options if one.pick is not Pick.BOTH} == {"the record is not linked"}


def test_an_unknown_id_is_named(runtime: Runtime) -> None:
    with pytest.raises(NotFound, match="no open conflict is of cus_9"):
        select(runtime, ConflictFilter(people=("cus_9",)))
    with pytest.raises(NotFound, match="no open conflict has the id x"):
        read_conflict(runtime.store, runtime.rules.fields, "x")
