"""The section [alerts]: recipients are checked, their addresses are secrets, and defaults need no configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanesync.config.alerts import ALERT_SECRETS
from wanesync.config.model import Config, load
from wanesync.core.errors import ConfigError
from wanesync.core.operating.alarms import AlarmCode, Level
from wanesync.core.operating.alerts import HOUR_MS, AlertPolicy, QuietHours

BASE = '[create]\ncustomers = "all"\ncontacts = "all"\n'
SLACK = "https://hooks.slack.com/services/T0/B0/XYZ"


def read(folder: Path, lines: str, env: dict[str, str] | None = None) -> Config:
    path = folder / "wanesync.toml"
    path.write_text(f"{BASE}[alerts]\n{lines}\n")
    path.chmod(0o600)
    return load(path, env or {}, ALERT_SECRETS)


def test_without_the_section_the_policy_is_the_default(tmp_path: Path) -> None:
    found = read(tmp_path, "").alerts.make_policy("", 30)
    default = AlertPolicy()
    assert (found.thresholds, found.levels, found.quiet) == (default.thresholds, default.levels, default.quiet)
    assert (found.remind_ms, found.digest_hour, str(found.zone)) == (default.remind_ms, default.digest_hour, "UTC")


def test_what_is_set_becomes_the_policy(tmp_path: Path) -> None:
    lines = """
quiet_hours = "22:30-07:00"
time_zone = "Europe/Berlin"
digest_hour = "off"
remind_warn_hours = 0
silence_hours = 1.5
levels = { no_worker = "warn", sides_differ = "off" }
"""
    found = read(tmp_path, lines).alerts.make_policy("https://admin.example", 60)
    assert (found.quiet, str(found.zone), found.digest_hour) == (QuietHours(1350, 420), "Europe/Berlin", None)
    assert found.levels == {AlarmCode.NO_WORKER: Level.WARN, AlarmCode.SIDES_DIFFER: Level.OK}
    assert (found.remind_ms[Level.WARN], found.thresholds.silence_ms) == (0, int(1.5 * HOUR_MS))
    assert (found.link, found.thresholds.target_ms) == ("https://admin.example", 60_000)


def test_recipients_may_be_references_and_are_never_shown(tmp_path: Path) -> None:
    (tmp_path / "slack").write_text(SLACK)
    (tmp_path / "slack").chmod(0o600)
    lines = 'warn = ["file:slack", "env:PAGER"]\ncritical = "mailto:ops@example.com"\nsmtp_host = "localhost"\n'
    config = read(tmp_path, lines + 'mail_from = "w@example.com"', {"PAGER": "run:page-me"})
    assert config.alerts.texts == ([SLACK, "run:page-me"], ["mailto:ops@example.com"], [])
    assert "XYZ" not in repr(config)


def test_a_part_that_is_to_tell_no_recipient_starts_without_their_secrets(tmp_path: Path) -> None:
    config = read(tmp_path, 'warn = "env:ELSEWHERE"', {"WANESYNC_ALERTS__WARN": "[]"})
    assert config.alerts.texts == ([], [], [])


def test_the_proxy_is_read_for_notices_only_where_some_are_sent(tmp_path: Path) -> None:
    path = tmp_path / "wanesync.toml"
    text = f'{BASE}[network]\nproxy = "env:ELSEWHERE"\n'
    path.write_text(text)
    path.chmod(0o600)
    uses = ["server.metrics_token", *ALERT_SECRETS]
    load(path, {}, uses)
    path.write_text(f'{text}[alerts]\nwarn = "run:page-me"\n')
    with pytest.raises(ConfigError, match="ELSEWHERE is not set"):
        load(path, {}, uses)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('warn = "hooks.slack.com/x"', "must be the address of a webhook"),
        ('warn = "mailto:ops"', "must be mailto: and one e-mail address"),
        ('warn = "mailto:ops@example.com"', "needs smtp_host and mail_from"),
        ('warn = "http://example.com/x"', "must begin with https"),
        ('heartbeat_url = "hc-ping.com/x"', "must be an address that begins with https"),
        ('quiet_hours = "22-7"', "must be two times of the day"),
        ('quiet_hours = "22:00-22:00"', "must be two times of the day"),
        ('time_zone = "Mars/Olympus"', "must be the name of a time zone"),
        ("digest_hour = 24", "less than or equal to 23"),
        ('smtp_host = "smtp.example.com"\nsmtp_security = "none"', "on this machine only"),
        ('mail_from = "nobody"', "must be one e-mail address"),
        ('levels = { nonsense = "warn" }', "nonsense"),
        ('levels = { no_worker = "loud" }', "'off', 'warn' or 'critical'"),
        ("share_warn = 95", "less than or equal to 1"),
    ],
)
def test_a_mistake_is_named_without_the_value(tmp_path: Path, lines: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        read(tmp_path, lines)
    assert "services/" not in str(caught.value)


def test_an_address_in_a_file_that_others_can_read_is_refused_and_a_mailbox_is_not(tmp_path: Path) -> None:
    path = tmp_path / "wanesync.toml"
    mail = 'smtp_host = "localhost"\nmail_from = "w@example.com"\n'
    path.write_text(f'{BASE}[alerts]\nwarn = ["mailto:ops@example.com", "run:page-me"]\n{mail}')
    path.chmod(0o644)
    load(path, {}, ALERT_SECRETS)
    path.write_text(f'{BASE}[alerts]\nwarn = ["{SLACK}"]\n')
    with pytest.raises(ConfigError, match="is a secret in a file that"):
        load(path, {}, ALERT_SECRETS)


def test_the_port_of_a_mail_server_follows_its_encryption(tmp_path: Path) -> None:
    assert read(tmp_path, "").alerts.mail_port == 587
    assert read(tmp_path, 'smtp_security = "tls"').alerts.mail_port == 465
    assert read(tmp_path, "smtp_port = 2525").alerts.mail_port == 2525
