"""``init``: the configuration it writes where there is none."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wanesync.cli.main import app
from wanesync.core.errors import ConfigError


def init(path: Path) -> ConfigError:
    done = CliRunner().invoke(app, ["init", "--config", str(path)])
    assert isinstance(done.exception, ConfigError), done.output
    return done.exception


def test_a_missing_file_is_written_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "wanesync.toml"
    assert f"wrote {path}: " in str(init(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "create.customers" in str(init(path)), "it is to be filled in"
    assert path.read_text() == text, "an existing file is not overwritten"


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    assert "cannot be written" in str(init(tmp_path / "missing" / "wanesync.toml"))


def test_no_other_command_writes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "wanesync.toml"
    with pytest.raises(ConfigError):
        CliRunner().invoke(app, ["status", "--config", str(path)], catch_exceptions=False)
    assert not path.exists()
