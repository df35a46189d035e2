"""The matrix in words, and in the documentation."""

from __future__ import annotations

from pathlib import Path

from wanesync.store.roles.document import describe_matrix, describe_rule, list_access
from wanesync.store.roles.matrix import PLAIN, Role, Rule

PAGE = Path(__file__).parents[3] / "docs" / "security.md"


def test_the_documentation_shows_the_matrix_as_it_is() -> None:
    # What to put there instead: wanesync db roles --table
    assert describe_matrix() in PAGE.read_text()


def test_a_rule_is_described_by_its_columns_and_rows() -> None:
    assert describe_rule(Rule()) == ""
    assert describe_rule(Rule(PLAIN)) == "all columns but sealed ones"
    assert describe_rule(Rule(("-id", "-lane"), "a = 1", "a = 2")) == (
        "all columns but `id`, `lane`, rows `a = 1`, afterwards `a = 2`"
    )
    assert describe_rule(Rule(("value",), "true", "b")) == "columns `value`, afterwards `b`"


def test_what_a_role_may_do_is_listed_by_verb() -> None:
    assert list_access(Role.READ_ONLY, "jobs") == {"SELECT": ""}
    assert list_access(Role.INTAKE, "emails") == {}
    assert set(list_access(Role.MIGRATE, "jobs").values()) == {""}
