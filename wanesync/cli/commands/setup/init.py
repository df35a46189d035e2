"""``init``: check the configuration and both keys, and set up the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wanesync.accounts import read_pins
from wanesync.cli.context import DEFAULT_FILE, ConfigFile, read_config, use_database
from wanesync.config.example import read_example
from wanesync.config.model import API_KEYS, Config
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.ops.field_map import MapClaim
from wanesync.ops.setup.hubspot_account import find_setup_problems, list_next_steps, prepare_hubspot
from wanesync.terminal import make_console
from wanesync.wiring import build_runtime


def init(
    *,
    hubspot: Annotated[
        bool, typer.Option("--hubspot", help="Create our properties and the purchase event in HubSpot.")
    ] = False,
    config_file: ConfigFile = None,
) -> None:
    """Check the configuration and the keys, and set up the database. Without a configuration, writes one to fill in."""
    config = _read_or_create(config_file)
    screen = make_console()
    with use_database(config, migrate=True) as store:
        runtime = build_runtime(config, store, tuple(Side), claim=MapClaim.NONE)
        pins = read_pins(config, store)
        screen.print(f"database   {store.url_label}", markup=False)
        screen.print(f"HubSpot    portal {pins.portal}")
        screen.print(f"Stripe     account {pins.account}, {pins.mode} mode")
        if hubspot:
            for line in prepare_hubspot(runtime, config.purchases.sink) or ["nothing: all was there"]:
                screen.print(f"made       {line}", markup=False)
        problems = find_setup_problems(runtime, config.purchases.event_name, prepared=hubspot)
        steps = list_next_steps(store, prepared=hubspot)
    if problems:
        raise ConfigError(problems)
    screen.print("\nNext:\n" + "\n".join(f"  {command:<30}{purpose}" for command, purpose in steps), markup=False)


def _read_or_create(path: Path | None) -> Config:
    """Read the configuration; where there is none, write a file to fill in and raise ConfigError with the advice."""
    wanted = path or DEFAULT_FILE
    try:
        return read_config(path, API_KEYS.values())
    except ConfigError as error:
        if wanted.exists():
            raise
        try:
            wanted.write_text(read_example(), encoding="utf-8")
            wanted.chmod(0o600)
        except OSError as trouble:
            raise ConfigError([f"{wanted} cannot be written ({trouble.strerror})"]) from error
        advice = (
            f"wrote {wanted}: set create.customers and create.contacts, fill in the keys, then run wanesync init again"
        )
        raise ConfigError([advice]) from error
