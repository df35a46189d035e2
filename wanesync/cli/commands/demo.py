"""``wanesync demo``: sync a stand-in HubSpot and a stand-in Stripe with real processes, and check the result."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from shutil import rmtree
from typing import Annotated

import typer
from rich.console import Console

from wanesync.cli.commands.sandbox import convert_errors
from wanesync.cli.context import AsJson, set_on_stop_signals
from wanesync.core.errors import ConfigError
from wanesync.demo import screens
from wanesync.demo.installation import DemoOptions, Installation
from wanesync.demo.run import Demo
from wanesync.sandbox.hubspot.settings import Tier as PortalTier
from wanesync.terminal import make_console, print_json


class Tier(StrEnum):
    """Which stand-in portal: its purchases become custom events (enterprise) or notes (professional)."""

    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"
    BOTH = "both"

    @property
    def names(self) -> list[PortalTier]:
        """One or both."""
        if self is Tier.BOTH:
            return ["enterprise", "professional"]
        return ["enterprise"] if self is Tier.ENTERPRISE else ["professional"]


class ApiVersion(StrEnum):
    """The values of ``hubspot.api_version``."""

    V3 = "v3"
    MARCH_2026 = "2026-03"
    SEPTEMBER_2026 = "2026-09"


# A command's options are its arguments: a line for each.
def demo(
    *,
    tier: Annotated[Tier, typer.Option(help="Which HubSpot portal; both run at the same time.")] = Tier.BOTH,
    database: Annotated[
        str, typer.Option(metavar="URL", help="An empty database instead of a new SQLite file; for one tier.")
    ] = "",
    seconds: Annotated[int, typer.Option(min=5, max=600, help="How long users edit and buy.")] = 20,
    contacts: Annotated[int, typer.Option(min=10, help="Contacts at the start.")] = 500,
    customers: Annotated[int, typer.Option(min=10, help="Customers at the start.")] = 300,
    overlap: Annotated[int, typer.Option(min=5, help="People on both sides.")] = 120,
    api_version: Annotated[
        ApiVersion, typer.Option(help="Version of HubSpot's API; dated ones with the webhooks of project apps.")
    ] = ApiVersion.V3,
    record: Annotated[
        str, typer.Option(metavar="FOLDER", help="Write all requests and answers there, a file for each tier.")
    ] = "",
    keep: Annotated[
        bool, typer.Option("--keep", help="Afterwards keep both systems up, with the admin page, until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Watch a stand-in HubSpot and Stripe become and stay the same. Takes about a minute."""
    if database and tier is Tier.BOTH:
        raise ConfigError(["--database holds one installation: choose --tier professional or --tier enterprise"])
    if overlap > min(contacts, customers):
        raise ConfigError([f"--overlap {overlap} is more than the number of contacts or customers"])
    if database.startswith("sqlite:"):
        # The configuration of the demo is in another folder, to which its paths are relative.
        database = f"sqlite:{Path(database.removeprefix('sqlite:')).absolute()}"
    folder = Path(tempfile.mkdtemp(prefix="wanesync-demo-"))
    options = DemoOptions(contacts, customers, overlap, database, api_version.value, record)
    running = Demo([Installation(name, folder, options) for name in tier.names], seconds, _screen(quiet=as_json))
    try:
        with convert_errors():
            running.run()
            if keep:
                running.keep_up(set_on_stop_signals())
            else:
                screens.offer_admin(running)
    finally:
        running.run_in_all(Installation.stop)
    if as_json:
        print_json(running.as_json())
    if not running.passed:
        running.console.print(f"[red]The logs of the processes are in {folder}[/]")
        raise typer.Exit(1)
    rmtree(folder, ignore_errors=True)


def _screen(*, quiet: bool) -> Console:
    return Console(quiet=True) if quiet else make_console()
