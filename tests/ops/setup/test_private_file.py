"""Files of secrets."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from wanesync.core.errors import ConfigError
from wanesync.ops.setup.private_file import open_new, write_secret


def test_a_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "key"
    write_secret(path, "whsec_1")
    assert path.read_text() == "whsec_1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    with pytest.raises(ConfigError, match="move it away"):
        write_secret(path, "new")
    assert path.read_text() == "old"
    with pytest.raises(ConfigError, match="cannot be written"):
        write_secret(path / "below", "new")


def test_a_file_whose_content_could_not_be_made_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(ValueError, match="no content"), open_new(path):
        raise ValueError("no content")
    assert not path.exists()
