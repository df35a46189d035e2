"""``webhooks hubspot``: the app project that subscribes to what a configuration needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wanesync.cli.context import DEFAULT_FILE, ConfigFile, read_config
from wanesync.config.raw_values import find_named_file
from wanesync.core.errors import ConfigError
from wanesync.core.fields import FieldMap
from wanesync.core.purchases import Sink
from wanesync.ops.setup.hubspot_project import list_clicks, make_project, read_subscriptions, write_project
from wanesync.output import print_line
from wanesync.wiring import find_known_accounts

app = typer.Typer(
    help="Write the HubSpot app as a project.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _group() -> None:
    """Write the HubSpot app as a project."""


@app.command("write")
def write(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project; made if it is not there.")],
    *,
    config_file: ConfigFile = None,
) -> None:
    """Write a project for hs project upload, with exactly the scopes and subscriptions of this configuration."""
    config = read_config(config_file, ())
    if config.server.public_url is None:
        raise ConfigError(
            ["server.public_url: is needed for this: the address at which HubSpot reaches wanesync serve"]
        )
    sink = None if config.purchases.sink == "auto" else Sink(config.purchases.sink)
    files = make_project(FieldMap(config.specs), sink, config.server.public_url, read_subscriptions(folder))
    for path, changed in write_project(folder, files):
        print_line(f"wrote {path}" if changed else f"{path} is as it should be")
    print_line("\nWhat remains, by hand:")
    file = config_file or DEFAULT_FILE
    named = {name: find_named_file(file, "hubspot", name) for name in ("access_token", "webhook_secret")}
    places = {name: f"{place} (mode 0600)" for name, place in named.items() if place is not None}
    for number, click in enumerate(list_clicks(folder, find_known_accounts(config).portal, places), 1):
        print_line(f"  {number}. {click}")
