"""``serve``: receive webhooks until SIGTERM or Ctrl-C."""

from __future__ import annotations

import os
import threading
from typing import Annotated

import typer

from wanesync.cli.context import ConfigFile, read_logged_config, set_on_stop_signals, use_database
from wanesync.config.model import BUS_SECRETS, DOOR_SECRETS, HOOK_SECRETS
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.output import print_line
from wanesync.store.patience import Patience
from wanesync.wiring import build_secret_refresh, build_web_server, is_on_file

OverBus = Annotated[
    bool, typer.Option("--bus", help="Hand them to the broker of [bus]; needs no database, and --side.")
]
OfSide = Annotated[Side | None, typer.Option("--side", help="With --bus: the side whose webhooks this process takes.")]


def serve(bus: OverBus = False, side: OfSide = None, config_file: ConfigFile = None) -> None:
    """Receive webhooks. Holds the webhook secrets and no API key."""
    if bus != (side is not None):
        raise ConfigError(["--bus and --side go together: a handler of the bus takes the webhooks of one side"])
    if side is not None:
        _serve_over_bus(side, config_file)
        return
    config = read_logged_config(config_file, DOOR_SECRETS)
    stopping = set_on_stop_signals()
    patience = Patience(stopping)
    with use_database(config, migrate=is_on_file(config), patience=patience, logs_of="serve") as store:
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


def _serve_over_bus(side: Side, config_file: ConfigFile) -> None:
    """Verify the webhooks of one side and hand them to the queue."""
    from wanesync import bus_wiring  # noqa: PLC0415 - paho is an extra
    from wanesync.web.metrics import WebhookCounters  # noqa: PLC0415 - as bus_wiring

    config = read_logged_config(config_file, [HOOK_SECRETS[side], "server.metrics_token", *BUS_SECRETS], stores=False)
    if unused := bus_wiring.find_unused(config):
        print_line(unused, error=True)
    stopping, counts = set_on_stop_signals(), WebhookCounters()
    door = bus_wiring.build_bus_door(config, side)
    server = bus_wiring.build_handler_server(config, door, counts)
    door.client.start()
    reporting = threading.Thread(
        target=door.report_until, args=(stopping, counts, door.client.options.client_id), name="reports"
    )
    reporting.start()
    server.start()
    refresh = build_secret_refresh(config, None, f"handler {os.getpid()}", stopping)
    threading.Thread(target=refresh.run, name="secret-refresh", daemon=True).start()
    try:
        print_line(f"wanesync serves {server.url} (webhooks go to /webhooks/{side}, and over the bus)", flush=True)
        if server.metrics_url:
            print_line(f"figures are at {server.metrics_url}/metrics", flush=True)
        server.beat_until(stopping)
    finally:
        stopping.set()
        server.stop()
        reporting.join()
        door.client.stop()


def announce(url: str, metrics_url: str) -> None:
    """Print where webhooks are received, the first line of a program that serves, and where its figures are."""
    print_line(f"wanesync serves {url} (webhooks go to /webhooks/hubspot and /webhooks/stripe)", flush=True)
    if metrics_url:
        print_line(f"figures are at {metrics_url}/metrics", flush=True)
