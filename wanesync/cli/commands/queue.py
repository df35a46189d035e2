"""``queue``: the process between the broker and the database, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import threading

from wanesync.alert_wiring import start_alerts
from wanesync.cli.context import ConfigFile, end_if_stopping, read_logged_config, set_on_stop_signals, use_database
from wanesync.config.model import BUS_SECRETS
from wanesync.output import print_line
from wanesync.store.patience import Patience
from wanesync.wiring import build_secret_refresh, is_on_file


def queue(config_file: ConfigFile = None) -> None:
    """Store what handlers hand to the bus, and wake the workers. Holds no secret of HubSpot or Stripe."""
    from wanesync.bus_wiring import build_queue_process  # noqa: PLC0415 - paho is an extra

    config = read_logged_config(config_file, BUS_SECRETS)
    stopping = set_on_stop_signals()
    patience = Patience(stopping)
    with use_database(config, migrate=is_on_file(config), patience=patience, logs_of="queue") as store:
        end_if_stopping(stopping)
        with store.patient(patience):
            process = build_queue_process(config, store, stopping)
        refresh = build_secret_refresh(config, store, f"queue {process.options.client_id}", stopping)
        threading.Thread(target=refresh.run, name="secret-refresh", daemon=True).start()
        alerts = start_alerts(config, store, stopping)
        print_line(f"wanesync queue {process.options.client_id}: reads {process.options.url}", flush=True)
        try:
            process.run()
        finally:
            alerts.stop()
