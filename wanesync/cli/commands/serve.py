"""``serve``: receive webhooks until SIGTERM or Ctrl-C."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.alert_wiring import start_alerts
from wanesync.cli.context import ConfigFile, end_if_stopping, read_logged_config, set_on_stop_signals, use_database
from wanesync.config.model import BUS_SECRETS, DOOR_SECRETS, HOOK_SECRETS
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.intake_wiring import build_web_settings
from wanesync.output import print_line
from wanesync.store.patience import Patience
from wanesync.wiring import build_secret_refresh, build_web_server, is_on_file
from wanesync.worker.gc_tuning import tune_gc

if TYPE_CHECKING:
    from wanesync.web.shared_answers import SharedAnswers

MAX_PROCESSES = 16
"""Of one group; a machine with more cores than that has room for several groups (our choice)."""

OverBus = Annotated[
    bool, typer.Option("--bus", help="Hand them to the broker of [bus]; needs no database, and --side.")
]
OfSide = Annotated[Side | None, typer.Option("--side", help="With --bus: the side whose webhooks this process takes.")]
Processes = Annotated[
    int, typer.Option("--processes", min=1, max=MAX_PROCESSES, help="Share the port among so many processes.")
]
Member = Annotated[str, typer.Option("--member", hidden=True, help="Of a group: its sockets and folder.")]


def serve(
    processes: Processes = 1,
    bus: OverBus = False,
    side: OfSide = None,
    member: Member = "",
    config_file: ConfigFile = None,
) -> None:
    """Receive webhooks. Holds the webhook secrets and no API key."""
    if bus != (side is not None):
        raise ConfigError(["--bus and --side go together: a handler of the bus takes the webhooks of one side"])
    if processes > 1 and bus:
        raise ConfigError(["--processes is not for --bus: start several handlers, which share the topic of their side"])
    if side is not None:
        _serve_over_bus(side, config_file)
    elif processes > 1:
        _serve_together(processes, config_file)
    else:
        _serve_alone(member, config_file)


def _serve_together(processes: int, config_file: Path | None) -> None:
    """Open the sockets, and run processes that share them."""
    from wanesync.web.process_group import ProcessGroup  # noqa: PLC0415 - of no use to one process
    from wanesync.web.server import find_url, open_sockets  # noqa: PLC0415 - as above

    # Every process reads it again; mistakes are named once, here.
    config = read_logged_config(config_file, DOOR_SECRETS)
    settings = build_web_settings(config.server)
    sockets = open_sockets((config.server.host, config.server.port), settings.metrics_address)
    stopping = set_on_stop_signals()
    with tempfile.TemporaryDirectory(prefix="wanesync-serve-") as folder:
        numbers = [one.fileno() for one in sockets]
        member = f"{','.join(map(str, numbers))}:{folder}"
        command = [sys.executable, "-m", "wanesync.cli.main", "serve", "--member", member]
        command += ["--config", str(config_file)] if config_file else []

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(  # noqa: S603 - only this interpreter with our own module
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=numbers
            )

        is_encrypted = settings.certificate is not None
        urls = [find_url(one, encrypted=is_encrypted) for one in sockets]
        announce(urls[0], urls[1] if len(urls) > 1 else "")
        raise typer.Exit(ProcessGroup(processes, start, stopping).run())


def _serve_alone(member: str, config_file: Path | None) -> None:
    """Receive webhooks in this process. ``member``: of a group, the numbers of its sockets and its folder."""
    config = read_logged_config(config_file, DOOR_SECRETS)
    stopping = set_on_stop_signals()
    sockets, shared = _join_group(member, stopping)
    patience = Patience(stopping)
    with use_database(config, migrate=is_on_file(config), patience=patience, logs_of="serve") as store:
        end_if_stopping(stopping)
        with store.patient(patience):
            server = build_web_server(config, store, sockets, shared)
        tune_gc()
        server.start()
        refresh = build_secret_refresh(config, store, f"serve {os.getpid()}", stopping)
        threading.Thread(target=refresh.run, name="secret-refresh", daemon=True).start()
        alerts = start_alerts(config, store, stopping)
        try:
            announce(server.url, server.metrics_url)
            server.beat_until(stopping)
        finally:
            server.stop()
            alerts.stop()


def _join_group(member: str, stopping: threading.Event) -> tuple[list[socket.socket], SharedAnswers | None]:
    """Return what a process of a group shares with the others, and stop when the process that started it is gone."""
    from wanesync.web.process_group import read_numbers  # noqa: PLC0415 - of no use to one process
    from wanesync.web.shared_answers import SharedAnswers  # noqa: PLC0415 - as above

    if not member:
        return [], None

    def watch() -> None:
        sys.stdin.buffer.read()
        stopping.set()

    threading.Thread(target=watch, name="group", daemon=True).start()
    numbers, _, folder = member.partition(":")
    sockets = [socket.socket(fileno=number) for number in read_numbers(numbers)]
    return sockets, SharedAnswers(Path(folder), f"{os.getpid()}-{time.time_ns()}")


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
