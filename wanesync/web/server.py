"""The web server of a process: the web application behind a listening socket, in a thread, with heartbeats."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from wanesync.core.errors import ConfigError, DatabaseUnavailable, FieldMapChanged
from wanesync.core.ids import make_id
from wanesync.ops.alarms import WEB
from wanesync.ops.health.web_notices import put_notice
from wanesync.sync.loader import LISTED
from wanesync.web.app import build_app, build_metrics_app
from wanesync.web.connections import KEPT_FILES, make_protocol, raise_file_limit
from wanesync.web.exposure import is_loopback_host
from wanesync.web.metrics import WebhookCounters
from wanesync.web.tls import make_tls_protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from wanesync.store.database import Store, Tx
    from wanesync.web.certificate import ServerCertificate
    from wanesync.web.settings import IntakePort, WebSettings
    from wanesync.web.whole_posts import WholePosts

HEARTBEAT_S = 2.0
"""As often as a worker's heartbeat, so that ``status`` shows both alike."""
SHUTDOWN_TIMEOUT_S = 5
"""Time for open requests when the server stops; both senders repeat what got no answer."""
MAX_METRICS_CONNECTIONS = 64
"""Connections of the listener for monitoring (our choice): few programs ask, one request at a time."""
BACKLOG = 128
"""Connections the kernel queues: it hands them over in one turn, before the oldest can be closed for them."""


