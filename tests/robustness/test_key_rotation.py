"""Keys are rotated during a small burst; the command has larger ones."""

from __future__ import annotations

from pathlib import Path

from tests.robustness.key_rotation import play
from tests.support.stage import Stage


def test_keys_are_rotated_during_a_burst(database_url: str, tmp_path: Path) -> None:
    with Stage(database_url, tmp_path, key_file=True) as stage:
        found = play(stage, 30, 2)
    assert found.wrong == []
    assert (found.rotations >= 2, found.dead, len(found.keys)) == (True, 0, 1)
