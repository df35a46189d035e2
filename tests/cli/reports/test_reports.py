"""What holds for every form of a report: masked, complete or not there, never all in memory."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.reports import (
    CREATED,
    HEADING,
    PEOPLE,
    VALUES,
    Found,
    Many,
    Page,
    found_of,
    json_of,
    page_of,
    screen_of,
)
from wanesync.cli.reports.csv_report import write_csv
from wanesync.cli.reports.differences import write_json
from wanesync.cli.reports.html_report import write_html
from wanesync.core.diff.difference import Difference, DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side


def write(report: Found, path: Path) -> None:
    """The report that the name of the file asks for."""
    if path.suffix == ".csv":
        write_csv(report, path, show_values=True)
    else:
        write_html(report, path, HEADING, show_values=True)


@pytest.mark.parametrize("value", VALUES)
def test_no_value_is_shown_unless_asked_for(value: str, tmp_path: Path) -> None:
    report = found_of(*PEOPLE)
    write_csv(report, tmp_path / "a.csv", show_values=False)
    write_html(report, tmp_path / "a.html", HEADING, show_values=False)
    out = io.StringIO()
    write_json(report, out, show_values=False)
    page = Page((tmp_path / "a.html").read_text())
    for text in ((tmp_path / "a.csv").read_text(), page.scripts[0], page.text, out.getvalue(), screen_of(report)):
        assert value not in text


@pytest.mark.parametrize("value", VALUES)
def test_values_are_shown_when_asked_for(value: str, tmp_path: Path) -> None:
    report = found_of(*PEOPLE)
    write_csv(report, tmp_path / "a.csv", show_values=True)
    assert value in (tmp_path / "a.csv").read_text()
    assert value in page_of(report, tmp_path / "a.html", show_values=True).scripts[0]
    assert value in json.dumps(json_of(report, show_values=True))
    assert value in screen_of(report, show_values=True)


# -- memory


class Sink(io.StringIO):
    """Counts what is written and keeps none of it."""

    written = 0

    def write(self, text: str) -> int:
        self.written += len(text)
        return len(text)


def test_twenty_thousand_differences_are_never_all_in_memory(tmp_path: Path) -> None:
    report, sink = Many(counts=Counter({DifferenceClass.CONFLICT: 20_000})), Sink()
    tracemalloc.start()
    try:
        write_json(report, sink, show_values=True)
        write_csv(report, tmp_path / "a.csv", show_values=True)
        write_html(report, tmp_path / "a.html", HEADING, show_values=True)
        screen_of(report, show_values=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    least = 20_000 * 150
    assert sink.written > least
    assert (tmp_path / "a.html").stat().st_size > least
    assert peak < least / 1.5


# -- files


@pytest.mark.parametrize("name", ["a.csv", "a.html"])
def test_a_report_is_its_owners_alone_and_leaves_nothing_beside_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("older")
    path.chmod(0o644)
    write(found_of(*PEOPLE), path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert "older" not in path.read_text()


class Broken(Found):
    """Fails after the first difference."""

    def differences(self, kind: DifferenceClass | None = None, limit: int = -1) -> Iterator[Difference]:
        yield CREATED
        raise OSError("the snapshot is gone")


@pytest.mark.parametrize("name", ["a.csv", "a.html"])
def test_a_report_that_fails_leaves_the_older_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("older")
    report = Broken(counts=Counter({DifferenceClass.CREATE_CUSTOMER: 2}))
    with pytest.raises(OSError, match="gone"):
        write(report, path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "older")]


@pytest.mark.parametrize("name", ["nowhere/a.csv", ".", "x" * 300])
def test_a_place_that_cannot_be_written_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write"):
        write_csv(Found(), tmp_path / name, show_values=False)


def test_what_was_set_aside_is_named() -> None:
    aside = [(Side.HUBSPOT, str(number), "set aside: city holds U+0000") for number in range(30)]
    report = replace(found_of(), set_aside=[*aside, (Side.STRIPE, "", "not a customer")])
    shown = screen_of(report)
    assert "Set aside: hubspot 19: set aside: city holds U+0000" in " ".join(shown.split())
    assert "Set aside: 11 more" in shown
    out = io.StringIO()
    write_json(report, out, show_values=False)
    assert json.loads(out.getvalue())["set_aside"][-1] == {"side": "stripe", "id": "", "reason": "not a customer"}
