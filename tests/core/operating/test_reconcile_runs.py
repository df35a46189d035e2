"""Runs that operators ask for: what each state allows, and to whom."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from wanesync.core.errors import GuardError
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.reconcile_runs import (
    ASKED_LIMIT_MS,
    BEAT_LIMIT_MS,
    MEANING,
    Approvals,
    Run,
    RunFacts,
    RunOptions,
    RunState,
    read_facts,
)

ADA, BOB = Operator("ada", Via.PAGE), Operator("bob", Via.PAGE)
FACTS = RunFacts(RunOptions(("create_contact",), 5, True), "ada", made_ms=1, compared_ms=2)


def a_run(state: RunState, facts: RunFacts = FACTS) -> Run:
    return Run("r1", state, 1_000, "runs 7", False, facts)


def test_facts_survive_json() -> None:
    facts = replace(FACTS, progress={"listed": (5, None), "compared": (1, 2)}, confirmed=Approvals(3), counts={"a": 1})
    facts = replace(facts, waits_for={"stripe": "a quota"})
    assert read_facts(orjson.loads(orjson.dumps(facts.as_json()))) == facts
    assert orjson.dumps(read_facts(orjson.loads(orjson.dumps(facts.as_json()))).as_json()) == orjson.dumps(
        facts.as_json()
    )
    assert read_facts({"unknown": 1}) == RunFacts()


def test_a_run_that_has_ended_waits_for_nothing() -> None:
    facts = RunFacts(waits_for={"stripe": "a quota"})
    assert a_run(RunState.COMPARING, facts).waits_for == {"stripe": "a quota"}
    assert a_run(RunState.BROKEN, facts).waits_for == {}


def test_every_state_has_a_meaning() -> None:
    assert set(MEANING) == set(RunState)


@pytest.mark.parametrize("state", list(RunState))
def test_only_what_was_compared_and_stands_still_is_applied(state: RunState) -> None:
    open_states = {RunState.PLANNED, RunState.APPROVED, RunState.BROKEN, RunState.FAILED}
    assert a_run(state).may_apply(approval=False) == (state in open_states)
    assert not a_run(RunState.BROKEN, RunFacts()).may_apply(approval=False)
    if state not in open_states:
        with pytest.raises(GuardError, match="cannot be applied"):
            a_run(state).check_apply(approval=False)
        with pytest.raises(GuardError):
            a_run(state).check_discard()


def test_where_approval_is_asked_for_another_person_gives_it() -> None:
    planned = a_run(RunState.PLANNED)
    assert not planned.may_apply(approval=True)
    with pytest.raises(GuardError, match="approved first"):
        planned.check_apply(approval=True)
    assert not planned.may_approve(True, ADA)
    with pytest.raises(GuardError, match="another operator must"):
        planned.check_approve(True, Operator("ADA", Via.CLI))
    assert planned.may_approve(True, BOB)
    planned.check_approve(True, BOB)
    with pytest.raises(GuardError, match="need no approval"):
        planned.check_approve(False, BOB)
    with pytest.raises(GuardError, match="cannot be approved"):
        a_run(RunState.APPLIED).check_approve(True, BOB)
    assert a_run(RunState.APPROVED, replace(FACTS, approved_by="bob")).may_apply(approval=True)


def test_a_run_without_a_sign_of_life_is_lost() -> None:
    working, asked = a_run(RunState.COMPARING), a_run(RunState.ASKED)
    assert not working.is_lost(1_000 + BEAT_LIMIT_MS)
    assert working.is_lost(1_001 + BEAT_LIMIT_MS)
    assert not asked.is_lost(1_001 + BEAT_LIMIT_MS)
    assert asked.is_lost(1_001 + ASKED_LIMIT_MS)
    assert not a_run(RunState.PLANNED).is_lost(10**12)
