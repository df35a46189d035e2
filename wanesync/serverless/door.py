"""The door of a serverless instance: built at the first need, and kept up between requests without a thread.

A platform may freeze the process after any answer, so nothing runs in the background: no heartbeat, no listener. What
the server of ``serve`` does every two seconds is done here beside a request, when it is due.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog
from anyio import to_thread
from starlette.responses import JSONResponse

from wanesync import intake_wiring, log
from wanesync.config.model import BUS_SECRETS, WEBHOOK_SECRETS, Config, load
from wanesync.core.errors import ConfigError, DatabaseUnavailable, WanesyncError
from wanesync.hardening import forbid_core_dumps
from wanesync.store.figure_counts import try_to_store_figures
from wanesync.store.tables.settings import SERVERLESS_DOOR
from wanesync.web.app import HUBSPOT_PATH, STRIPE_PATH, build_app
from wanesync.web.door_test import DoorTest
from wanesync.web.metrics import WebhookCounters
from wanesync.web.settings import WebSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from wanesync.store.database import Store

PUBLIC_PATHS = frozenset({HUBSPOT_PATH, STRIPE_PATH, "/healthz"})
"""What is served: the address is public, so neither figures nor reasons."""
CLOCK_S = 30.0
"""How old the measured offset to the database's clock may be (our choice): signatures are valid for 5 minutes."""
COUNTS_S = 10.0
"""How often an instance stores what it counted (our choice): a commit for many requests."""
RETRY_S = 5.0
"""Shortest time between two attempts to build the door (our choice), and when the senders are to try again."""
_NOT_READY = "not stored: this service has a problem of its own, send it again"

logger = structlog.get_logger(__name__)


class Door(Protocol):
    """What answers webhooks: an ASGI application with upkeep."""

    @property
    def app(self) -> ASGIApp:
        """The web application."""
        ...

    def prepare_request(self) -> None:
        """Do what is due before a request; never raises."""
        ...

    def finish_request(self) -> None:
        """Do what is due after a request; never raises."""
        ...

    def close(self) -> None:
        """Store what was counted and close the connections."""
        ...


@dataclass(slots=True)
class DatabaseDoor:
    """A door that stores webhooks in the database itself, by one connection."""

    app: ASGIApp
    store: Store
    counts: WebhookCounters
    now_s: Callable[[], float] = time.time
    _synced_s: float = 0.0
    _stored_s: float = 0.0

    def prepare_request(self) -> None:
        """Measure the clock's offset again if it is old: a frozen process does not notice how long it was away."""
        now_s = self.now_s()
        if abs(now_s - self._synced_s) < CLOCK_S:
            return
        try:
            self.store.sync_clock()
            self._synced_s = now_s
        except DatabaseUnavailable as error:
            logger.warning("clock not compared", reason=str(error))

    def finish_request(self) -> None:
        """Store the counted outcomes, at most every 10 s."""
        now_s = self.now_s()
        if abs(now_s - self._stored_s) >= COUNTS_S:
            self._stored_s = now_s
            self._store_counts()

    def close(self) -> None:
        """Store the counted outcomes and close the connection."""
        self._store_counts()
        self.store.close()

    def _store_counts(self) -> None:
        outcomes = self.counts.take_outcomes()
        if not outcomes:
            return
        try:
            self.store.run(lambda tx: tx.webhook_counts.add(outcomes))
        except DatabaseUnavailable as error:
            self.counts.give_back(outcomes)
            logger.warning("counts not stored", reason=str(error))
        else:
            try_to_store_figures(self.store)


def read_config(env: Mapping[str, str]) -> Config:
    """Read the configuration: the file that ``WANESYNC_CONFIG`` names, else the environment alone.

    Resolves no other secret than the webhooks', and with a broker (``[bus] url``) those of the bus instead of the
    database's. Raises ``ConfigError``.
    """
    file = env.get("WANESYNC_CONFIG")
    path = Path(file) if file else None
    over_bus = load(path, env, (*WEBHOOK_SECRETS, *BUS_SECRETS), stores=False)
    return over_bus if over_bus.bus.url else load(path, env, WEBHOOK_SECRETS)


def build_database_door(config: Config) -> DatabaseDoor:
    """Build the door in front of the database, for the sides whose webhook secret is configured.

    Raises ``ConfigError``, ``DatabaseUnavailable`` and ``WrongAccount``.
    """
    config.require("server.public_url")
    sides = intake_wiring.find_given_sides(config)
    store = intake_wiring.open_database(config, migrate=False, pooled=True, connections=1)
    try:
        counts = WebhookCounters(store.figures)
        intake = replace(intake_wiring.build_intake(config, store, sides=sides), count=counts.count_elements)
        settings = WebSettings(
            public_url=config.server.public_url or "",
            max_body_bytes=config.server.max_body_bytes,
            receive_test=DoorTest(store, intake.hooks).receive,
            sides=tuple(sides),
        )
        _note_door(store)
        return DatabaseDoor(build_app(intake, settings, counts), store, counts)
    except BaseException:
        store.close()
        raise


def _note_door(store: Store) -> None:
    """Store that webhooks are received without a lasting process, so that its absence is no alarm."""
    with store.reading() as tx:
        known = tx.settings.get(SERVERLESS_DOOR)
    if known is None:
        store.run(lambda tx: tx.settings.put(SERVERLESS_DOOR, str(tx.now_ms)))


@dataclass(slots=True)
class ServerlessApp:
    """The ASGI application of an instance: builds its door, answers 503 until that succeeds, and keeps it up.

    ``build`` makes the door and raises ``WanesyncError``; it is called by one thread at a time.
    """

    build: Callable[[], Door]
    monotonic_s: Callable[[], float] = time.monotonic
    _door: Door | None = None
    _tried_s: float = float("-inf")
    _guard: threading.Lock = field(default_factory=threading.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the start and end of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in PUBLIC_PATHS:
            await JSONResponse({"error": "not found"}, 404)(scope, receive, send)
            return
        door = await to_thread.run_sync(self.prepare)
        if door is None:
            answer = JSONResponse({"error": _NOT_READY}, 503, {"Retry-After": f"{RETRY_S:.0f}"})
            await answer(scope, receive, send)
            return
        await to_thread.run_sync(door.prepare_request)
        await door.app(scope, receive, send)
        await to_thread.run_sync(door.finish_request)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Build the door before the first request, and close it after the last one."""
        await receive()
        await to_thread.run_sync(self.prepare)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await to_thread.run_sync(self.close)
        await send({"type": "lifespan.shutdown.complete"})

    def prepare(self) -> Door | None:
        """Return the door, built if need be; None while it cannot be, which is logged with its reason."""
        with self._guard:
            now_s = self.monotonic_s()
            if self._door is None and now_s - self._tried_s >= RETRY_S:
                self._tried_s = now_s
                try:
                    self._door = self.build()
                except ConfigError as error:
                    logger.error("door not built", reason="; ".join(map(str, error.problems)))
                except WanesyncError as error:
                    logger.error("door not built", reason=str(error))
            return self._door

    def close(self) -> None:
        """Close the door if there is one."""
        with self._guard:
            door, self._door = self._door, None
        if door is not None:
            door.close()


def build_door() -> Door:
    """Build the door that this process's environment describes. Raises ``WanesyncError``."""
    log.configure("info", sys.stderr)
    forbid_core_dumps()
    config = read_config(os.environ)
    log.configure(config.log.level, sys.stderr)
    if config.bus.url:
        from wanesync.serverless.bus_door import build_handler_door  # noqa: PLC0415 - paho is an extra

        return build_handler_door(config)
    return build_database_door(config)
