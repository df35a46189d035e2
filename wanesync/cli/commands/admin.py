"""``admin``: the admin service in a process of its own, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import typer

from wanesync.admin_wiring import build_admin_server, build_admin_services, find_setup_link
from wanesync.cli.context import ConfigFile, read_logged_config, set_on_stop_signals, use_database
from wanesync.output import print_line
from wanesync.store.patience import Patience
from wanesync.wiring import is_on_file

HELP = "Run the admin service; manage its users and tokens."
app = typer.Typer(help=HELP, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True, help=HELP)
def serve(context: typer.Context, config_file: ConfigFile = None) -> None:
    """Run the admin service."""
    if context.invoked_subcommand is not None:
        return
    config = read_logged_config(config_file, ())
    stopping = set_on_stop_signals()
    with use_database(config, migrate=is_on_file(config), patience=Patience(stopping)) as store:
        services = build_admin_services(config, store)
        server = build_admin_server(config, services)
        server.start()
        try:
            print_line(f"wanesync admin is at {config.admin.public_url or server.url}", flush=True)
            if link := find_setup_link(config, store, server.url):
                print_line(f"make the first user within 24 hours: {link}", flush=True)
            stopping.wait()
        finally:
            server.stop()
