"""Tables where the screen is narrow, values as text, and progress without a terminal."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from wanesync.output import UNSAFE
from wanesync.terminal import (
    DEFAULT_COLUMNS,
    WIDE_COLUMNS,
    SafeConsole,
    format_counts,
    format_duration,
    make_console,
    make_table,
    make_wide_console,
    mask,
    pluralize,
    print_json,
    print_rows,
    progress_bars,
)

ID = "01a207d9-5c1e-7a4b-9f00-2f6f9f0c1d3e"
REASON = "HubSpot refused it: PROPERTY_DOESNT_EXIST hs_persona_of_the_whole_company_and_more"


def test_an_id_keeps_one_line_on_80_columns_and_the_rest_folds() -> None:
    out = io.StringIO()
    columns = make_table("#Dead letter", "What", "Record", "Class", ">Tries", ">When", "Reason")
    row = (ID, "write stripe", "contact:123456789012", "validation", "12", "3 min ago", REASON)
    print_rows(Console(file=out, width=80), columns, [row])
    lines = out.getvalue().splitlines()
    assert sum(ID in line for line in lines) == 1
    assert max(map(len, lines)) <= 80
    assert "…" not in out.getvalue()


def test_two_long_columns_share_the_width_in_proportion() -> None:
    output = io.StringIO()
    screen = Console(file=output, width=80, force_terminal=True, color_system=None)
    made = make_table("#Contact", "#Customer", "What", "Why")
    made.add_row("171000000018", "cus_gG0pn2ASbwkPf7", "name Z*** | F***, language e*** | e***", "kept as it is " * 8)
    screen.print(made)
    assert len(output.getvalue().splitlines()) <= 9


def test_an_id_with_colons_is_no_picture(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print("field:phone: is paused")
    print_rows(make_console(), make_table("Source"), [("field:phone:",)])
    assert capsys.readouterr().out.count("field:phone:") == 2


def test_a_table_without_rows_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(make_console(), make_table("Source"), [])
    assert capsys.readouterr().out == ""


def test_without_a_terminal_lines_have_a_fixed_width() -> None:
    assert (make_console().width, make_wide_console().width) == (DEFAULT_COLUMNS, WIDE_COLUMNS)


@pytest.mark.parametrize(
    ("value", "masked"), [("", ""), ("Lyon", "L***"), ("jane@example.com", "j***@e***"), ("@", "***@***")]
)
def test_a_masked_value_has_no_more_than_first_letters(value: str, masked: str) -> None:
    assert mask(value) == masked


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [(-5, "0 s"), (45_000, "45 s"), (119_000, "119 s"), (180_000, "3 min"), (7_200_000, "2 h"), (432_000_000, "5 d")],
)
def test_a_duration_has_its_largest_fitting_unit(span_ms: float, text: str) -> None:
    assert format_duration(span_ms) == text


def test_counts_are_written_with_their_nouns() -> None:
    assert (pluralize(1, "job"), pluralize(0, "job"), pluralize(1_200, "job")) == ("1 job", "0 jobs", "1,200 jobs")
    assert format_counts({"sent": 3, "not_found": 0, "in_doubt": 1}) == "3 sent, 1 in doubt"
    assert format_counts({"sent": 0}) == "none"


def test_json_keeps_letters_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "Zoë"})
    shown = capsys.readouterr().out
    assert "Zoë" in shown
    assert json.loads(shown) == {"version": 1, "name": "Zoë"}


@pytest.mark.parametrize(("print_totals", "shown"), [(True, "events: 3\n"), (False, "")])
def test_progress_without_a_terminal_is_a_line_or_nothing(print_totals: bool, shown: str) -> None:
    out = io.StringIO()
    with progress_bars(Console(file=out, width=80), print_totals=print_totals) as bars:
        advance = bars.add("events")
        advance(2)
        bars.set("events", 3, 3)
        bars.end("events")
    assert out.getvalue() == shown


ATTACK = "Ada \x1b]8;;https://evil.example\x07click\x1b]8;;\x07 \u202egnp.exe \x9b31m \ud83d\ufeff"


@pytest.mark.case(39)
def test_a_value_cannot_command_a_terminal_nor_turn_the_text_around(capsys: pytest.CaptureFixture[str]) -> None:
    screen = make_wide_console()
    print_rows(screen, make_table("Value"), [(ATTACK,)])
    screen.print(f"Values {ATTACK}", markup=False)
    printed = capsys.readouterr().out
    assert not UNSAFE.search(printed)
    assert printed.count("Ada \\x1b]8;;https://evil.example") == 2
    assert printed.count("\\u202egnp.exe") == 2


def test_a_terminal_gets_the_codes_of_the_console_and_none_of_a_value() -> None:
    out = io.StringIO()
    screen = SafeConsole(file=out, force_terminal=True, width=200, color_system="standard", highlight=False)
    screen.print(f"[red]alarm[/] {ATTACK}")
    assert out.getvalue().count("\x1b[") == 2
    assert "\x1b]" not in out.getvalue()


def test_a_json_document_holds_every_value_and_no_unsafe_character(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": ATTACK, "city": "Łódź\nnew"})
    printed = capsys.readouterr().out
    assert not UNSAFE.search(printed)
    assert "Łódź" in printed
    assert json.loads(printed) == {"version": 1, "name": ATTACK, "city": "Łódź\nnew"}


def test_a_json_document_is_whole_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="cp1252", write_through=True))
    print_json({"city": "Łódź – 東京"})
    assert json.loads(raw.getvalue()) == {"version": 1, "city": "Łódź – 東京"}
