"""Lines on the standard streams: no character ends the command, none commands the terminal."""

from __future__ import annotations

import io

import pytest

from tests.support.run_main import Terminal
from wanesync.output import PLAIN_FORMS, clean, prepare_streams, print_line


def test_lines_are_cleaned_on_both_streams(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("a\x1b[2Jb")
    print_line("c\u202ed", error=True)
    assert capsys.readouterr() == ("a\\x1b[2Jb\n", "c\\u202ed\n")


def test_a_line_on_a_terminal_ends_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", Terminal(raw, encoding="utf-8", write_through=True))
    monkeypatch.setenv("COLUMNS", "30")
    print_line("short\n  1. npm install -g @hubspot/cli, then hs account auth and https://example.com/a-long-address")
    lines = raw.getvalue().decode().splitlines()
    assert lines[:2] == ["short", "  1. npm install -g"]
    assert lines[2:] == ["    @hubspot/cli, then hs", "    account auth and", "    https://example.com/a-long-address"]


def test_a_line_in_a_pipe_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("word " * 60 + "end")
    assert capsys.readouterr().out.count("\n") == 1


def test_names_of_people_stay_as_they_are() -> None:
    for name in ("Łukasz", "نرگس\u200cزاده", "東京", "👩\u200d🔬", "O'Neil\tJr\n"):
        assert clean(name) == name


@pytest.mark.case(41)
def test_a_character_the_encoding_does_not_have_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    prepare_streams()
    print_line("none – 東京 \ud83d")
    assert raw.getvalue() == b"none - ?? \\ud83d\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_our_own_marks_have_a_plain_form_in_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    prepare_streams()
    print_line("".join(PLAIN_FORMS))
    shown = raw.getvalue().decode(encoding)
    assert "?" not in shown
    assert len(shown) == len(PLAIN_FORMS) + 1
