"""The section [alerts] becomes rules, recipients and ways by which notices leave."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support.canned_server import CannedServer, Told
from wanesync import alert_wiring
from wanesync.alert_wiring import build_alert_desk, build_alert_task, build_messenger, read_book, start_alerts
from wanesync.config.alerts import ALERT_SECRETS
from wanesync.config.model import Config, load
from wanesync.core.errors import ConfigError
from wanesync.store import Store, open_store

BASE = '[create]\ncustomers = "all"\ncontacts = "all"\n'


def read(folder: Path, lines: str) -> Config:
    path = folder / "wanesync.toml"
    path.write_text(f"{BASE}[alerts]\n{lines}\n")
    path.chmod(0o600)
    return load(path, {}, ALERT_SECRETS)


@pytest.fixture
def opened(tmp_path: Path) -> Store:
    return open_store(f"sqlite:{tmp_path / 'state.db'}", migrate=True)


def test_a_rotated_address_counts_without_a_restart(tmp_path: Path) -> None:
    secret = tmp_path / "slack"
    secret.write_text("https://hooks.slack.com/services/old")
    secret.chmod(0o600)
    config = read(tmp_path, 'warn = "file:slack"')
    secret.write_text("https://hooks.slack.com/services/new")
    config.secret_source.refresh()
    (one,) = read_book(config).all
    assert (one.place, one.recipient.target) == ("warn 1", "https://hooks.slack.com/services/new")


def test_an_address_of_apprise_without_the_extra_names_the_extra(
    tmp_path: Path, opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read(tmp_path, 'warn = "ntfy://topic"')
    build_alert_desk(config, opened)
    monkeypatch.setattr(alert_wiring, "is_installed", lambda: False)
    with pytest.raises(ConfigError, match=r"wanesync\[alerts\]"):
        build_alert_desk(config, opened)
    opened.close()


def test_the_mail_server_is_that_of_the_section(tmp_path: Path) -> None:
    assert build_messenger(read(tmp_path, "")).mail is None
    lines = 'smtp_host = "smtp.example.com"\nsmtp_security = "tls"\nmail_from = "w@example.com"\nsmtp_user = "w"\n'
    mail = build_messenger(read(tmp_path, lines + 'smtp_password = "p"')).mail
    assert mail is not None
    assert (mail.host, mail.port, mail.security, mail.user, mail.password) == ("smtp.example.com", 465, "tls", "w", "p")


def test_a_process_evaluates_calls_the_heartbeat_and_stops(tmp_path: Path, opened: Store) -> None:
    with CannedServer(Told()) as server:
        config = read(tmp_path, f'heartbeat_url = "{server.url}/ping"')
        task = build_alert_task(config, opened, threading.Event())
        # The first listing is missing, which is a warning.
        done = task.evaluate_once()
        task.show_life()
        assert done is not None
        assert [state.code for state in opened.read(lambda tx: tx.alerts.states())] == ["first_listing_missing"]
        assert [asked.path for asked in server.asked] == ["/ping"]
    started = start_alerts(config, opened, threading.Event())
    started.stop()
    opened.close()
