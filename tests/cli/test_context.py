"""The configuration and the database of a command, and the signals that stop it."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
import typer

from tests.support.installation import CONFIG, Installation
from wanesync.cli.context import end_if_stopping, open_configured, read_config, set_on_stop_signals, use_database
from wanesync.core.errors import ConfigError, DatabaseUnavailable


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_file_beside_the_operator_is_read_unless_another_one_is_named(folder: Path) -> None:
    (folder / "wanesync.toml").write_text(CONFIG)
    other = folder / "other.toml"
    other.write_text(CONFIG.replace('contacts = "all"', 'contacts = "none"'))
    assert read_config(None).create.contacts == "all"
    assert read_config(other).create.contacts == "none"


def test_without_a_file_the_environment_is_enough(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANESYNC_CREATE__CUSTOMERS", "all")
    monkeypatch.setenv("WANESYNC_CREATE__CONTACTS", "none")
    assert read_config(None).create.customers == "all"


def test_without_a_file_and_an_environment_the_way_to_make_a_file_is_shown(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(None)
    (problem,) = caught.value.problems
    assert "create one with wanesync init" in problem


def test_an_environment_that_lacks_a_setting_is_told_which(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANESYNC_CREATE__CUSTOMERS", "all")
    with pytest.raises(ConfigError) as caught:
        read_config(None)
    assert [problem.split(":")[0] for problem in caught.value.problems[:-1]] == ["create.contacts"]


def test_a_file_that_is_named_must_exist(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        read_config(folder / "absent.toml")


def test_a_database_is_closed_after_its_use(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.store.close()
    with open_configured(installation.file) as (config, store), store.reading() as tx:
        assert config.database.endswith("wanesync.db")
        assert tx.settings.get("absent") is None
    with pytest.raises(ZeroDivisionError), use_database(config) as used:
        raise ZeroDivisionError
    for closed in (store, used):
        with pytest.raises(DatabaseUnavailable), closed.reading():
            pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_either_signal_stops_a_command(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        stopping = set_on_stop_signals()
        assert not stopping.is_set()
        # As where it comes while this thread is in the middle of the event's ``wait``.
        with vars(stopping)["_cond"]:
            signal.raise_signal(number)
            signal.raise_signal(number)
        assert stopping.wait(10)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_a_start_ends_where_the_command_is_to_stop() -> None:
    stopping = threading.Event()
    end_if_stopping(stopping)
    stopping.set()
    with pytest.raises(typer.Exit) as ended:
        end_if_stopping(stopping)
    assert ended.value.exit_code == 0
