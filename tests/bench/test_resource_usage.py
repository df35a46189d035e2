"""The usage of one command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from wanesync.bench import BenchFailed
from wanesync.bench.resource_usage import run_measured


def test_the_memory_is_that_of_the_command_alone(tmp_path: Path) -> None:
    held = bytearray(400 << 20)
    code = "import sys; x = bytearray(50 << 20); print('output'); sys.exit(3)"
    usage = run_measured(tmp_path, {}, [sys.executable, "-c", code], 60)
    assert (usage.code, usage.output) == (3, "output\n")
    assert 50 < usage.peak_rss_mb < 200
    assert usage.took_s > 0
    assert len(held) == 400 << 20


def test_a_command_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(BenchFailed, match=r"did not end within 0\.5 s"):
        run_measured(tmp_path, {}, [sys.executable, "-c", "while True: pass"], 0.5)