class WebServer:
    """Serves the web application from a thread. Holds webhook secrets and no API key.

    ``store`` None: of a handler that reports over the bus instead. ``sockets``: listening ones that other processes
    share, of the door and, where there is one, of the listener for monitoring (``process_group``). Raises
    ``ConfigError`` if the port cannot be opened; port 0 takes any free one (see ``url``).
    """

    def __init__(  # noqa: PLR0913 - what it serves, where, and what it shares with other processes
        self,
        store: Store | None,
        intake: IntakePort,
        settings: WebSettings,
        address: tuple[str, int],
        counts: WebhookCounters | None = None,
        *,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        self._store = store
        self._trouble = ""
        self._find_trouble = settings.ready
        settings = replace(settings, ready=self._describe_trouble, gauges=partial(self._add_gauges, settings.gauges))
        self._certificate = settings.certificate
        self._counts = counts or WebhookCounters()
        allowed = min(settings.max_connections, raise_file_limit() - KEPT_FILES)
        opened = list(sockets) or open_sockets(address, settings.metrics_address)
        app = build_app(intake, settings, self._counts)
        door = Listener(opened[0], app, allowed, settings.certificate, whole_posts=app.whole_posts)
        self._listeners = [door]
        self.url, self.metrics_url = door.url, ""
        if settings.metrics_address is not None:
            # On this machine it is called by its number, for which the certificate is not.
            pair = None if is_loopback_host(settings.metrics_address[0]) else settings.certificate
            monitoring = build_metrics_app(settings, self._counts)
            second = Listener(opened[1], monitoring, MAX_METRICS_CONNECTIONS, pair)
            self._listeners.append(second)
            self.metrics_url = second.url

    def start(self) -> None:
        """Start serving."""
        for listener in self._listeners:
            listener.start()

    def stop(self) -> None:
        """Stop serving; open requests have 5 s to finish."""
        for listener in self._listeners:
            listener.stop()

    def beat_until(self, stopping: threading.Event) -> None:
        """Write heartbeats until ``stopping`` is set, so that ``status`` shows this process.

        The clock offset to the database is measured before each heartbeat: the age of a webhook signature is checked
        in database time. Raises ``FieldMapChanged`` if another process began to work with another field map.
        """
        store = self._store
        if store is None:
            while not stopping.wait(HEARTBEAT_S):
                self._check_certificate()
            return
        name, started_ms = make_id(store.now_ms(), random.SystemRandom()), store.now_ms()
        while True:
            # Also while the database is unavailable: a certificate ends whatever else is wrong.
            certificate = self._check_certificate()
            try:
                store.sync_clock()
                store.refresh_keys()
                store.run(partial(_beat, name, started_ms, certificate))
                self._store_counts(store)
                self._trouble = ""
            except FieldMapChanged:
                raise
            except DatabaseUnavailable:
                self._trouble = "the database takes no heartbeat, and so no webhook"
            if stopping.wait(HEARTBEAT_S):
                break
        with contextlib.suppress(DatabaseUnavailable):
            self._store_counts(store)
            store.run(lambda tx: _end(tx, name))

    def _check_certificate(self) -> str:
        """Take a renewed certificate, and return what is wrong with the one in use."""
        if self._certificate is None:
            return ""
        self._certificate.refresh()
        return self._certificate.find_trouble()

    def _add_gauges(self, read: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        own = {} if self._certificate is None else {"wanesync_certificate_ends_seconds": self._certificate.ends_s}
        return {**read(), **own}

    def _describe_trouble(self) -> str:
        """Return why no webhook can be stored now: by the newest heartbeat, which is a write, and by a read."""
        return self._trouble or self._find_trouble()

    def _store_counts(self, store: Store) -> None:
        """Store how many webhooks had which outcome, so that ``status`` of any process shows it."""
        outcomes = self._counts.take_outcomes()
        if outcomes:
            try:
                store.run(lambda tx: tx.webhook_counts.add(outcomes))
            except DatabaseUnavailable:
                self._counts.give_back(outcomes)
                raise


class Listener:
    """An application behind a listening socket (``open_socket``), in a thread of its own.

    ``before_stop``: of an application with a lifespan, what ends its streams; it is called in another thread.
    ``whole_posts``: of the door, what takes POSTs before its application.
    """

    def __init__(  # noqa: PLR0913 - what it serves, where, and two parts that few have
        self,
        opened: socket.socket,
        app: ASGIApp,
        max_connections: int,
        certificate: ServerCertificate | None,
        *,
        before_stop: Callable[[], None] | None = None,
        whole_posts: WholePosts | None = None,
    ) -> None:
        self._before_stop, self._certificate = before_stop, certificate
        self._socket = opened
        plain = make_protocol(max_connections, whole_posts)
        protocol: type[asyncio.Protocol] = plain
        if certificate is not None:
            protocol = make_tls_protocol(plain, certificate)
        options = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            backlog=BACKLOG,
            lifespan="off" if before_stop is None else "on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        )
        self._server = uvicorn.Server(options)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="web")
        self.url = find_url(opened, encrypted=certificate is not None)

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving; open requests have 5 s to finish."""
        if self._before_stop is not None:
            self._before_stop()
        self._server.should_exit = True
        self._thread.join()
        self.close()

    def refresh_certificate(self) -> None:
        """Take a renewed certificate, if it has one and that was replaced."""
        if self._certificate is not None:
            self._certificate.refresh()

    @property
    def is_running(self) -> bool:
        """Return whether it serves."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Close the socket of a listener that was not started."""
        self._socket.close()


def _beat(name: str, started_ms: int, trouble: str, tx: Tx) -> None:
    tx.settings.check_field_map()
    tx.processes.beat(name, WEB, started_ms)
    put_notice(tx, name, trouble)


def _end(tx: Tx, name: str) -> None:
    tx.processes.remove(name)
    put_notice(tx, name, "")


def open_sockets(door: tuple[str, int], metrics: tuple[str, int] | None = None) -> list[socket.socket]:
    """Open the listening sockets of the door and of the listener for monitoring. Raises ``ConfigError``."""
    opened = [open_socket(door, "server.port")]
    if metrics is not None:
        try:
            opened.append(open_socket(metrics, "server.metrics_port"))
        except ConfigError:
            opened[0].close()
            raise
    return opened


def open_socket(address: tuple[str, int], option: str) -> socket.socket:
    """Open a listening socket; port 0 takes any free one. ``option``: what an error names. Raises ``ConfigError``."""
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # Python adds "(while attempting to bind on address …)".
        reason = (error.strerror or str(error)).partition(" (while")[0]
        hosts = option.replace("port", "host")
        problem = f"{host} port {port} cannot be opened ({reason}): choose another {hosts} or {option}"
        raise ConfigError([problem]) from error


def find_url(opened: socket.socket, *, encrypted: bool) -> str:
    """Return the address of a listening socket."""
    host, port = opened.getsockname()[:2]
    scheme = "https" if encrypted else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def find_trouble(store: Store) -> str:
    """Return why no webhook could be stored now, as far as a read shows it; "" if one could.

    The request needs no key, and a writing transaction would take the turn of a webhook.
    """
    try:
        with store.reading() as tx:
            tx.settings.get(LISTED)
            tx.settings.check_field_map()
    except FieldMapChanged:
        return "the field map was changed: this process stops"
    except DatabaseUnavailable:
        return "the database does not answer"
    return ""
