"""The matrix as SQL."""

from __future__ import annotations

import pytest

from wanesync.core.errors import ConfigError
from wanesync.store.roles.matrix import MATRIX, Role, Rule
from wanesync.store.roles.statements import Target, build_statements, choose_columns, quote


@pytest.mark.parametrize("prefix", ["", "Live_", "1_", "a-b", "a;b", "x" * 41])
def test_a_prefix_that_would_need_quotes_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="--prefix"):
        Target("wanesync", prefix=prefix)


def test_names_of_the_operator_are_quoted() -> None:
    assert quote('a"b') == '"a""b"'
    made = " ".join(build_statements(Target('my "db"', "it's", "w_")))
    assert 'ON DATABASE "my ""db"""' in made
    assert "schemaname = 'it''s'" in made


def test_no_statement_sets_a_password() -> None:
    assert "PASSWORD" not in " ".join(build_statements(Target("wanesync"))).upper()


def test_every_table_is_granted_to_those_in_the_matrix_only() -> None:
    target = Target("wanesync", prefix="w_")
    grants = [text for text in build_statements(target) if text.startswith("GRANT") and ' ON "public".' in text]
    for table, rows in MATRIX.items():
        named = {text.rpartition(" ")[2] for text in grants if f'"public".{table} ' in text}
        assert named == {target.name(role) for role in rows if rows[role]}
    assert not any(text.endswith(target.name(Role.MIGRATE)) for text in grants), "it owns them"


def test_a_rule_that_names_no_column_of_its_table_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="jobs has no column tried"):
        choose_columns("jobs", Rule(("id", "tried")))
