"""``admin``: the admin service in a process of its own, until SIGTERM or Ctrl-C; its users, tokens and audit log."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wanesync.admin_wiring import build_admin_server, build_admin_services, find_setup_link, running_admin_tasks
from wanesync.alert_wiring import start_alerts
from wanesync.cli.commands.access.admin_audit import app as audit_app
from wanesync.cli.commands.access.admin_token import app as token_app
from wanesync.cli.commands.access.admin_user import app as user_app
from wanesync.cli.context import (
    ConfigFile,
    end_if_stopping,
    find_config_file,
    read_logged_config,
    set_on_stop_signals,
    use_database,
)
from wanesync.core.errors import ConfigError, DatabaseUnavailable
from wanesync.output import print_line
from wanesync.store.patience import Patience
from wanesync.wiring import build_secret_refresh, is_on_file

if TYPE_CHECKING:
    from wanesync.config.model import Config
    from wanesync.store.database import Store
    from wanesync.web.server import Listener

CERTIFICATE_CHECK_S = 2.0
"""As often as the web door looks whether its certificate was renewed."""
RETRY_S = 5.0
"""After the database was unavailable at the start of the service inside ``up`` (our choice)."""
HELP = "Run the admin service; manage its users and tokens."
app = typer.Typer(help=HELP, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(user_app, name="user")
app.add_typer(token_app, name="token")
app.add_typer(audit_app, name="audit")


@app.callback(invoke_without_command=True, help=HELP)
def serve(context: typer.Context, config_file: ConfigFile = None) -> None:
    """Run the admin service."""
    if context.invoked_subcommand is not None:
        return
    config = read_logged_config(config_file, ())
    stopping = set_on_stop_signals()
    patience = Patience(stopping)
    with use_database(config, migrate=is_on_file(config), patience=patience, logs_of="admin") as store:
        with store.patient(patience):
            store.check_keys()
        end_if_stopping(stopping)
        refresh = build_secret_refresh(config, store, f"admin {os.getpid()}", stopping)
        threading.Thread(target=refresh.run, name="secret-refresh", daemon=True).start()
        alerts = start_alerts(config, store, stopping)
        try:
            with run_admin(config, store, config_file, stopping) as server:
                _wait(server, stopping)
        finally:
            alerts.stop()


def _wait(server: Listener, stopping: threading.Event) -> None:
    """Wait, and take a renewed certificate meanwhile."""
    while not stopping.wait(CERTIFICATE_CHECK_S):
        server.refresh_certificate()


@contextmanager
def run_admin(config: Config, store: Store, config_file: Path | None, stopping: threading.Event) -> Iterator[Listener]:
    """Serve the pages and the API inside, and print where; without a user also the link by which the first is made.

    ``config_file``: as ``--config`` names it. Raises ConfigError, and ``typer.Exit`` where it is to stop already.
    """
    services = build_admin_services(config, store, find_config_file(config_file))
    end_if_stopping(stopping)
    server = build_admin_server(config, services)
    with running_admin_tasks(store):
        server.start()
        try:
            print_line(f"wanesync admin is at {config.admin.public_url or server.url}", flush=True)
            if link := find_setup_link(config, store, server.url):
                print_line(f"make the first user within 24 hours: {link}", flush=True)
            yield server
        finally:
            server.stop()


@contextmanager
def run_admin_beside(config: Config, store: Store, config_file: Path | None) -> Iterator[None]:
    """Serve the pages inside as ``run_admin`` does, from a thread: what receives webhooks does not wait for it.

    Nothing is served without the extra, or where the configuration forbids it; a port that is taken is a line of text,
    for the rest of the program goes on.
    """
    if not (config.admin.in_up and importlib.util.find_spec("fastapi")):
        yield
        return
    ending = threading.Event()

    def serve_until_then() -> None:
        while not ending.is_set():
            try:
                with run_admin(config, store, config_file, ending) as server:
                    _wait(server, ending)
            except typer.Exit:
                return
            except DatabaseUnavailable:
                ending.wait(RETRY_S)
            except ConfigError as error:
                print_line(f"the admin service does not run: {error}", error=True)
                return

    thread = threading.Thread(target=serve_until_then, name="admin")
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
