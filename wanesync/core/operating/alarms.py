"""Alarms as values: a stable code, what is wrong, and the way out.

``ops.alarms.find_alarms`` returns what is wrong now; the command line prints ``Alarm.text``, pages show ``what`` and
``advice`` apart, with ``level`` for the colour and ``title`` for a heading. ``(code, subject)`` names the same
trouble for as long as it lasts, while the texts change (an age, a count): alerts keep their state by it
(``core.operating.alerts``). Codes are part of the interface, as in ``status --json`` and the configuration: they are
not renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Level(IntEnum):
    """How bad it is. ``WARN``: look at it today. ``CRITICAL``: changes are not synced, or soon will not be."""

    OK = 0
    WARN = 1
    CRITICAL = 2

    @property
    def label(self) -> str:
        """The word for it in the configuration, in JSON and in messages."""
        return self.name.lower()


class AlarmCode(StrEnum):
    """What is wrong, one code for each way in which it can be."""

    FIRST_LISTING_MISSING = "first_listing_missing"
    DATABASE_RESTORED = "database_restored"
    NO_WORKER = "no_worker"
    NO_WEB_PROCESS = "no_web_process"
    DEAD_LETTERS = "dead_letters"
    OLDEST_JOB = "oldest_job"
    SIDE_PAUSED = "side_paused"
    SIDE_UNREACHABLE = "side_unreachable"
    OPERATION_PAUSED = "operation_paused"
    CHANGES_HELD = "changes_held"
    FIELD_PAUSED = "field_paused"
    KEY_REFUSED = "key_refused"
    SIDE_FAILING = "side_failing"
    CLOCK_WRONG = "clock_wrong"
    SECRET_UNREADABLE = "secret_unreadable"  # noqa: S105 - the name of a trouble
    ACCOUNT_INCOMPLETE = "account_incomplete"
    ACCOUNT_UNCHECKED = "account_unchecked"
    FIELD_UNANSWERED = "field_unanswered"
    WRONG_SIGNATURES = "wrong_signatures"
    WEBHOOKS_REFUSED = "webhooks_refused"
    WEBHOOKS_FOREIGN = "webhooks_foreign"
    WEBHOOKS_VERSION = "webhooks_version"
    CHANGES_MISSED = "changes_missed"
    WEB_NOTICE = "web_notice"
    QUOTA_USED_UP = "quota_used_up"
    API_VERSION_ENDS = "api_version_ends"
    ACCOUNT_PURCHASES = "account_purchases"
    BATCH_FAILING = "batch_failing"
    BAD_VALUES = "bad_values"
    COPIES_DAMAGED = "copies_damaged"
    ERASED_DATA_HELD = "erased_data_held"
    JOB_IDLE = "job_idle"
    JOB_FAILING = "job_failing"
    PAYMENT_AMBIGUOUS = "payment_ambiguous"
    FIELD_REFUSED = "field_refused"
    RECORD_LOOPING = "record_looping"
    WEBHOOK_SET_ASIDE = "webhook_set_aside"
    DISK_FULL = "disk_full"
    CERTIFICATE_ENDS = "certificate_ends"
    # Measured against thresholds of [alerts]: shown where alerts are evaluated.
    WEBHOOKS_SILENT = "webhooks_silent"
    SHARE_IN_TARGET = "share_in_target"
    SIDES_DIFFER = "sides_differ"
    NOTICES_UNDELIVERED = "notices_undelivered"


@dataclass(frozen=True, slots=True)
class AlarmClass:
    """What all alarms of a code share: a heading, the level by default, and the way out where an alarm names none."""

    title: str
    level: Level
    way_out: str = ""


_WARN, _CRITICAL = Level.WARN, Level.CRITICAL
CLASSES: Mapping[AlarmCode, AlarmClass] = {
    AlarmCode.FIRST_LISTING_MISSING: AlarmClass("First listing missing", _WARN),
    AlarmCode.DATABASE_RESTORED: AlarmClass("Database restored from a backup", _CRITICAL),
    AlarmCode.NO_WORKER: AlarmClass("No worker runs", _CRITICAL),
    AlarmCode.NO_WEB_PROCESS: AlarmClass("No process receives webhooks", _CRITICAL),
    AlarmCode.DEAD_LETTERS: AlarmClass("Dead letters", _WARN),
    AlarmCode.OLDEST_JOB: AlarmClass(
        "Jobs are late",
        _WARN,
        "see wanesync status for what limits the lane, and wanesync jobs for what waits",
    ),
    AlarmCode.SIDE_PAUSED: AlarmClass("A side is paused", _WARN, "wanesync resume, once the reason is mended"),
    AlarmCode.SIDE_UNREACHABLE: AlarmClass(
        "A side is unreachable", _CRITICAL, "see its status page and the network; work goes on by itself"
    ),
    AlarmCode.OPERATION_PAUSED: AlarmClass(
        "An operation is paused", _WARN, "mend what the reason names; one that the key may not do needs that right"
    ),
    AlarmCode.CHANGES_HELD: AlarmClass(
        "Changes are held", _WARN, "see wanesync hold list, then wanesync hold release or discard"
    ),
    AlarmCode.FIELD_PAUSED: AlarmClass("A field is paused", _WARN, "wanesync resume --field NAME"),
    AlarmCode.KEY_REFUSED: AlarmClass("An API key is refused", _CRITICAL),
    AlarmCode.SIDE_FAILING: AlarmClass("A side does not answer as it should", _CRITICAL),
    AlarmCode.CLOCK_WRONG: AlarmClass("The clock is wrong", _CRITICAL),
    AlarmCode.SECRET_UNREADABLE: AlarmClass("A secret cannot be read again", _WARN),
    AlarmCode.ACCOUNT_INCOMPLETE: AlarmClass("The HubSpot account lacks something", _WARN),
    AlarmCode.ACCOUNT_UNCHECKED: AlarmClass("The HubSpot account could not be checked", _WARN),
    AlarmCode.FIELD_UNANSWERED: AlarmClass("Answers lack a field", _WARN),
    AlarmCode.WRONG_SIGNATURES: AlarmClass("Webhooks with a wrong signature", _CRITICAL),
    AlarmCode.WEBHOOKS_REFUSED: AlarmClass("Webhooks are refused", _WARN),
    AlarmCode.WEBHOOKS_FOREIGN: AlarmClass("Webhooks of another account", _WARN),
    AlarmCode.WEBHOOKS_VERSION: AlarmClass("Webhooks in an unknown API version", _WARN),
    AlarmCode.CHANGES_MISSED: AlarmClass("Changes without a webhook", _WARN),
    AlarmCode.WEB_NOTICE: AlarmClass("A web process reports trouble", _WARN, "mend what it names"),
    AlarmCode.QUOTA_USED_UP: AlarmClass("A quota is used up", _WARN),
    AlarmCode.API_VERSION_ENDS: AlarmClass("Support of an API version ends", _WARN),
    AlarmCode.ACCOUNT_PURCHASES: AlarmClass("Payments of Accounts v2", _WARN),
    AlarmCode.BATCH_FAILING: AlarmClass("A batch fails over and over", _CRITICAL),
    AlarmCode.BAD_VALUES: AlarmClass("Values that cannot be used", _WARN),
    AlarmCode.COPIES_DAMAGED: AlarmClass("Stored copies are damaged", _WARN),
    AlarmCode.ERASED_DATA_HELD: AlarmClass("Data of an erased person", _WARN),
    AlarmCode.JOB_IDLE: AlarmClass("A job comes to no call", _WARN),
    AlarmCode.JOB_FAILING: AlarmClass("A job fails over and over", _WARN),
    AlarmCode.PAYMENT_AMBIGUOUS: AlarmClass("A payment fits several contacts", _WARN),
    AlarmCode.FIELD_REFUSED: AlarmClass("A side refuses a value", _WARN),
    AlarmCode.RECORD_LOOPING: AlarmClass("A record changes in a loop", _WARN),
    AlarmCode.WEBHOOK_SET_ASIDE: AlarmClass("A part of a webhook was set aside", _WARN),
    AlarmCode.DISK_FULL: AlarmClass("The disk is nearly full", _CRITICAL),
    AlarmCode.CERTIFICATE_ENDS: AlarmClass("A certificate ends", _WARN),
    AlarmCode.WEBHOOKS_SILENT: AlarmClass("No webhook arrives", _WARN),
    AlarmCode.SHARE_IN_TARGET: AlarmClass("Changes are synced too late", _WARN),
    AlarmCode.SIDES_DIFFER: AlarmClass("The sides differ", _WARN),
    AlarmCode.NOTICES_UNDELIVERED: AlarmClass("Notices are not delivered", _WARN),
}
"""Code -> its class; every code has one."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong.

    ``subject``: which of its kind: a side, a lane, a quota, an id; "" where there can be one only. ``what``: what is
    wrong. ``way_out``: what to do about it, "" where the text says nothing about it (see ``advice``). ``outside``: what
    notices say, which leave this installation, where ``what`` holds more than ids and counts; "" for the same.
    ``level_now``: None for the level of its class.
    """

    code: AlarmCode
    what: str
    way_out: str = ""
    subject: str = ""
    outside: str = ""
    level_now: Level | None = None

    @property
    def text(self) -> str:
        """The whole sentence, as ``wanesync status`` prints it."""
        return f"{self.what}: {self.way_out}" if self.way_out else self.what

    @property
    def level(self) -> Level:
        """How bad it is."""
        return CLASSES[self.code].level if self.level_now is None else self.level_now

    @property
    def title(self) -> str:
        """A heading: the kind of trouble."""
        return CLASSES[self.code].title

    @property
    def advice(self) -> str:
        """The way out: this alarm's own, else that of its class; never "" but for what only waits."""
        return self.way_out or CLASSES[self.code].way_out

    def as_json(self) -> dict[str, object]:
        """Return the alarm as JSON shows it (``alarm_codes``)."""
        return {
            "code": str(self.code),
            "subject": self.subject,
            "level": self.level.label,
            "title": self.title,
            "text": self.what,
            "way_out": self.advice,
        }
