"""What stands in the configuration file itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanesync.config.raw_values import find_named_file, read_raw_text


@pytest.mark.parametrize(
    ("text", "raw", "file"),
    [
        ('[stripe]\nwebhook_secret = "file:keys/hook"', "file:keys/hook", "keys/hook"),
        ('[stripe]\nwebhook_secret = "env:HOOK"', "env:HOOK", None),
        ('\ufeff[stripe]\nwebhook_secret = "file:hook"', "file:hook", "hook"),
        ('[stripe]\nwebhook_secret = ["file:a"]', "", None),
        ("stripe = 1", "", None),
        ("not toml", "", None),
    ],
)
def test_a_reference_is_not_resolved(tmp_path: Path, text: str, raw: str, file: str | None) -> None:
    path = tmp_path / "wanesync.toml"
    path.write_text(text, encoding="utf-8")
    assert read_raw_text(path, "stripe", "webhook_secret") == raw
    assert find_named_file(path, "stripe", "webhook_secret") == (tmp_path / file if file else None)
