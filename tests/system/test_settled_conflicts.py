"""Conflicts settled and records linked beside the sandbox: what each comes to once the workers did their part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import Stage
from tests.system.test_proposals import look, settle
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.model import LinkState, Side
from wanesync.core.operating.explanation import SyncState
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.people.conflicts import Pick
from wanesync.ops.people.links import Linker
from wanesync.ops.people.person import read_person_page
from wanesync.ops.people.settle_conflicts import Choice, ConflictSettler, Settled, select_conflicts
from wanesync.ops.people.timeline import What
from wanesync.store.tables.conflicts import ConflictFilter

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
ADA = "ada@example.org"
ANNA = Operator("anna", Via.CLI)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A linked pair with two companies, which both stand."""
    with Stage(f"sqlite:{tmp_path / 'wanesync.db'}", tmp_path) as opened:
        opened.edit(HUBSPOT, "create", email=ADA, company="Here Ltd")
        opened.edit(STRIPE, "create", email=ADA, business_name="There Inc")
        opened.reconcile()
        settle(opened)
        assert companies(opened) == ("Here Ltd", "There Inc")
        yield opened


def companies(stage: Stage) -> tuple[str, str]:
    return stage.contact(ADA).get("company", ""), stage.customer(ADA).get("business_name", "")


def choose(stage: Stage, pick: Pick, value: str = "") -> Settled:
    selection = select_conflicts(stage.store, stage.runtime.rules.fields, ConflictFilter(field="company"), 10)
    done = ConflictSettler(stage.runtime, ANNA).settle(selection, Choice(pick, value))
    stage.rest()
    return done


def count_open(stage: Stage) -> int:
    with stage.store.reading() as tx:
        return tx.conflicts.count_open()


def state(stage: Stage) -> SyncState:
    return read_person_page(stage.store, stage.runtime.rules, ADA).explanation.state


@pytest.mark.parametrize(
    ("pick", "value", "after"),
    [
        (Pick.STRIPE, "", ("There Inc", "There Inc")),
        (Pick.VALUE, "New GmbH", ("New GmbH", "New GmbH")),
        (Pick.BOTH, "", ("Here Ltd", "There Inc")),
    ],
)
def test_what_was_chosen_stands_and_nothing_is_left_to_do(
    stage: Stage, pick: Pick, value: str, after: tuple[str, str]
) -> None:
    assert state(stage) is SyncState.NEEDS_DECISION
    done = choose(stage, pick, value)
    assert (done.conflicts, done.left) == (2, [])
    assert companies(stage) == after
    assert (count_open(stage), look(stage).counts[DifferenceClass.CONFLICT], state(stage)) == (0, 0, SyncState.IN_SYNC)


def test_a_value_that_lost_is_taken_back(stage: Stage) -> None:
    choose(stage, Pick.VALUE, "New GmbH")
    stage.edit(HUBSPOT, "update", stage.contact(ADA)["id"], company="Mine")
    stage.edit(STRIPE, "update", stage.customer(ADA)["id"], business_name="Yours")
    stage.reconcile()
    settle(stage)
    assert (companies(stage), count_open(stage)) == (("Mine", "Mine"), 1)
    choose(stage, Pick.KEPT)
    assert (companies(stage), count_open(stage)) == (("Yours", "Yours"), 0)


def test_an_edit_after_both_right_flows(stage: Stage) -> None:
    choose(stage, Pick.BOTH)
    stage.edit(STRIPE, "update", stage.customer(ADA)["id"], business_name="Edited")
    stage.reconcile()
    settle(stage)
    assert (companies(stage), count_open(stage)) == (("Edited", "Edited"), 0)


def test_an_unlinked_pair_stays_apart_and_a_linked_one_meets_again(stage: Stage) -> None:
    choose(stage, Pick.BOTH)
    contact_id, customer_id = stage.contact(ADA)["id"], stage.customer(ADA)["id"]
    linker = Linker(stage.runtime, ANNA)
    linker.unlink(contact_id, customer_id)
    stage.edit(HUBSPOT, "update", contact_id, company="Alone")
    stage.reconcile()
    settle(stage)
    assert companies(stage) == ("Alone", "There Inc")
    linker.link(contact_id, customer_id)
    settle(stage)
    person = read_person_page(stage.store, stage.runtime.rules, ADA)
    assert person.link is not None
    assert (person.link.state, companies(stage)) == (LinkState.ACTIVE, ("Alone", "There Inc"))
    assert person.explanation.state is SyncState.NEEDS_DECISION
    assert [str(entry.operator) for entry in person.timeline if entry.what is What.DECISION].count("anna (cli)") >= 3
