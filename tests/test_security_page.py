"""docs/security.md: no requirement of the standard is left out, and each test that it names exists."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.support.asvs import list_requirements

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
LINES = PAGE.partition("## OWASP ASVS 5.0")[2].splitlines()
ROWS = [line.strip("| ").split(" | ") for line in LINES if line.startswith("| V")]
SHOWN = {cells[0]: re.findall(r"`(tests/[^`]+)`", cells[2]) for cells in ROWS if len(cells) == 3}
NOT_APPLICABLE = [cells[0].split(", ") for cells in ROWS if len(cells) == 2]


def test_every_requirement_is_shown_or_does_not_apply() -> None:
    required = list_requirements()
    names = [name for line in NOT_APPLICABLE for name in line]
    left_out = [one for name in names for one in required if one == name or one.startswith(f"{name}.")]
    assert Counter([*SHOWN, *left_out]) == Counter(required)
    assert f"{len(SHOWN)} of {len(required)} apply." in PAGE


def test_a_requirement_names_tests_that_exist() -> None:
    named = [test for tests in SHOWN.values() for test in tests]
    files = {test.partition("::")[0] for test in named}
    standing = {f"{file}::{name}" for file in files for name in list_functions(ROOT / file)}
    assert [number for number, tests in SHOWN.items() if not tests] == []
    assert sorted(set(named) - standing) == []


def list_functions(path: Path) -> set[str]:
    """The names of a module's functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_picture_names_every_part_of_the_model() -> None:
    picture = ET.parse(ROOT / "docs" / "threat-model.svg")
    texts = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    parts = {"HubSpot", "Stripe", "HubSpot handler", "Stripe handler", "Mosquitto", "queue", "Postgres"}
    assert parts | {"HubSpot worker", "Stripe worker", "operator"} <= texts
    assert "](threat-model.svg)" in PAGE
