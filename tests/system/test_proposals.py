"""Plan files against the sandbox: saved, looked through, and carried out exactly, or left alone and named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import Stage
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.reconcile.compare import Report
from wanesync.reconcile.plan_files import PlanFiles, PlanScope, PlanSelection, PlanSummary
from wanesync.reconcile.run import Selection
from wanesync.wiring import build_catch_up, build_reconcile

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE


@pytest.fixture
def stage(database_url: str, tmp_path: Path) -> Iterator[Stage]:
    with Stage(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


def look(stage: Stage) -> Report:
    build_catch_up(stage.runtime).mark_start()
    return build_reconcile(stage.runtime).compare(lambda _side, _count: None, lambda _count: None)


def save(stage: Stage, plan: Path, scope: PlanScope | None = None) -> PlanSummary:
    return proposals(stage).save(look(stage), plan, scope)


def proposals(stage: Stage) -> PlanFiles:
    return PlanFiles(stage.runtime)


def apply(stage: Stage, plan: Path) -> PlanSelection:
    """As the command does: listed anew, and only what still stands is queued."""
    told: list[int] = []
    rounds = build_reconcile(stage.runtime)
    report = rounds.compare(lambda _side, _count: None, lambda _count: None, fresh=True)
    chosen = proposals(stage).choose(report, plan, told.append)
    assert sum(told) == len(chosen.keys) + len(chosen.skipped)
    rounds.queue(report, Selection(keys=frozenset(chosen.keys)))
    return chosen


def people(stage: Stage) -> dict[str, str]:
    """One person of each kind, by what is to be done about them: the id of the record."""
    return {
        "fill": stage.edit(HUBSPOT, "create", email="fill@example.org", phone="+1 202 555 0100"),
        "customer": stage.edit(STRIPE, "create", email="fill@example.org"),
        "alone": stage.edit(HUBSPOT, "create", email="alone@example.org", firstname="Quentin", lastname="Alone"),
        "there": stage.edit(STRIPE, "create", email="there@example.org", name="Theodora There"),
        "same": stage.edit(HUBSPOT, "create", email="same@example.org"),
        "twin": stage.edit(STRIPE, "create", email="same@example.org"),
    }


def settle(stage: Stage) -> None:
    stage.work()
    stage.rest()


def test_a_plan_is_carried_out_exactly(stage: Stage, plan: Path) -> None:
    people(stage)
    saved = save(stage, plan)
    assert dict(saved.items) == {
        DifferenceClass.UPDATE_CUSTOMER: 1,
        DifferenceClass.CREATE_CUSTOMER: 1,
        DifferenceClass.CREATE_CONTACT: 1,
    }
    assert saved.links == 1
    assert not stage.writes(HUBSPOT)
    assert not stage.writes(STRIPE)
    applied = apply(stage, plan)
    assert (len(applied.keys), applied.skipped) == (4, [])
    settle(stage)
    assert stage.customer("fill@example.org")["phone"]
    assert stage.customer("alone@example.org")["name"] == "Quentin Alone"
    assert stage.contact("there@example.org")["lastname"] == "There"
    assert [len(stage.writes(STRIPE, "customer")), len(stage.writes(HUBSPOT, "contact"))] == [2, 1], stage.writes(
        STRIPE
    )
    assert look(stage).actionable == 0
    with stage.store.reading() as tx:
        assert tx.links.count_active() == 4


def test_a_plan_file_is_one_document_without_a_value_and_for_its_owner(stage: Stage, plan: Path) -> None:
    people(stage)
    save(stage, plan)
    text = plan.read_text()
    assert plan.stat().st_mode & 0o777 == 0o600
    assert not [value for value in ("example.org", "Quentin", "Theodora", "5550100", "555 0100") if value in text]
    document = json.loads(text)
    assert {"version", "made_ms", "pins", "fields_version", "counts", "items", "links", "digest"} == document.keys()
    (fill,) = [item for item in document["items"] if item["class"] == "update_customer"]
    assert set(fill["fields"]) == {"phone"}
    assert fill["fields"]["phone"].keys() == {"writes", "from", "to"}
    assert [path.name for path in plan.parent.glob(".plan*")] == []


def test_an_empty_plan_is_a_plan(stage: Stage, plan: Path) -> None:
    assert save(stage, plan) == PlanSummary()
    assert json.loads(plan.read_text())["items"] == []
    assert apply(stage, plan) == PlanSelection()


def test_what_changed_meanwhile_is_skipped_and_named(stage: Stage, plan: Path) -> None:
    ids = people(stage)
    save(stage, plan)
    stage.edit(HUBSPOT, "update", ids["fill"], phone="+1 202 555 0199")
    stage.edit(STRIPE, "delete", ids["there"])
    applied = apply(stage, plan)
    skipped = {deviation.key: deviation for deviation in applied.skipped}
    assert skipped.keys() == {f"contact:{ids['fill']}", f"customer:{ids['there']}"}
    assert skipped[f"contact:{ids['fill']}"].kinds == (DifferenceClass.UPDATE_CUSTOMER,)
    assert skipped[f"contact:{ids['fill']}"].fields == ("phone",)
    settle(stage)
    assert not stage.contact("there@example.org")
    assert stage.customer("alone@example.org")


def test_a_customer_made_meanwhile_is_not_made_twice(stage: Stage, plan: Path) -> None:
    people(stage)
    save(stage, plan)
    stage.edit(STRIPE, "create", email="alone@example.org")
    applied = apply(stage, plan)
    assert (DifferenceClass.CREATE_CUSTOMER,) in [deviation.kinds for deviation in applied.skipped]
    settle(stage)
    made = [c for c in stage.sandbox.records(STRIPE) if c.get("email") == "alone@example.org"]
    assert len(made) == 1


def test_a_plan_applied_twice_does_nothing_the_second_time(stage: Stage, plan: Path) -> None:
    people(stage)
    save(stage, plan)
    apply(stage, plan)
    settle(stage)
    before = stage.writes(STRIPE), stage.writes(HUBSPOT)
    assert len(apply(stage, plan).skipped) == 4
    stage.rest()
    assert (stage.writes(STRIPE), stage.writes(HUBSPOT)) == before


def test_a_canary_and_a_class_of_a_plan(stage: Stage, plan: Path) -> None:
    people(stage)
    assert save(stage, plan, PlanScope(limit=1)) == PlanSummary(links=1)
    saved = save(stage, plan, PlanScope(only=frozenset({DifferenceClass.CREATE_CONTACT})))
    assert (dict(saved.items), saved.links) == ({DifferenceClass.CREATE_CONTACT: 1}, 0)
    apply(stage, plan)
    settle(stage)
    assert stage.contact("there@example.org")
    assert not stage.customer("alone@example.org")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"update_customer"', b'"create_customer"'),
        (b'"items": [\n', b'"items":  [\n'),
        (b"contact:", b"contact:9"),
        (b"}\n]", b"}\n]"),
    ],
    ids=["class", "spacing", "key", "nothing"],
)
def test_an_edited_plan_is_refused(sqlite_url: str, tmp_path: Path, plan: Path, old: bytes, new: bytes) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        people(stage)
        save(stage, plan)
        data = plan.read_bytes()
        assert old in data
        if old == new:
            plan.write_bytes(data + b"\n")
        else:
            plan.write_bytes(data.replace(old, new, 1))
        with pytest.raises(ConfigError, match="altered"):
            apply(stage, plan)
        with stage.store.reading() as tx:
            assert not tx.jobs.depth()


def test_a_plan_of_elsewhere_or_of_another_time_is_refused(sqlite_url: str, tmp_path: Path, plan: Path) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        people(stage)
        save(stage, plan)
        with stage.store.transaction() as tx:
            tx.settings.put("pin_portal", "1")
        with pytest.raises(ConfigError, match="HubSpot portal"):
            apply(stage, plan)
        data = plan.read_bytes()
        plan.write_bytes(data.replace(b'"version": 1', b'"version": 2', 1))
        with pytest.raises(ConfigError, match="another version"):
            apply(stage, plan)
        plan.write_bytes(data[: len(data) // 2])
        with stage.store.transaction() as tx:
            tx.settings.put("pin_portal", stage.runtime.options.portal_id)
        with pytest.raises(ConfigError, match="altered"):
            apply(stage, plan)
        plan.write_text("email,phone\n")
        with pytest.raises(ConfigError, match="no plan"):
            apply(stage, plan)
        with pytest.raises(ConfigError, match="cannot read"):
            apply(stage, plan.with_name("gone.json"))


def test_a_plan_that_cannot_be_written_leaves_the_older_one(sqlite_url: str, tmp_path: Path, plan: Path) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        with pytest.raises(ConfigError, match="cannot write"):
            save(stage, tmp_path / "nowhere" / "plan.json")
        plan.mkdir()
        with pytest.raises(ConfigError, match="cannot write"):
            save(stage, plan)
        assert list(tmp_path.glob(".plan*")) == []
