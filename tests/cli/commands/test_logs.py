"""``logs``: searched and followed in a terminal, and as CSV and JSON."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from tests.support.installation import Installation
from wanesync.cli.commands import logs
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.logs.search import Entry, Follower, LogFilter
from wanesync.store.tables.operating.log_lines import LogLine


def fill(installation: Installation) -> None:
    at_ms = installation.store.now_ms()
    line = LogLine(
        at_ms, 1, "warning", "=cmd|calc", "wanesync.worker", "worker 7", "stripe", "cus_7", "req_1", {"n": 1}
    )
    with installation.store.transaction() as tx:
        tx.log_lines.add([line])
        tx.journal.add("updated", Side.STRIPE, "cus_7", "l1", {"fields": {"city": ["", "Ulm"]}})
        tx.journal.add("limit set", None, "", "", {"scope": "stripe"}, operator=Operator("ada", Via.PAGE))


def test_entries_are_listed_oldest_first_with_values_masked(installation: Installation) -> None:
    fill(installation)
    shown = installation.run("logs").stdout
    assert shown.index("updated") < shown.index("limit set")
    assert "city blank → U***" in shown
    assert "Ulm" in installation.run("logs", "--show-values").stdout
    entries = installation.ask_rows("entries", "logs", "--level", "warning")
    assert [entry["kind"] for entry in entries] == ["=cmd|calc"]
    assert entries[0]["correlation_id"] == "req_1"
    assert [one["operator"] for one in installation.ask_rows("entries", "logs", "--operator", "ada")] == ["ada"]
    assert len(installation.ask_rows("entries", "logs", "--limit", "2")) == 2
    assert installation.ask_rows("entries", "logs", "--since", "2031-01-01") == []


def test_a_spreadsheet_runs_nothing_of_the_csv(installation: Installation) -> None:
    fill(installation)
    rows = [*csv.DictReader(installation.run("logs", "--csv").stdout.splitlines())]
    assert {row["kind"] for row in rows} == {"updated", "limit set", "'=cmd|calc"}
    assert "Ulm" not in str(rows)


def test_where_there_is_nothing_the_reason_is_said(installation: Installation) -> None:
    assert "[log] store = true keeps them" in installation.run("logs").stdout
    fill(installation)
    assert installation.run("logs", "--kind", "nothing").stdout == "There is no such entry.\n"


@pytest.mark.parametrize("form", ["", "--json", "--csv"])
def test_what_is_new_is_shown_until_the_interrupt(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    fill(installation)
    monkeypatch.setattr(logs, "LOOK_S", 0.0)
    looks: list[int] = []
    look = Follower.look

    def next_look(self: Follower) -> list[Entry]:
        looks.append(1)
        if len(looks) == 2:  # the first one is of what is there
            with installation.store.transaction() as tx:
                tx.journal.add("brand new", Side.HUBSPOT, "9", "", {})
        if len(looks) == 4:
            raise KeyboardInterrupt
        return look(self)

    monkeypatch.setattr(Follower, "look", next_look)
    command = ["logs", "--follow", *([form] if form else []), "--config", str(installation.file)]
    done = CliRunner().invoke(app, command)
    lines = done.stdout.splitlines()
    assert len(lines) == (5 if form == "--csv" else 4)
    assert "brand new" in lines[-1]


def test_lines_of_a_follower_are_one_entry_each(capsys: pytest.CaptureFixture[str], installation: Installation) -> None:
    fill(installation)
    found = Follower(installation.store, LogFilter(), from_ms=1).look()
    logs._write(found, as_json=False, as_csv=False, heading=True)
    text = capsys.readouterr().out
    assert len(text.splitlines()) == 3
    assert " warning: =cmd|calc stripe cus_7 (worker 7) n 1" in text
    assert " info: limit set (ada) scope stripe" in text
    logs._write(found, as_json=True, as_csv=False, heading=True)
    assert [json.loads(line)["source"] for line in capsys.readouterr().out.splitlines()].count("journal") == 2
    logs._write(found, as_json=False, as_csv=True, heading=False)
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--json", "--csv"), "give one of them"),
        (("--follow", "--until", "1h"), "leave out --until"),
        (("--level", "loud"), "must be one of"),
        (("--since", "soon"), "--since soon"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    installation: Installation, options: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        installation.run("logs", *options)
