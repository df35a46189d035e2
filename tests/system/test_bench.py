"""The benches, small: every promised key is there and the figures make sense. Nothing is log_tail about speed."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.forked import run_forked
from wanesync.child_process import clean_environment

BURST_KEYS = (
    "drained_s bound_s p50_s p95_s p99_s max_s share_within_30_s windows_over_limit rate_limited utilisation "
    "purchases_p99_s customers_p99_s webhook_p99_s worker_cpu_ms_per_contact "
    "database_bytes_per_contact pickup_p95_ms"
).split()


def run_bench(folder: Path, *arguments: str) -> dict[str, object]:
    """The figures of one bench, as its JSON file has them."""
    file = folder / "figures.json"
    done = run_forked(("bench", *arguments, "--json", str(file)), clean_environment(), 240)
    assert done.returncode == 0, done.stderr + done.stdout
    figures: dict[str, object] = json.loads(file.read_text())
    return figures


def number(figures: dict[str, object], name: str) -> float:
    """A figure that must be a number."""
    value = figures[name]
    assert isinstance(value, int | float), (name, value)
    return value


def test_hooks_measures_single_and_concurrent_posts(tmp_path: Path, database_url: str) -> None:
    arguments = ["--database", database_url] if database_url.startswith("postgresql:") else []
    figures = run_bench(tmp_path, "hooks", "--posts", "3", *arguments)
    assert 0 < number(figures, "median_ms") <= number(figures, "p99_ms")
    rounds = figures["parallel_max_ms"]
    assert isinstance(rounds, list)
    assert len(rounds) == 8
    assert min(rounds) > 0
    assert figures["posts"] == 3


@pytest.mark.case(37)
def test_hooks_measures_posts_beside_half_open_connections(tmp_path: Path) -> None:
    figures = run_bench(tmp_path, "hooks", "--posts", "3", "--half-open", "1100")
    assert 0 < number(figures, "median_ms") <= number(figures, "max_ms")
    assert 0 < number(figures, "headers_taken_bytes") < 30_000_000


def test_steady_loses_no_edit(tmp_path: Path) -> None:
    figures = run_bench(tmp_path, "steady", "--seconds", "2", "--per-side", "3", "--latency-ms", "5-10")
    assert figures["edits"] == 12
    assert figures["lost"] == 0
    assert 0 < number(figures, "p50_s") <= number(figures, "p99_s") <= number(figures, "max_s")


def test_a_small_burst_has_every_documented_key_and_arrives_completely(tmp_path: Path) -> None:
    load = ["--contacts", "40", "--seconds", "2", "--purchases", "6", "--customers", "4"]
    figures = run_bench(tmp_path, "burst", *load, "--latency-ms", "5-10")
    assert set(BURST_KEYS) <= set(figures)
    assert figures["left"] == 0
    assert figures["extra_records"] == 0
    assert figures["windows_over_limit"] == 0
    assert figures["rate_limited"] == 0
    assert figures["bound_s"] == 2
    assert number(figures, "drained_s") > 1.9
    assert number(figures, "share_within_30_s") == 1
    assert number(figures, "worker_cpu_ms_per_contact") > 0
    circles = ET.parse(tmp_path / "figures.svg").iter("{http://www.w3.org/2000/svg}circle")
    # One dot each, and one in the legend for each of five names.
    assert sum(1 for _ in circles) == 40 + 6 + 4 + 5


def test_a_small_import_is_stopped_by_the_change_guard(tmp_path: Path) -> None:
    load = ["--contacts", "40", "--people", "8", "--creations", "10", "--seconds", "1"]
    figures = run_bench(tmp_path, "brake", *load, "--latency-ms", "5-10")
    assert figures["overwritten"] == 8
    assert figures["held"] == 32
    assert figures["holds"] == 1
    assert number(figures, "person_edits") > 0
    for name in ("person_lost", "creations_missing", "creations_held", "changed_by_discard", "held_after_discard"):
        assert figures[name] == 0, name
    assert number(figures, "alarm_after_first_edit_s") > 0


def test_claims_are_measured_with_few_and_many_finished_jobs_on_both_databases(tmp_path: Path) -> None:
    figures = run_bench(tmp_path, "claim", "--done", "3000", "--rounds", "40")
    assert set(figures) == {"sqlite", "postgres"}
    for measured in figures.values():
        assert isinstance(measured, dict)
        assert number(measured, "claim_ratio") > 0
        for name in ("1,000 done", "3,000 done"):
            steps = measured[name]
            assert 0 < number(steps, "claim_p50_ms") <= number(steps, "claim_p95_ms")
            assert {"finish_p50_ms", "queue_p50_ms", "claim_spread_ms"} <= set(steps)


def test_status_is_measured_with_many_rows(tmp_path: Path) -> None:
    figures = run_bench(tmp_path, "status", "--links", "2000", "--done", "2000", "--dead", "500")
    assert set(figures) == {"sqlite", "postgres"}
    for measured in figures.values():
        assert isinstance(measured, dict)
        assert measured["rows"] == {"done": 2000, "dead": 500, "ready": 2000, "links": 2000, "records": 4000}
        assert {"status_p50_ms", "alarms_p50_ms", "metrics_p50_ms"} <= set(measured)
