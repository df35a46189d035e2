"""Wiring of the admin service: a configuration and a database become a running service."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wanesync.alert_wiring import build_alert_desk
from wanesync.config.model import API_KEYS, Config, read_secrets
from wanesync.core.errors import ConfigError
from wanesync.ops.access.logins import SessionLimits, make_setup_link
from wanesync.ops.people.decisions import DecisionDesk
from wanesync.ops.queue.bulk_runs import BulkRunner
from wanesync.ops.reconcile.processes import ReconcileProcesses
from wanesync.store.database import Store
from wanesync.web.certificate import ServerCertificate
from wanesync.web.exposure import check_exposure, is_loopback_host
from wanesync.web.proxies import TrustedProxies, parse_network
from wanesync.wiring import build_decision_runtime

if TYPE_CHECKING:
    from wanesync.admin.services import AccessSettings, AdminServices
    from wanesync.web.server import Listener

MISSING = "the admin service needs the extra admin: pip install 'wanesync[admin]'"
MAX_CONNECTIONS = 256
"""Connections of the service at a time (our choice): a browser opens up to six."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def build_admin_services(config: Config, store: Store, config_file: Path | None = None) -> AdminServices:
    """Build what the pages and the API use. Raises ConfigError without the extra ``admin``.

    ``config_file``: what the processes of reconcile runs read.
    """
    try:
        from wanesync.admin.services import AdminServices  # noqa: PLC0415 - of an extra
    except ImportError as error:
        raise ConfigError([MISSING]) from error
    alerts = build_alert_desk(config, store)
    desk = DecisionDesk(lambda: build_decision_runtime(config, store))
    reconciles = ReconcileProcesses(store, config_file, partial(find_missing_keys, config_file))
    return AdminServices(store, config, build_access(config), decisions=desk, reconciles=reconciles, alert_desk=alerts)


def find_missing_keys(config_file: Path | None) -> list[str]:
    """Return the API keys that a reconcile needs and the configuration does not name; none of them is resolved."""
    written = read_secrets(config_file, os.environ).written
    return [key for key in API_KEYS.values() if not written.get(key)]


def build_access(config: Config) -> AccessSettings:
    """Build how operators reach the service. Raises ConfigError if other machines would reach it in plain HTTP."""
    from wanesync.admin.services import AccessSettings  # noqa: PLC0415 - of an extra

    admin = config.admin
    has_certificate = admin.certificate is not None
    check_exposure("admin", admin.host, has_certificate=has_certificate, behind_proxy=admin.behind_proxy)
    hosts = _LOOPBACK if is_loopback_host(admin.host) and not admin.behind_proxy else frozenset[str]()
    if admin.public_url:
        named = urlsplit(admin.public_url)
        hosts = hosts | {f"[{named.hostname}]" if ":" in (named.hostname or "") else named.hostname or ""}
    return AccessSettings(
        secure=has_certificate or admin.behind_proxy,
        hosts=hosts,
        limits=SessionLimits(admin.idle_minutes * 60_000, admin.session_hours * 3_600_000),
        proxies=TrustedProxies(tuple(map(parse_network, admin.trusted_proxies))),
        sign_on_header=admin.single_sign_on_header or "",
        sign_on_role=admin.single_sign_on_role,
    )


def build_admin_server(config: Config, services: AdminServices) -> Listener:
    """Build the web server of the service with its socket open. Raises ConfigError."""
    from wanesync.admin.app import build_admin_app  # noqa: PLC0415 - of an extra
    from wanesync.web.server import Listener, open_socket  # noqa: PLC0415 - as above

    admin = config.admin
    pair = ServerCertificate(admin.certificate, admin.key) if admin.certificate and admin.key else None
    app = build_admin_app(services)
    opened = open_socket((admin.host, admin.port), "admin.port")
    return Listener(opened, app, MAX_CONNECTIONS, pair, before_stop=app.state.live.hub.end)


def find_address(config: Config) -> str:
    """Return the address of the service for links, as the configuration has it."""
    admin = config.admin
    scheme, host = "https" if admin.certificate else "http", f"[{admin.host}]" if ":" in admin.host else admin.host
    return admin.public_url or f"{scheme}://{host}:{admin.port}"


@contextmanager
def running_admin_tasks(store: Store) -> Iterator[None]:
    """Inside, a thread does what a process with the admin service does beside its pages: it carries out bulk runs."""
    runner = BulkRunner(store, f"admin-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
    thread = threading.Thread(target=runner.run, name="bulk runs")
    thread.start()
    try:
        yield
    finally:
        runner.stopping.set()
        thread.join()


def find_setup_link(config: Config, store: Store, url: str) -> str:
    """Return a new link by which the first user is made, "" if there is one. ``url``: where the service listens."""
    secret = make_setup_link(store)
    return f"{config.admin.public_url or url}/setup?token={secret}" if secret else ""
