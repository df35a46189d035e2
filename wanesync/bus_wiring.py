"""Wiring of the parts that use the bus: handlers, which have no database, queue processes, and workers."""

from __future__ import annotations

import re
import socket
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wanesync import intake_wiring
from wanesync.adapters.webhooks import VerifyingWebhooks
from wanesync.bus import topics
from wanesync.bus.client import BusOptions
from wanesync.bus.door import BusDoor
from wanesync.bus.envelope import Seal
from wanesync.config.model import HOOK_SECRETS, Config
from wanesync.config.secret_source import ConnectionSecrets
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.core.purchases import Sink
from wanesync.core.roles import HANDLERS, WORKERS, Role
from wanesync.web.metrics import WebhookCounters
from wanesync.web.settings import WebSettings

if TYPE_CHECKING:
    from wanesync.bus.queue_process import QueueProcess
    from wanesync.bus.work_listener import WorkListener
    from wanesync.store.database import Store
    from wanesync.web.server import WebServer
    from wanesync.worker.worker import Worker

PASSWORD = "bus.password"  # noqa: S105 - the key of the configuration
HANDLER_THREADS = 256
"""Webhooks of a handler that wait for the queue at a time: each waits for a commit, not for the processor."""
UNUSED = (
    "a handler uses no database: leave database and [security] keys out of this process's configuration, so that it "
    "holds nothing it does not need"
)


def build_bus_options(config: Config, role: Role, instance: str, session_s: int = 0) -> BusOptions:
    """Return how a process of a role reaches the broker. Raises ``ConfigError`` without a broker."""
    bus = config.bus
    if bus.url is None:
        raise ConfigError(["bus.url: is needed for this: the address of the broker, mqtts://HOST:PORT"])
    return BusOptions(
        bus.url,
        topics.client_id(role, instance),
        bus.username or "",
        bus.password.get_secret_value() if bus.password else "",
        bus.ca or "",
        bus.certificate or "",
        bus.key or "",
        session_s,
        _find_password(config),
    )


def _find_password(config: Config) -> Callable[[], str] | None:
    """Return what finds the password of a new connection to the broker; None for one that never changes."""
    source = config.secret_source
    if not source.is_renewable(PASSWORD):
        return None
    secrets = ConnectionSecrets(source, [PASSWORD])

    def find() -> str:
        secrets.renew()
        return secrets.current(PASSWORD)

    return find


def make_instance() -> str:
    """Return a name that no other process has: instances of one function share their configuration."""
    return uuid.uuid4().hex


# -- handlers


def find_handler_side(config: Config) -> Side:
    """Return the side whose webhook secret this process has. Raises ``ConfigError`` unless it is one side's only."""
    given = [side for side, key in HOOK_SECRETS.items() if _has(config, key)]
    if len(given) != 1:
        raise ConfigError(
            ["a handler takes the webhooks of one side: give it that side's webhook_secret, and no other"]
        )
    return given[0]


def _has(config: Config, key: str) -> bool:
    section, _, name = key.partition(".")
    return bool(getattr(getattr(config, section), name))


def build_bus_door(config: Config, side: Side) -> BusDoor:
    """Build a handler's half of the bus; it connects when it is started. Raises ``ConfigError``."""
    signed = ["server.public_url"] if side is Side.HUBSPOT and not config.is_rehearsal else []
    config.require(HOOK_SECRETS[side], *signed)
    signature = intake_wiring.build_signature(config, side)
    options = build_bus_options(config, HANDLERS[side], make_instance())
    return BusDoor(side, VerifyingWebhooks(signature), Seal(config.bus.entries), options, config.bus.answer_timeout_s)


def build_door_settings(settings: WebSettings, door: BusDoor) -> WebSettings:
    """Return settings of a web application as they are in front of a handler's door."""
    return replace(
        settings,
        threads=HANDLER_THREADS,
        ready=lambda: door.client.trouble,
        receive_test=door.receive_test,
        sides=(door.side,),
    )


def build_handler_server(config: Config, door: BusDoor, counts: WebhookCounters) -> WebServer:
    """Build the web server of a handler with its socket open. Raises ``ConfigError``."""
    from wanesync.web.server import WebServer  # noqa: PLC0415 - a serverless handler has none

    address = (config.server.host, config.server.port)
    settings = build_door_settings(intake_wiring.build_web_settings(config.server), door)
    return WebServer(None, door, settings, address, counts)


def find_unused(config: Config) -> str:
    """Return what to say of a configuration that gives a handler more than it uses, "" if it does not."""
    return UNUSED if config.database.startswith("postgresql:") or config.security.keys else ""


# -- queue processes and workers


def build_queue_process(config: Config, store: Store, stopping: threading.Event) -> QueueProcess:
    """Build a queue process. Raises ``ConfigError`` and ``WrongAccount``."""
    from wanesync.bus.queue_process import LONE_SESSION_S, QueueProcess  # noqa: PLC0415 - no handler needs it

    options = build_bus_options(config, Role.QUEUE, config.bus.name or _host_name(), LONE_SESSION_S)
    seal = Seal(config.bus.entries)
    sink = None if config.purchases.sink == "auto" else Sink(config.purchases.sink)
    intake = replace(
        intake_wiring.build_intake(config, store, verified=True),
        tracing=intake_wiring.build_tracing(config),
        is_patient=True,
    )
    return QueueProcess(store, intake, seal, options, sink, stopping)


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "one"


def build_work_listener(config: Config, work: Worker, sides: Sequence[Side]) -> WorkListener | None:
    """Build what wakes a worker over the bus; None without a broker, and for a process that runs all.

    Raises ``ConfigError``.
    """
    from wanesync.bus.work_listener import WorkListener  # noqa: PLC0415 - no handler needs it

    if config.bus.url is None or len(sides) != 1:
        return None
    side = sides[0]
    options = build_bus_options(config, WORKERS[side], make_instance())
    return WorkListener(work.runtime.store, side, Seal(config.bus.entries), options, work.pacers[side].refresh)
