"""A saved plan on the screen and as JSON: counts, the first of each class, masked unless asked for."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from tests.support.reports import CREATED, UPDATED, VALUES
from wanesync.cli.reports.differences import MAX_ROWS_PER_CLASS
from wanesync.cli.reports.plan_report import show_plan, write_plan_json
from wanesync.core.diff.difference import Difference
from wanesync.core.diff.plan_items import PlanHeader
from wanesync.reconcile.plan_files import SavedPlan

HEADER = PlanHeader("4242", "acct_7", "test", "1", 1_790_000_000_000)


def plan_of(*differences: Difference) -> SavedPlan:
    return SavedPlan(HEADER, ["contact:1", "contact:9"], iter(differences))


def screen_of(plan: SavedPlan, *, show_values: bool = False) -> str:
    out = io.StringIO()
    show_plan(Console(file=out, width=160, highlight=False), plan, show_values=show_values)
    return out.getvalue()


def json_of(plan: SavedPlan, *, show_values: bool = False) -> dict[str, object]:
    out = io.StringIO()
    write_plan_json(plan, out, show_values=show_values)
    document: dict[str, object] = json.loads(out.getvalue())
    return document


def test_the_screen_names_the_accounts_the_counts_and_what_would_be_written() -> None:
    shown = screen_of(plan_of(CREATED, UPDATED), show_values=True)
    said = "for HubSpot portal 4242 and Stripe account acct_7 (test): 2 pairs to be linked."
    for text in (said, "2026-09-21", "create_customer", "update_customer", "city WIEN → Wien", "ada@example.com"):
        assert text in shown


def test_of_a_long_class_the_first_are_shown_and_the_rest_counted() -> None:
    many = [replace(UPDATED, hubspot_id=str(at)) for at in range(MAX_ROWS_PER_CLASS + 3)]
    assert "… and 3 more (--json has all of them)" in screen_of(plan_of(*many))
    assert len(json_of(plan_of(*many))["differences"]) == MAX_ROWS_PER_CLASS + 3  # type: ignore[arg-type] # a list


def test_a_plan_without_repairs_is_a_whole_document() -> None:
    assert json_of(plan_of()) == {
        "version": 1,
        "made": "2026-09-21 14:13:20.000Z",
        "portal": "4242",
        "stripe_account": "acct_7",
        "stripe_mode": "test",
        "links": ["contact:1", "contact:9"],
        "differences": [],
    }


@pytest.mark.parametrize("value", VALUES[:5])
def test_no_value_is_shown_unless_asked_for(value: str) -> None:
    assert value not in screen_of(plan_of(CREATED, UPDATED)) + json.dumps(json_of(plan_of(CREATED, UPDATED)))
    assert value in json.dumps(json_of(plan_of(CREATED, UPDATED), show_values=True))
