"""A plan file shows no value, is applied only where it is still valid, and is refused when it was altered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.reconcile_harness import Sides, compare, ignore, make_runtime
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.reconcile.plan_files import PlanFiles, PlanScope, PlanSelection, PlanSummary
from wanesync.store.database import Store
from wanesync.sync.runtime import Runtime


@pytest.fixture
def sides(store: Store) -> Sides:
    """A pair that is only to be linked, a pair with a blank to fill, and a contact that is alone."""
    made = Sides(store.now_ms())
    made.add_contact("1", email="same@example.com")
    made.add_customer("cus_1", email="same@example.com")
    made.add_contact("2", email="fill@example.com", city="Lyon")
    made.add_customer("cus_2", email="fill@example.com")
    made.add_contact("3", email="alone@example.com")
    return made


@pytest.fixture
def runtime(store: Store, sides: Sides) -> Runtime:
    return make_runtime(store, sides)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


def save(runtime: Runtime, plan: Path, scope: PlanScope | None = None) -> PlanSummary:
    return PlanFiles(runtime).save(compare(runtime), plan, scope)


def choose(runtime: Runtime, plan: Path) -> PlanSelection:
    return PlanFiles(runtime).choose(compare(runtime), plan, ignore)


def test_what_is_still_the_same_is_chosen(runtime: Runtime, plan: Path) -> None:
    saved = save(runtime, plan)
    assert saved == PlanSummary(
        {DifferenceClass.UPDATE_CUSTOMER: 1, DifferenceClass.CREATE_CUSTOMER: 1},  # type: ignore[arg-type] # equal to a counter
        links=1,
    )
    assert choose(runtime, plan) == PlanSelection({"contact:1", "contact:2", "contact:3"}, [])


def test_what_changed_is_skipped_with_the_fields(runtime: Runtime, sides: Sides, plan: Path) -> None:
    save(runtime, plan)
    sides.add_contact("2", email="fill@example.com", city="Leeds")
    sides.add_contact("1", email="same@example.com", city="Leeds")
    chosen = choose(runtime, plan)
    assert chosen.keys == {"contact:3"}
    assert {(skipped.key, skipped.fields) for skipped in chosen.skipped} == {
        ("contact:1", ()),
        ("contact:2", ("city",)),
    }


def test_a_plan_shows_no_value(runtime: Runtime, plan: Path) -> None:
    save(runtime, plan)
    document = json.loads(plan.read_text())
    assert document.keys() == {"version", "made_ms", "pins", "fields_version", "counts", "links", "items", "digest"}
    assert not any(value in plan.read_text() for value in ("example.com", "Lyon"))


@pytest.mark.parametrize(
    ("scope", "classes", "links"),
    [
        (PlanScope(limit=1), set(), 1),
        (PlanScope(limit=2), {"update_customer"}, 1),
        (PlanScope(only=frozenset({DifferenceClass.CREATE_CUSTOMER})), {"create_customer"}, 0),
    ],
    ids=["a pair", "a pair and a person", "a class"],
)
def test_a_plan_can_be_restricted(
    runtime: Runtime, plan: Path, scope: PlanScope, classes: set[str], links: int
) -> None:
    save(runtime, plan, scope)
    document = json.loads(plan.read_text())
    assert ({item["class"] for item in document["items"]}, len(document["links"])) == (classes, links)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("update_customer", "create_customer", "altered"),
        ('"digest": "', '"digest": "0', "altered"),
        ("contact:3", "contact:4", "altered"),
        ('"version": 1', '"version": 2', "another version"),
        ("{", "[", "no plan"),
    ],
)
def test_an_altered_plan_is_refused(runtime: Runtime, plan: Path, old: str, new: str, message: str) -> None:
    save(runtime, plan)
    plan.write_text(plan.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        PlanFiles(runtime).check(plan)


def test_a_plan_of_another_account_or_field_map_is_refused(runtime: Runtime, store: Store, plan: Path) -> None:
    save(runtime, plan)
    fields = replace(runtime.rules.fields, specs=runtime.rules.fields.specs[:-1])
    other = replace(runtime, rules=replace(runtime.rules, fields=fields))
    with pytest.raises(ConfigError, match="field map"):
        PlanFiles(other).check(plan)
    store.run(lambda tx: tx.settings.put("pin_portal", "42"))
    with pytest.raises(ConfigError, match="HubSpot portal"):
        PlanFiles(runtime).check(plan)


def test_a_cut_plan_is_refused(runtime: Runtime, plan: Path) -> None:
    save(runtime, plan)
    lines = plan.read_bytes().splitlines(keepends=True)
    for end in range(len(lines)):
        plan.write_bytes(b"".join(lines[:end]))
        with pytest.raises(ConfigError):
            PlanFiles(runtime).check(plan)
