"""``up``: webhooks, jobs and the first listing in one process, until SIGTERM or Ctrl-C."""

from __future__ import annotations

from wanesync.accounts import find_pinned
from wanesync.cli.commands.access.admin import run_admin_beside
from wanesync.cli.commands.serve import announce
from wanesync.cli.commands.worker import run_worker, say_if_writes_are_off
from wanesync.cli.context import ConfigFile, end_if_stopping, read_logged_config, set_on_stop_signals, use_database
from wanesync.config.model import DOOR_SECRETS, VENDOR_SECRETS
from wanesync.core.model import Side
from wanesync.ops.field_map import MapClaim
from wanesync.store.patience import Patience
from wanesync.wiring import build_runtime, build_web_server


def up(config_file: ConfigFile = None) -> None:
    """Run all in one process: webhooks, jobs, the first listing."""
    config = read_logged_config(config_file, VENDOR_SECRETS | set(DOOR_SECRETS))
    stopping = set_on_stop_signals()
    patience = Patience(stopping)
    # Only this thread waits for the database: the web door answers 503.
    with (
        use_database(config, migrate=True, patience=patience, logs_of="up") as store,
        store.patient(patience),
    ):
        # Webhooks are received while a side is unreachable; only at the very first start its account must be known.
        end_if_stopping(stopping)
        known = find_pinned(store) >= set(Side)
        first = None if known else build_runtime(config, store, tuple(Side), claim=MapClaim.TAKE_OVER)
        server = build_web_server(config, store)
        server.start()
        try:
            announce(server.url, server.metrics_url)
            runtime = first or build_runtime(config, store, tuple(Side), patient=True, claim=MapClaim.TAKE_OVER)
            say_if_writes_are_off(store)
            end_if_stopping(stopping)
            worker = run_worker(config, runtime, tuple(Side), stopping, list_first=True)
            with worker, run_admin_beside(config, store, config_file):
                server.beat_until(stopping)
        finally:
            server.stop()
