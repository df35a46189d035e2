"""No report is written onto a file of the installation, nor onto another file of the same command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_files import CREATE
from wanesync.cli.commands.compare.report_places import refuse_places
from wanesync.config.model import Config, load
from wanesync.core.errors import ConfigError

REAL = "postgresql://sync@localhost/sync"
KEY = f"k1k1:{'A' * 43}="


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("token", "hook"):
        Path(name).touch(mode=0o600)
        Path(name).write_text("value")
    return tmp_path


def configure(folder: Path, head: str = "") -> Config:
    text = f'{head}\n{CREATE}[hubspot]\naccess_token = "file:token"\nwebhook_secret = "file:hook"\n'
    file = folder / "wanesync.toml"
    file.write_text(text)
    return load(file, {})


@pytest.mark.parametrize(
    "name",
    [
        "wanesync.toml",
        "./wanesync.toml",
        "wanesync.db",
        "wanesync.db-wal",
        "wanesync.db.keys",
        "wanesync.db.generation",
        "wanesync.db.snapshot",
        "token",
        "hook",
        "link",
    ],
)
def test_a_file_of_the_installation_stays(folder: Path, name: str) -> None:
    config = configure(folder)
    Path("link").symlink_to("wanesync.db")
    for given in (name, str(folder / name)):
        with pytest.raises(ConfigError, match=r"--csv .* is a file of this installation: give another name"):
            refuse_places(config, None, {"--csv": Path(given), "--html": None}, {})


def test_the_files_that_the_configuration_names_stay(folder: Path) -> None:
    config = configure(folder, f'database = "{REAL}"\n[security]\nkey_file = "keys"')
    with pytest.raises(ConfigError, match="--plan-out keys is a file of this installation"):
        refuse_places(config, Path("wanesync.toml"), {"--plan-out": Path("keys")}, {})


def test_two_options_never_name_one_file(folder: Path) -> None:
    config, same = configure(folder), Path("report")
    with pytest.raises(ConfigError, match=r"--html \S+report is the file of --csv: give another name"):
        refuse_places(config, None, {"--csv": same, "--html": folder / same}, {})
    with pytest.raises(ConfigError, match="--csv report is the file of --decisions"):
        refuse_places(config, None, {"--csv": same}, {"--decisions": same})


def test_other_files_and_streams_are_written(folder: Path) -> None:
    config = configure(folder)
    refuse_places(config, None, {"--csv": Path("a.csv"), "--html": Path("a.html")}, {"--apply": Path("plan.json")})
    refuse_places(config, None, {"--csv": Path("/dev/stdout"), "--html": Path("/dev/stdout")}, {})
    assert not (folder / "a.csv").exists(), "it only looks"
