"""The example configuration is one file, whether the program is installed or run from its source."""

from __future__ import annotations

from pathlib import Path

from wanesync.config.example import NAME, read_example

ROOT = Path(__file__).parents[2]


def test_it_is_the_file_at_the_top_of_the_source() -> None:
    assert read_example() == (ROOT / NAME).read_text(encoding="utf-8")
    assert list((ROOT / "wanesync").rglob("*.toml")) == [], "a second copy would grow apart"
