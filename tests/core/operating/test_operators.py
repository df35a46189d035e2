"""The names of operators."""

from __future__ import annotations

import pytest

from wanesync.core.operating.operators import Operator, Via, name_operator


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("anna", "anna"),
        (" anna@example.com ", "anna@example.com"),
        ("DOMAIN\\anna", "DOMAIN?anna"),
        ("a\x1b[2Jb\n", "a??2Jb"),
        ("<script>", "?script?"),
        ("x" * 500, "x" * 100),
        ("", "unknown"),
    ],
)
def test_a_name_from_outside_holds_nothing_that_a_terminal_or_a_page_could_take_for_more(text: str, name: str) -> None:
    assert name_operator(text, Via.CLI) == Operator(name, Via.CLI)


def test_an_operator_is_shown_with_the_way_in() -> None:
    assert str(Operator("anna", Via.PAGE)) == "anna (page)"
