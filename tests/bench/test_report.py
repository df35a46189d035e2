"""The report of a benchmark; files that cannot be written are refused before the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from wanesync.bench.burst import run as burst
from wanesync.bench.burst.load import Load
from wanesync.bench.burst.results import Span
from wanesync.bench.burst.run import BurstResult, Failures
from wanesync.bench.environment import Limits
from wanesync.bench.report import check_file, is_met, show, write
from wanesync.cli.commands import bench
from wanesync.core.errors import ConfigError

FIGURES: dict[str, object] = {
    "drained_s": 107.0, "bound_s": 100, "share": 0.64, "lost": 0, "percentiles": 0.0, "at_rest": True,
    "rounds": [120.0, 250.0], "nothing": None,
}  # fmt: skip
BURST_FIGURES = (
    "bound_s bound_share_within_30_s drained_s share_within_30_s windows_over_limit rate_limited utilisation left lost "
    "at_rest doubled extra_creations extra_records"
).split()


@pytest.mark.parametrize(
    ("name", "target", "met"),
    [
        ("drained_s", "<= 100 + 7 %", True),
        ("drained_s", "<= bound_s + 6 %", False),
        ("drained_s", "< 107", False),
        ("share", ">= 0.64", True),
        ("share", ">= 0.641", False),
        ("lost", "0", True),
        ("percentiles", "0", True),
        ("drained_s", "0", False),
        ("at_rest", "True", True),
        ("rounds", "< 250 each", False),
        ("rounds", "<= 250 each", True),
        ("nothing", "<= 5", None),
        ("drained_s", "<= 40 for 100,000", None),
    ],
)
def test_a_figure_is_as_target_or_not(name: str, target: str, met: bool | None) -> None:
    assert is_met(FIGURES, name, target) is met


def test_a_missed_target_is_seen_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    show({"p50_s": 2.5, "lost": 0, "edits": 12}, {"p50_s": "<= 2", "lost": "0"})
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["p50_s"] == ["2.5", "<=", "2", "no"]
    assert lines["lost"] == ["0", "0", "yes"]
    assert lines["edits"] == ["12"]


def test_figures_are_written_whole(tmp_path: Path) -> None:
    write(None, FIGURES)
    write(tmp_path / "figures.json", FIGURES)
    assert json.loads((tmp_path / "figures.json").read_text()) == FIGURES


def test_every_file_of_a_bench_is_checked_before_it_begins(tmp_path: Path) -> None:
    commands = typer.main.get_command(bench.app)
    assert isinstance(commands, typer.core.TyperGroup)
    checked = 0
    for name, command in commands.commands.items():
        for option in ("--json", "--svg"):
            if not any(option in parameter.opts for parameter in command.params):
                continue
            checked += 1
            with pytest.raises(ConfigError, match="cannot write"):
                command.make_context(name, [option, str(tmp_path / "missing" / "x")])
    assert checked == len(commands.commands) + 1
    assert check_file(None) is None


def test_a_burst_is_drawn_wherever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(load: Load, limits: Limits, _workers: int, _database: str | None, _failures: Failures) -> BurstResult:
        figures: dict[str, object] = {name: name == "at_rest" for name in BURST_FIGURES}
        return BurstResult(figures, [Span(1.0, 0.5)], [], [], load, limits)

    monkeypatch.setattr(burst, "measure", measure)
    monkeypatch.chdir(tmp_path)
    bench.burst(contacts=1)
    assert "is in wanesync-burst.svg" in capsys.readouterr().out
    bench.burst(contacts=1, json_file=Path("figures.json"))
    bench.burst(contacts=1, svg_file=Path("other.svg"))
    names = ["figures.json", "figures.svg", "other.svg", "wanesync-burst.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    (tmp_path / "wanesync-burst.svg").unlink()
    (tmp_path / "wanesync-burst.svg").mkdir()
    with pytest.raises(ConfigError, match="is no file"):
        bench.burst(contacts=1)
