"""The section ``[alerts]``: recipients of notices, quiet hours, reminders, the digest, and thresholds of the rules."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from wanesync.config.value_types import ListeningHost, Section, Share, Text, as_tuple, is_loopback
from wanesync.core.operating.alarms import AlarmCode, Level
from wanesync.core.operating.alerts import HOUR_MS, AlertPolicy, QuietHours, Thresholds
from wanesync.core.operating.recipients import RecipientKind, parse_recipient

RECIPIENT_LISTS = ("alerts.warn", "alerts.critical", "alerts.digest")
"""Lists of recipients: addresses of webhooks are secrets."""
ALERT_SECRETS = (*RECIPIENT_LISTS, "alerts.heartbeat_url", "alerts.smtp_password")
"""The secrets of every process that evaluates alerts: all that run on and use the database."""
PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""Port of a mail server by how it is encrypted (RFC 8314, RFC 5321)."""
MINUTES = r"([01]\d|2[0-3]):([0-5]\d)"
_QUIET = re.compile(rf"{MINUTES}-{MINUTES}")
LEVELS = {"off": Level.OK, "warn": Level.WARN, "critical": Level.CRITICAL}


def _recipient(value: SecretStr) -> SecretStr:
    parse_recipient(value.get_secret_value())
    return value


def _heartbeat(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.startswith("https://") and not (text.startswith("http://") and is_loopback(text)):
        raise ValueError("must be an address that begins with https:// (http:// only for this machine)")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("holds a blank or a character that no address has")
    return value


def _quiet(value: str) -> str:
    found = _QUIET.fullmatch(value)
    if not found or found[1] + found[2] == found[3] + found[4]:
        raise ValueError('must be two times of the day, such as "22:00-07:00"')
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be the name of a time zone, such as Europe/Berlin or UTC") from None
    return value


def _hour(value: object) -> object:
    if value in ("off", -1, "-1"):
        return -1
    return value


def _mailbox(value: str) -> str:
    try:
        parse_recipient(f"mailto:{value}")
    except ValueError:
        raise ValueError("must be one e-mail address") from None
    return value


Recipients = Annotated[
    tuple[Annotated[SecretStr, Field(min_length=1), AfterValidator(_recipient)], ...], BeforeValidator(as_tuple)
]
Hours = Annotated[float, Field(ge=0, le=24 * 365)]
Least = Annotated[int, Field(ge=1)]


class Alerts(Section):
    """Who is told what, and from when on.

    ``warn``: recipients of every notice; ``critical``: those of critical ones besides; ``digest``: of the daily one,
    which goes to ``warn`` otherwise. ``digest_hour``: local hour, -1 (``"off"``) for none. ``silence_hours``: without a
    webhook of a side; 0: twice the longest gap of two weeks. ``heartbeat_url`` is called once a minute while nothing
    critical stands. ``levels``: alarm code -> another level, or ``off``.
    """

    warn: Recipients = ()
    critical: Recipients = ()
    digest: Recipients = ()
    heartbeat_url: Annotated[SecretStr, AfterValidator(_heartbeat)] | None = None
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    quiet_hours: Annotated[str, AfterValidator(_quiet)] | None = None
    digest_hour: Annotated[int, Field(ge=-1, le=23), BeforeValidator(_hour)] = 8
    remind_warn_hours: Hours = 24
    remind_critical_hours: Hours = 4
    smtp_host: ListeningHost | None = None
    smtp_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: Text | None = None
    smtp_password: Annotated[SecretStr, Field(min_length=1)] | None = None
    mail_from: Annotated[str, AfterValidator(_mailbox)] | None = None
    silence_hours: Hours = 0
    oldest_job_warn_s: Least = 300
    oldest_job_critical_s: Least = 1_800
    dead_letters_critical: Least = 100
    missed_critical: Least = 100
    differing_warn: Least = 100
    differing_critical: Least = 1_000
    share_warn: Share = 0.95
    share_critical: Share = 0.5
    levels: dict[AlarmCode, Literal["off", "warn", "critical"]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_mail(self) -> Self:
        kinds = {parse_recipient(text).kind for texts in self.texts for text in texts}
        if RecipientKind.EMAIL in kinds and not (self.smtp_host and self.mail_from):
            raise ValueError("mailto: needs smtp_host and mail_from")
        if self.smtp_security == "none" and self.smtp_host and not is_loopback(f"smtp://{self.smtp_host}"):
            raise ValueError('smtp_security = "none" is for a mail server on this machine only')
        return self

    @property
    def texts(self) -> tuple[list[str], list[str], list[str]]:
        """The three lists of recipients in plain text: warn, critical, digest."""
        warn, critical, digest = (
            [secret.get_secret_value() for secret in secrets] for secrets in (self.warn, self.critical, self.digest)
        )
        return warn, critical, digest

    @property
    def mail_port(self) -> int:
        """The port of the mail server."""
        return self.smtp_port or PORTS[self.smtp_security]

    def make_policy(self, link: str, target_s: float) -> AlertPolicy:
        """Return the section as a value of the core. ``link``: of the admin pages, "" without one."""
        found = _QUIET.fullmatch(self.quiet_hours or "")
        quiet = QuietHours(*(int(found[n]) * 60 + int(found[n + 1]) for n in (1, 3))) if found else None
        return AlertPolicy(
            thresholds=Thresholds(
                silence_ms=int(self.silence_hours * HOUR_MS),
                oldest_warn_s=self.oldest_job_warn_s,
                oldest_critical_s=self.oldest_job_critical_s,
                dead_critical=self.dead_letters_critical,
                missed_critical=self.missed_critical,
                differ_warn=self.differing_warn,
                differ_critical=self.differing_critical,
                share_warn=self.share_warn,
                share_critical=self.share_critical,
                target_ms=int(target_s * 1000),
            ),
            levels={code: LEVELS[name] for code, name in self.levels.items()},
            remind_ms={
                Level.WARN: int(self.remind_warn_hours * HOUR_MS),
                Level.CRITICAL: int(self.remind_critical_hours * HOUR_MS),
            },
            quiet=quiet,
            zone=ZoneInfo(self.time_zone),
            digest_hour=None if self.digest_hour < 0 else self.digest_hour,
            link=link,
        )
