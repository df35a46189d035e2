"""Tables where the screen is narrow: ids can be copied, and nothing is cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from wanesync.terminal import console, print_rows, table

ID = "01a207d9-5c1e-7a4b-9f00-2f6f9f0c1d3e"
REASON = "HubSpot refused it: PROPERTY_DOESNT_EXIST hs_persona_of_the_whole_company_and_more"


def test_an_id_keeps_one_line_on_80_columns_and_the_rest_folds() -> None:
    out = io.StringIO()
    columns = table("#Dead letter", "What", "Record", "Class", ">Tries", ">When", "Reason")
    row = (ID, "write stripe", "contact:123456789012", "validation", "12", "3 min ago", REASON)
    print_rows(Console(file=out, width=80), columns, [row])
    lines = out.getvalue().splitlines()
    assert sum(ID in line for line in lines) == 1
    assert max(map(len, lines)) <= 80
    assert "…" not in out.getvalue()


def test_an_id_with_colons_is_no_picture(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("field:phone: is paused")
    print_rows(console(), table("Source"), [("field:phone:",)])
    assert capsys.readouterr().out.count("field:phone:") == 2
