"""No webhook is refused across a rotation of the webhook secrets; the command has 1,000."""

from __future__ import annotations

from pathlib import Path

from tests.robustness.secret_rotation import play


def test_no_webhook_is_refused_across_a_rotation(tmp_path: Path) -> None:
    assert play(tmp_path, 60) == {200: 60}
