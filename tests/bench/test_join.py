"""The benchmark of the joins with our join: it selects what differs, and the table shows the figures."""

from __future__ import annotations

from pathlib import Path

from tests.bench.join import ENTRIES, EXPORTS, Benchmark, Outcome, table


def test_our_join_selects_what_differs_and_nothing_else(tmp_path: Path) -> None:
    output, cost = Benchmark(tmp_path, "", 2000).join(ENTRIES[0])
    # 3 of 1,000 differ, 1 of 100 was never linked.
    assert output["opened"] == 6
    assert output["to_link"] == 20
    assert output["linked"] == 2000 - 26
    assert output["join_s"] > 0
    assert 10 < cost.peak_rss_mb < 300
    assert cost.cpu_s > 0


def test_the_export_holds_every_row(tmp_path: Path) -> None:
    Benchmark(tmp_path, "", 500).export()
    assert {name: len((tmp_path / name).read_text().splitlines()) for name in EXPORTS} == {
        "listed.csv": 1000,
        "addresses.csv": 1000,
        "links.csv": 495,
    }


def test_the_table_has_a_row_for_each_engine() -> None:
    ours = Outcome("wanesync", 0, 1_000_000, 3, 7.5, 7.25, 8, 8.01, 151, 0.0, 1, 1, 1)
    theirs = Outcome("duckdb", 2, 1_000_000, 3, 1.5, 1.25, 2, 3.01, 451, 4.25, 1, 1, 1)
    assert table([ours, theirs]).splitlines()[2:] == [
        "| 1,000,000 | wanesync | 7.50 s (7.25 – 8.00) | 8.01 s | 151 MB | – |",
        "| 1,000,000 | duckdb, 2 threads | 1.50 s (1.25 – 2.00) | 3.01 s | 451 MB | 4.2 s |",
    ]
