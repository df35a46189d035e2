"""``serve``: receive webhooks until SIGTERM or Ctrl-C."""

from __future__ import annotations

import os
import threading

from wanesync.cli.context import ConfigFile, read_logged_config, set_on_stop_signals, use_database
from wanesync.config.model import DOOR_SECRETS
from wanesync.output import print_line
from wanesync.store.patience import Patience
from wanesync.wiring import build_secret_refresh, build_web_server, is_on_file


def serve(config_file: ConfigFile = None) -> None:
    """Receive webhooks. Holds the webhook secrets and no API key."""
    config = read_logged_config(config_file, DOOR_SECRETS)
    stopping = set_on_stop_signals()
    patience = Patience(stopping)
    with use_database(config, migrate=is_on_file(config), patience=patience) as store:
        with store.patient(patience):
            server = build_web_server(config, store)
        server.start()
        refresh = build_secret_refresh(config, store, f"serve {os.getpid()}", stopping)
        threading.Thread(target=refresh.run, name="secret-refresh", daemon=True).start()
        try:
            announce(server.url, server.metrics_url)
            server.beat_until(stopping)
        finally:
            server.stop()


def announce(url: str, metrics_url: str) -> None:
    """Print where webhooks are received, the first line of a program that serves, and where its figures are."""
    print_line(f"wanesync serves {url} (webhooks go to /webhooks/hubspot and /webhooks/stripe)", flush=True)
    if metrics_url:
        print_line(f"figures are at {metrics_url}/metrics", flush=True)
