"""Runs as pages and the API show them."""

from __future__ import annotations

from wanesync.admin.run_views import find_confirmations, list_steps, list_waits, show_fields
from wanesync.admin.security.visitors import Visitor
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.normalize import NAME_PARTS
from wanesync.core.operating.operators import OperatorRole, Via
from wanesync.core.operating.reconcile_runs import Run, RunFacts, RunState
from wanesync.ops.reconcile.runs import PlannedChange, PlannedField


def a_run(facts: RunFacts, state: RunState = RunState.PLANNED) -> Run:
    return Run("r1", state, 0, "", False, facts)


def test_steps_are_shown_in_their_order_with_their_share() -> None:
    steps = list_steps(a_run(RunFacts(progress={"customers_listed": (5, None), "contacts_listed": (50, 200)})))
    assert [(step.label, step.share) for step in steps] == [
        ("HubSpot contacts listed", 25), ("Stripe customers listed", None),
    ]  # fmt: skip


def test_what_the_listings_of_a_run_at_work_wait_for_is_shown_by_side() -> None:
    facts = RunFacts(waits_for={"stripe": "the reads of this month are used up", "hubspot": "the day is used up"})
    assert list_waits(a_run(facts, RunState.COMPARING)) == [
        "HubSpot waits: the day is used up", "Stripe waits: the reads of this month are used up",
    ]  # fmt: skip
    assert list_waits(a_run(facts, RunState.BROKEN)) == []


def test_only_what_the_guards_would_stop_must_be_confirmed() -> None:
    few = find_confirmations(a_run(RunFacts(volume={"links": 100, "overwritten": 30, "created_contacts": 100})))
    assert (few.overwritten, few.created) == (0, 0)
    many = find_confirmations(
        a_run(RunFacts(volume={"links": 100, "overwritten": 31, "created_contacts": 60, "created_customers": 41}))
    )
    assert (many.overwritten, many.created) == (31, 101)


def test_values_are_masked_by_their_kind() -> None:
    fields = [
        PlannedField("email", "ada@example.com", "bob@example.org", "stripe", "ada@example.com"),
        PlannedField("name", f"Ada{NAME_PARTS}Lovelace", "", "hubspot", f"Ada{NAME_PARTS}L"),
        PlannedField("phone", "+49301234567", "+49307654321", why="kept"),
    ]
    change = PlannedChange(DifferenceClass.UPDATE_CUSTOMER, "contact:7", "7", "cus_7", "", fields, True, "p")
    email, name, phone = show_fields(Visitor("ada", OperatorRole.VIEWER, Via.PAGE), change)
    assert (email.before, email.after) == ("b•••@e•••.org", "a•••@e•••.com")
    assert (name.before, name.after) == ("A••• L•••", "A••• •••")
    assert (phone.before, phone.after, phone.writes) == ("•••67", "•••21", "")
