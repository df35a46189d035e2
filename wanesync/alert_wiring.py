"""Wiring of alerts: the section ``[alerts]`` becomes rules, recipients and the ways by which notices leave."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from functools import partial

from wanesync.adapters.notices.mail import MailServer
from wanesync.adapters.notices.messenger import NoticeMessenger
from wanesync.adapters.notices.other_services import MISSING, is_installed
from wanesync.config.alerts import RECIPIENT_LISTS
from wanesync.config.model import Config
from wanesync.core.errors import ConfigError
from wanesync.core.ids import make_id
from wanesync.core.operating.alerts import AlertPolicy
from wanesync.core.operating.recipients import RecipientBook, RecipientKind, make_book
from wanesync.ops.alerts.desk import AlertDesk
from wanesync.ops.alerts.evaluator import Evaluator
from wanesync.ops.alerts.situation import SituationReader
from wanesync.ops.alerts.task import AlertTask
from wanesync.ops.broker.certificates import utc_now
from wanesync.ops.health.certificates import find_certificate_alarms
from wanesync.store.database import Store
from wanesync.wiring import build_network_policy

HEARTBEAT = "alerts.heartbeat_url"


def start_alerts(config: Config, store: Store, stopping: threading.Event) -> AlertTask:
    """Begin to evaluate alerts and to send their notices, in threads; to be stopped before the database is closed.

    Raises ``ConfigError`` where a recipient needs an extra that is not installed.
    """
    task = build_alert_task(config, store, stopping)
    task.start()
    return task


def build_alert_task(config: Config, store: Store, stopping: threading.Event) -> AlertTask:
    """Build what a process does about alerts. Raises ``ConfigError`` as ``start_alerts``."""
    desk = build_alert_desk(config, store)
    reader = SituationReader(store, desk.policy)
    evaluator = Evaluator(store, desk.process, desk.policy, desk.book, reader)
    messenger = build_messenger(config)
    return AlertTask(
        store,
        evaluator,
        desk.make_deliverer(),
        stopping,
        find_local=lambda: find_certificate_alarms(config, utc_now()),
        call_heartbeat=_find_heartbeat(config, messenger),
    )


def build_alert_desk(config: Config, store: Store) -> AlertDesk:
    """Build what shows and steers alerts. Raises ``ConfigError`` as ``start_alerts``."""
    book = partial(read_book, config)
    if any(one.recipient.kind is RecipientKind.APPRISE for one in book().all) and not is_installed():
        raise ConfigError([f"alerts: {MISSING}"])
    # The heartbeat of a process has a name of its own; this one only has to differ from those of the others.
    process = f"{os.getpid()}-{make_id(store.now_ms(), random.SystemRandom())}"
    return AlertDesk(store, build_policy(config), book, build_messenger(config), process)


def build_policy(config: Config) -> AlertPolicy:
    """Build the rules and times of a configuration."""
    return config.alerts.make_policy(config.admin.public_url or "", config.sync.target_s)


def build_messenger(config: Config) -> NoticeMessenger:
    """Build the ways by which notices leave: with the proxy and the authorities of ``[network]``."""
    alerts = config.alerts
    mail = None
    if alerts.smtp_host and alerts.mail_from:
        password = alerts.smtp_password.get_secret_value() if alerts.smtp_password else ""
        mail = MailServer(
            alerts.smtp_host,
            alerts.mail_port,
            alerts.smtp_security,
            alerts.mail_from,
            alerts.smtp_user or "",
            password,
        )
    return NoticeMessenger(build_network_policy(config), mail)


def read_book(config: Config) -> RecipientBook:
    """Return the recipients; those that are references as they were read last."""
    source = config.secret_source
    texts = [
        source.current(key) if source.is_renewable(key) and source.current(key) else written
        for key, written in zip(RECIPIENT_LISTS, config.alerts.texts, strict=True)
    ]
    return make_book(*texts)


def _find_heartbeat(config: Config, messenger: NoticeMessenger) -> Callable[[], None] | None:
    if config.alerts.heartbeat_url is None:
        return None
    written = config.alerts.heartbeat_url.get_secret_value()

    def call() -> None:
        messenger.call(next(iter(config.secret_source.current(HEARTBEAT)), written))

    return call
