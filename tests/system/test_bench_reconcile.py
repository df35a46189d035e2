"""bench reconcile, small: everything planted is found, nothing else, and repaired. Nothing is log_tail about speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCUMENTED = (
    "planted found missed invented list_s compare_s total_s peak_rss_mb cpu_s requests bound_s records machine".split()
)
PLANTED = 27


def run_bench(folder: Path, *arguments: str) -> dict[str, object]:
    """The figures, as the JSON file has them; the command must end with 0."""
    file = folder / "figures.json"
    command = [sys.executable, "-m", "wanesync.cli.main", "bench", "reconcile", "--differences", str(PLANTED)]
    done = subprocess.run(
        [*command, *arguments, "--json", str(file)],
        check=False, cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    figures: dict[str, object] = json.loads(file.read_text())
    return figures


def check_found(figures: dict[str, object]) -> None:
    """Every difference was found, none invented."""
    assert figures["planted"] == figures["found"] == PLANTED
    assert figures["missed"] == figures["invented"] == figures["in_sync_off_by"] == 0


def test_all_is_found_under_limits_and_repaired(tmp_path: Path, database_url: str) -> None:
    arguments = ["--database", database_url] if database_url.startswith("postgresql:") else []
    figures = run_bench(tmp_path, "--records", "300", "--latency-ms", "5-10", "--apply", *arguments)
    assert set(DOCUMENTED) <= set(figures)
    check_found(figures)
    assert figures["written_by_diff"] == 0
    assert figures["windows_over_limit"] == 0
    assert figures["rate_limited"] == 0
    assert figures["records"] == {"hubspot": 305, "stripe": 311}
    # Three of each actionable class, one write for each.
    assert figures["actionable"] == figures["writes"] == 12
    assert figures["actionable_after"] == 0
    assert figures["parked_changed"] == 0
    requests, bound_s, total_s = figures["requests"], figures["bound_s"], figures["total_s"]
    assert isinstance(requests, int)
    # Four pages of either side at least.
    assert requests >= 8
    assert bound_s == 0.27
    assert isinstance(total_s, float)
    assert total_s > bound_s
    peak_rss_mb = figures["peak_rss_mb"]
    assert isinstance(peak_rss_mb, float)
    assert 20 < peak_rss_mb < 200


def test_all_is_found_in_parallel_and_without_limits(tmp_path: Path) -> None:
    figures = run_bench(tmp_path, "--records", "300", "--unlimited", "--parallel-listing")
    check_found(figures)
    assert figures["bound_s"] == 0
    assert "writes" not in figures


def test_comparing_alone_finds_the_same(tmp_path: Path) -> None:
    figures = run_bench(tmp_path, "--records", "2000", "--compare-only")
    assert list(figures) == ["2,000 pairs"]
    measured = figures["2,000 pairs"]
    assert isinstance(measured, dict)
    check_found(measured)
    assert measured["compare_s"] > 0
    assert 20 < measured["peak_rss_mb"] < 300
    assert measured["counts"]["in_sync"] + PLANTED > 1990
