"""The differences as CSV: a line for each field, and no formula."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.reports import FORMULAS, NASTY, PEOPLE, csv_of, found_of, nasty_person
from wanesync.cli.reports.csv_report import COLUMNS
from wanesync.output import clean


def test_csv_has_a_line_for_each_field_and_one_for_what_has_none(tmp_path: Path) -> None:
    rows = csv_of(found_of(*PEOPLE), tmp_path / "a.csv", show_values=True)
    assert [(row["hubspot_id"], row["field"]) for row in rows] == [
        ("101", "email"), ("101", "name"), ("101", "language"), ("102", "city"), ("103", "phone"), ("104", "")
    ]  # fmt: skip
    assert tuple(rows[0]) == COLUMNS
    assert rows[3] == {
        "class": "update_customer", "hubspot_id": "102", "stripe_id": "cus_2", "field": "city", "hubspot": "Wien",
        "stripe": "WIEN", "writes": "stripe", "to": "Wien", "why": "changed since both agreed", "kind": "case",
        "note": "", "decision": "",
    }  # fmt: skip
    assert rows[5]["note"] == "ambiguous: 2 contacts carry its e-mail"


@pytest.mark.parametrize("value", FORMULAS)
@pytest.mark.parametrize("show_values", [True, False])
def test_no_cell_is_a_formula(value: str, show_values: bool, tmp_path: Path) -> None:
    rows = csv_of(found_of(nasty_person(value)), tmp_path / "a.csv", show_values=show_values)
    assert not [cell for row in rows for cell in row.values() if cell.startswith(tuple("=+-@\t\r＝＋－＠"))]
    if show_values and value.strip() == value:
        assert rows[0]["hubspot"] == f"'{value}"


@pytest.mark.parametrize("value", ['a"b', "a,b;c", "two\nlines", "two\r\nlines", NASTY, "plain", "\x1b[2J\u202e"])
def test_csv_is_read_back_as_it_was_shown(value: str, tmp_path: Path) -> None:
    (row,) = csv_of(found_of(nasty_person(value)), tmp_path / "a.csv", show_values=True)
    shown = clean(value.replace("\r\n", "\n"))
    assert (row["hubspot_id"], row["hubspot"], row["decision"]) == ("1", shown, "")


def test_first_and_last_name_are_shown_as_one_text(tmp_path: Path) -> None:
    (row, *_) = [
        row for row in csv_of(found_of(*PEOPLE), tmp_path / "a.csv", show_values=True) if row["field"] == "name"
    ]
    assert (row["hubspot"], row["to"]) == ("Ada Lovelace", "Ada Lovelace")


@pytest.mark.parametrize("mark", list("=+-@＝＋－＠"))
@pytest.mark.parametrize("before", ["Smith;", "Smith; ", 'Smith;"', "Smith\t", "Smith\n", 'Smith\n ""', " ", "\u00a0"])
def test_no_part_of_a_cell_is_a_formula_where_semicolons_separate_cells(before: str, mark: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    csv_of(found_of(nasty_person(f'{before}{mark}HYPERLINK("http://x")')), file, show_values=True)
    for line in file.read_text(encoding="utf-8").splitlines():
        for cell in re.split(r"[;\t]|(?<=,)", line):
            assert not cell.lstrip().lstrip('"').lstrip().startswith(tuple("=+-@＝＋－＠")), line
