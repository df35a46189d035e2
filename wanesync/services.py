"""What runs until it is told to stop: the web doors, and the rounds of catch-up beside a worker."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog
import uvicorn

from wanesync.core.errors import CallError, ConfigError, DatabaseUnavailable, GuardError, VendorUnavailable
from wanesync.core.ids import make_id
from wanesync.core.model import Side
from wanesync.ops.status import WEB, read_gauges
from wanesync.reconcile.lock import AlreadyRunning, RunLock
from wanesync.sync.loader import LISTED
from wanesync.web.app import build_app
from wanesync.web.settings import WebSettings
from wanesync.wiring import build_catch_up, build_intake, build_reconcile, is_rehearsal

if TYPE_CHECKING:
    from wanesync.config.model import Config
    from wanesync.store.database import Store, Tx
    from wanesync.sync.runtime import Runtime

BEAT_S = 2.0
AGAIN_S = 30.0
JUST_NOW_MS = 60_000

log = structlog.get_logger()


def stop_when_asked() -> threading.Event:
    """An event that SIGTERM and SIGINT set. Main thread only."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    return stopping


class WebDoors:
    """The web application served from a thread. Holds webhook secrets, no API key.

    Raises ConfigError (a secret is missing, the port is taken) and WrongAccount.
    """

    def __init__(self, config: Config, store: Store) -> None:
        if not is_rehearsal(config):
            config.require("server.public_url")
        self._store = store
        settings = WebSettings(
            public_url=config.server.public_url or "",
            max_body_bytes=config.server.max_body_bytes,
            ready=self._find_trouble,
            gauges=lambda: read_gauges(store),
        )
        self._socket = _listen(config.server.host, config.server.port)
        options = uvicorn.Config(
            build_app(build_intake(config, store), settings),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(options)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="web")
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Requests under way are given 5 s."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def beat_until(self, stopping: threading.Event) -> None:
        """Heartbeats, so that ``status`` shows this process, until it is told to stop.

        Before each the clock is set by the database's: by it the age of a signature is told.
        """
        store = self._store
        name, started_ms = make_id(store.now_ms(), random.SystemRandom()), store.now_ms()
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                store.sync_clock()
                store.run(lambda tx: tx.processes.beat(name, WEB, started_ms))
            if stopping.wait(BEAT_S):
                break
        with contextlib.suppress(DatabaseUnavailable):
            store.run(lambda tx: tx.processes.remove(name))

    def _find_trouble(self) -> str:
        try:
            with self._store.transaction() as tx:
                tx.settings.get(LISTED)
        except DatabaseUnavailable:
            return "the database does not answer"
        return ""


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        problem = f"{host} port {port} cannot be opened ({error.strerror}): choose another server.host or server.port"
        raise ConfigError([problem]) from error


@dataclass(slots=True)
class RoutineTasks:
    """Catch-up at start and every ``every_ms``, and the first listing where it is wanted; in a thread beside a worker.

    Of several processes one does it: whoever moves the time stamp in the settings. ``snapshot``: the file of the
    first listing.
    """

    runtime: Runtime
    sides: Iterable[Side]
    every_ms: int
    stopping: threading.Event
    list_first: bool = False
    snapshot: str = ":memory:"
    _first_ms: dict[Side, int] = field(default_factory=dict)

    def run(self) -> None:
        """Until told to stop. Trouble is logged and tried again."""
        while not self.stopping.is_set():
            self.turn()
            self.stopping.wait(AGAIN_S)

    def turn(self) -> None:
        """One round: whatever goes wrong with one side, the other has its turn, and both the next round."""
        if self.list_first and not self._attempt(self._list):
            return
        for side in self.sides:
            self._attempt(partial(self._look_after, side))

    def _attempt(self, step: Callable[[], None]) -> bool:
        try:
            step()
        except (CallError, VendorUnavailable, DatabaseUnavailable) as error:
            log.warning("catch-up did not work", reason=str(error))
        except GuardError as error:
            log.error("the first listing was stopped", reason=str(error))
            self.list_first = False
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end all later rounds
            # When the program ends, the database is closed under its feet.
            if not self.stopping.is_set():
                log.error("catch-up failed in our own code", error=type(error).__name__)
        else:
            return True
        return False

    def _list(self) -> None:
        try:
            list_everything(self.runtime, self.snapshot)
            self.list_first = False
        except AlreadyRunning as error:
            log.warning("the first listing waits", reason=str(error))

    def _look_after(self, side: Side) -> None:
        patience = self.every_ms if side in self._first_ms else min(JUST_NOW_MS, self.every_ms)
        if self.runtime.store.run(lambda tx: _claim(tx, side, patience)):
            self._catch_up(side)
        self._first_ms[side] = self.runtime.store.now_ms()

    def _catch_up(self, side: Side) -> None:
        try:
            caught = build_catch_up(self.runtime).run(side)
        except BaseException:
            self.runtime.store.run(lambda tx: tx.settings.put(_stamp(side), "0"))
            raise
        log.info("caught up", side=side, changed=caught.changed, purchases=caught.purchases)
        if caught.too_old:
            log.warning("Stripe keeps events for 30 days only: run wanesync reconcile", side=side)


def list_everything(runtime: Runtime, snapshot: str) -> None:
    """The first listing, if it is missing: lists both sides, queues what differs. Raises VendorUnavailable, GuardError."""
    with runtime.store.reading() as tx:
        if tx.settings.get(LISTED) is not None:
            return
    build_catch_up(runtime).mark_start()
    with RunLock(runtime.store, runtime.name):
        rounds = build_reconcile(runtime, snapshot)
        report = rounds.look(lambda _side, _count: None, lambda _count: None, fresh=True)
        try:
            rounds.queue(report)
        finally:
            report.close()
    log.info("first listing done", jobs=report.jobs, linked=report.to_link)


def _stamp(side: Side) -> str:
    return f"caught_up_ms_{side}"


def _claim(tx: Tx, side: Side, patience_ms: int) -> bool:
    last_ms = int(tx.settings.get(_stamp(side)) or 0)
    if tx.now_ms - last_ms < patience_ms:
        return False
    tx.settings.put(_stamp(side), str(tx.now_ms))
    return True
