"""``init``: write a configuration from answers, check it, the keys and their rights, and set up the database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wanesync import log
from wanesync.accounts import read_pins
from wanesync.cli.commands.setup.questions import collect, is_interactive
from wanesync.cli.context import DEFAULT_FILE, ConfigFile, read_config, use_database
from wanesync.config.example import read_example
from wanesync.config.model import API_KEYS, VENDOR_SECRETS, Config
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.core.setup.permissions import Right, list_permissions, list_scopes
from wanesync.ops.checks.doctor import examine_keys
from wanesync.ops.checks.findings import State
from wanesync.ops.field_map import MapClaim
from wanesync.ops.setup.answers import allow_addresses, choose_port, find_pending, write_configuration
from wanesync.ops.setup.hubspot_account import find_setup_problems, is_prepared, list_next_steps, prepare_hubspot
from wanesync.output import print_line
from wanesync.terminal import make_console
from wanesync.wiring import build_examined, build_runtime

PERMISSIONS = "wanesync init --permissions"
Reference = Annotated[str | None, typer.Option(metavar="REF", help="env:NAME, file:PATH or another reference.")]
Creation = Annotated[str | None, typer.Option(metavar="all|none", help="Whether missing ones are created.")]


# A command's options are its arguments: a line for each.
def init(
    *,
    hubspot: Annotated[
        bool, typer.Option("--hubspot", help="Create our properties and the purchase event in HubSpot.")
    ] = False,
    permissions: Annotated[
        bool, typer.Option("--permissions", help="Print which rights both keys need, each with its reason.")
    ] = False,
    hubspot_access_token: Reference = None,
    hubspot_webhook_secret: Reference = None,
    stripe_api_key: Reference = None,
    stripe_webhook_secret: Reference = None,
    public_url: Annotated[str | None, typer.Option("--public-url", metavar="URL", help="Of wanesync serve.")] = None,
    create_customers: Creation = None,
    create_contacts: Creation = None,
    database: Annotated[
        str | None, typer.Option("--database", metavar="URL", help="sqlite:FILE or postgresql://…")
    ] = None,
    default_country: Annotated[
        str | None, typer.Option("--default-country", metavar="CC", help="Of phone numbers.")
    ] = None,
    hubspot_url: Annotated[str | None, typer.Option("--hubspot-url", metavar="URL", help="Of a sandbox.")] = None,
    stripe_url: Annotated[str | None, typer.Option("--stripe-url", metavar="URL", help="Of a sandbox.")] = None,
    config_file: ConfigFile = None,
) -> None:
    """Check the configuration, the keys and rights; set up the database. Without a configuration, asks for it."""
    if permissions:
        _print_permissions()
        return
    # What the workers log about an account is printed here as a problem or as something made.
    log.configure("error", sys.stderr)
    path = config_file or DEFAULT_FILE
    given = {
        "hubspot.access_token": hubspot_access_token,
        "hubspot.webhook_secret": hubspot_webhook_secret,
        "stripe.api_key": stripe_api_key,
        "stripe.webhook_secret": stripe_webhook_secret,
        "server.public_url": public_url,
        "create.customers": create_customers,
        "create.contacts": create_contacts,
        "database": database,
        "fields.default_country": default_country,
        "hubspot.base_url": hubspot_url,
        "stripe.base_url": stripe_url,
    }
    config = _read_or_create(config_file, path, given)
    _set_up(config, path, hubspot=hubspot)


def _print_permissions() -> None:
    for title, rights in (
        ("HubSpot app, scopes (wanesync webhooks hubspot write DIR writes them):", list_scopes(None)),
        ("Stripe, restricted key; every other permission stays at None:", list_permissions()),
    ):
        print_line(title)
        for right in rights:
            print_line(f"  {_describe(right)}")


def _describe(right: Right) -> str:
    name = f"{right.name}: {right.level}" if right.level else right.name
    need = "" if right.need == "always" else f" ({right.need})"
    return f"{name}{need} - {right.reason}"


def _set_up(config: Config, path: Path, *, hubspot: bool) -> None:
    """Check both accounts, set up the database, print what comes next. Raises ``ConfigError`` with what is wrong."""
    screen = make_console()
    pending = find_pending(path)
    with use_database(config, migrate=True) as store:
        runtime = build_runtime(config, store, tuple(Side), claim=MapClaim.NONE)
        pins = read_pins(config, store)
        screen.print(f"database   {store.url_label}", markup=False)
        screen.print(f"HubSpot    portal {pins.portal}")
        screen.print(f"Stripe     account {pins.account}, {pins.mode} mode")
        if hubspot:
            for line in prepare_hubspot(runtime, config.purchases.sink) or ["nothing: all was there"]:
                screen.print(f"made       {line}", markup=False)
        lacking = find_setup_problems(runtime, config.purchases.event_name, prepared=hubspot)
        # Missing scopes are named below, with all others.
        problems = [problem for problem in lacking if "lacks the scope" not in problem]
        for finding in examine_keys(build_examined(config, path, store, [])):
            if finding.state is State.FAIL:
                problems.append(finding.line)
            elif finding.state is State.WARN:
                screen.print(f"look at    {finding.line}", markup=False)
        steps = list_next_steps(store, pending, prepared=hubspot or is_prepared(store))
    if problems:
        raise ConfigError(problems)
    width = max(len(command) for command, _ in steps)
    print_line("\nNext:\n" + "\n".join(f"  {command:<{width}}  {purpose}" for command, purpose in steps))


def _read_or_create(config_file: Path | None, path: Path, given: dict[str, str | None]) -> Config:
    """Read the configuration; where there is none, write one from the answers, or one to fill in.

    Raises ``ConfigError``: its problems, or what is to be filled in before the next run.
    """
    answered = [key for key, value in given.items() if value is not None]
    if path.exists():
        if answered:
            raise ConfigError(
                [f"{path} exists: change {', '.join(answered)} there, or name another file with --config"]
            )
        pending = find_pending(path)
        return read_config(config_file, VENDOR_SECRETS - (pending.keys() - set(API_KEYS.values())))
    if not answered:
        try:
            return read_config(config_file, API_KEYS.values())  # of the environment alone
        except ConfigError:
            if not is_interactive():
                raise _write_example(path) from None
    answers = collect(given, ask=is_interactive())
    for written in write_configuration(path, choose_port(allow_addresses(answers))):
        print_line(f"wrote      {written}")
    waiting = [f"{key} into {place}" for key, place in find_pending(path).items() if key in API_KEYS.values()]
    modes = "" if all(" the variable " in one for one in waiting) else " (files of mode 0600)"
    if waiting:
        origin = f"wanesync webhooks hubspot write DIR leads to HubSpot's token, {PERMISSIONS} lists the rights of both"
        raise ConfigError([f"put {' and '.join(waiting)}{modes}, then run wanesync init again; {origin}"])
    return _read_or_create(config_file, path, {})


def _write_example(path: Path) -> ConfigError:
    """Write a configuration to fill in; returns the advice, or why it cannot be written."""
    try:
        path.touch(mode=0o600)
        path.write_text(read_example(), encoding="utf-8")
        path.chmod(0o600)
    except OSError as trouble:
        return ConfigError([f"{path} cannot be written ({trouble.strerror})"])
    advice = f"wrote {path}: set create.customers and create.contacts, fill in the keys, then run wanesync init again"
    return ConfigError([advice])
