"""``wanesync sandbox``: run the stand-in HubSpot and Stripe, or edit records of a running one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from wanesync.cli.option_groups import spread_options
from wanesync.config.managers.reader import ManagerReader
from wanesync.config.model import HOOK_SECRETS, check_secret
from wanesync.config.references import is_reference, resolve_secret
from wanesync.config.value_types import WEBHOOK_PATHS
from wanesync.core.errors import ConfigError, VendorUnavailable, WanesyncError
from wanesync.core.model import Side
from wanesync.output import print_line
from wanesync.sandbox.control_client import ControlClient
from wanesync.sandbox.errors import InvalidRequest, SandboxUnreachable
from wanesync.sandbox.seed_data import SeedOptions
from wanesync.sandbox.server import HUBSPOT_KEY, Options, Sandbox, serve

HUBSPOT_PORT = 7101
STRIPE_PORT = 7102
# The signing secrets unless others are given: of a sandbox, so no secrets.
HUBSPOT_SECRET = "sandbox-client-secret"  # noqa: S105 - as said above
STRIPE_SECRET = "whsec_sandbox"  # noqa: S105 - as said above

app = typer.Typer(
    help="Run a stand-in HubSpot and Stripe, or edit records on them.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Kind(StrEnum):
    """The kinds of records that can be edited."""

    CONTACT = "contact"
    CUSTOMER = "customer"

    @property
    def side(self) -> Side:
        """The side of the record."""
        return Side.HUBSPOT if self is Kind.CONTACT else Side.STRIPE


class Tier(StrEnum):
    """The subscription of the stand-in portal."""

    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"


class Shape(StrEnum):
    """The shape of HubSpot's webhooks."""

    CONTACT = "contact"
    OBJECT = "object"


HubSpotUrl = Annotated[str, typer.Option("--hubspot", metavar="URL", help="Address of the stand-in HubSpot.")]
StripeUrl = Annotated[str, typer.Option("--stripe", metavar="URL", help="Address of the stand-in Stripe.")]
Fields = Annotated[list[str], typer.Argument(metavar="FIELD=VALUE...", help="Values to set; FIELD= clears one.")]
RecordId = Annotated[str, typer.Argument(metavar="ID")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

_AT_HUBSPOT = f"http://127.0.0.1:{HUBSPOT_PORT}"
_AT_STRIPE = f"http://127.0.0.1:{STRIPE_PORT}"


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """The options of ``wanesync sandbox`` itself."""

    hubspot_port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = HUBSPOT_PORT
    stripe_port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = STRIPE_PORT
    contacts: Annotated[int, typer.Option(min=0, help="Contacts to begin with.")] = 0
    customers: Annotated[int, typer.Option(min=0, help="Customers to begin with.")] = 0
    overlap: Annotated[int, typer.Option(min=0, help="People that are on both sides.")] = 0
    seed: Annotated[int, typer.Option(help="The same seed makes the same people.")] = 1
    latency_ms: Annotated[str, typer.Option(metavar="A-B", help="Time of each request.")] = "0-0"
    tier: Annotated[Tier, typer.Option(help="Custom events need enterprise.")] = Tier.PROFESSIONAL
    fault_profile: Annotated[
        str, typer.Option("--faults", metavar="PROFILE", help="none, webhooks, rough or lossy.")
    ] = "none"
    hubspot_limit: Annotated[int | None, typer.Option(min=1, metavar="R", help="Requests per second.")] = None
    stripe_limit: Annotated[int | None, typer.Option(min=1, metavar="R", help="Requests per second.")] = None
    hubspot_scopes: Annotated[
        str | None, typer.Option(metavar="SCOPE,...", help="Scopes of the token. Default: all.")
    ] = None
    stripe_permissions: Annotated[
        str | None,
        typer.Option(metavar="RESOURCE:read|write,...", help="Permissions of a restricted key. Default: a secret key."),
    ] = None
    webhooks: Annotated[
        str, typer.Option(metavar="URL", help="Send signed webhooks to URL/webhooks/hubspot and URL/webhooks/stripe.")
    ] = ""
    hubspot_secret: Annotated[
        str, typer.Option(metavar="SECRET", help="Signs HubSpot's: a value, env:NAME or file:PATH.")
    ] = HUBSPOT_SECRET
    stripe_secret: Annotated[
        str, typer.Option(metavar="SECRET", help="Signs Stripe's: a value, env:NAME or file:PATH.")
    ] = STRIPE_SECRET
    webhook_shape: Annotated[
        Shape, typer.Option(help="Webhooks as contact.* (legacy subscriptions) or object.* (project apps).")
    ] = Shape.CONTACT
    record: Annotated[
        str, typer.Option(metavar="FILE", help="Write every request and its answer there, as a JSON object a line.")
    ] = ""

    def build(self) -> Options:
        """Return how the sandbox starts. Raises ConfigError."""
        return Options(
            hubspot_port=self.hubspot_port,
            stripe_port=self.stripe_port,
            seed=_seed_options(self.contacts, self.customers, self.overlap, self.seed),
            latency_ms=parse_bounds(self.latency_ms),
            tier=self.tier.value,
            fault_profile=self.fault_profile,
            hubspot_limit=self.hubspot_limit,
            stripe_limit=self.stripe_limit,
            webhook_shape=self.webhook_shape.value,
            record=self.record,
            hubspot_webhooks=find_target(self.webhooks, Side.HUBSPOT, self.hubspot_secret),
            stripe_webhooks=find_target(self.webhooks, Side.STRIPE, self.stripe_secret),
            hubspot_scopes=_split(self.hubspot_scopes),
            stripe_permissions=_split(self.stripe_permissions),
        )

    def announce(self, sandbox: Sandbox) -> None:
        """Print the addresses of a running sandbox and what a configuration needs for it."""
        _announce(sandbox, self.webhooks, {"hubspot": self.hubspot_secret, "stripe": self.stripe_secret})


@app.callback()
@spread_options
def run(context: typer.Context, *, given: SandboxOptions, as_json: AsJson = False) -> None:
    """Run until Ctrl-C or SIGTERM, unless one of the commands below is given."""
    if context.invoked_subcommand is None:
        with _errors():
            serve(given.build(), _announce_json if as_json else given.announce)


@app.command()
def edit(
    kind: Kind, record_id: RecordId, fields: Fields, hubspot: HubSpotUrl = _AT_HUBSPOT, stripe: StripeUrl = _AT_STRIPE
) -> None:
    """Change a record as a user does, with the field names of the side."""
    with _errors():
        print(_control(hubspot, stripe).edit(kind.side, "update", record_id, _values(fields)))


@app.command()
def create(kind: Kind, fields: Fields, hubspot: HubSpotUrl = _AT_HUBSPOT, stripe: StripeUrl = _AT_STRIPE) -> None:
    """Create a record as a user does; prints its id."""
    with _errors():
        print(_control(hubspot, stripe).edit(kind.side, "create", None, _values(fields)))


@app.command()
def delete(kind: Kind, record_id: RecordId, hubspot: HubSpotUrl = _AT_HUBSPOT, stripe: StripeUrl = _AT_STRIPE) -> None:
    """Delete a record as a user does."""
    with _errors():
        print(_control(hubspot, stripe).edit(kind.side, "delete", record_id, {}))


@app.command()
def restore(record_id: RecordId, hubspot: HubSpotUrl = _AT_HUBSPOT, stripe: StripeUrl = _AT_STRIPE) -> None:
    """Restore a deleted contact from the recycle bin of HubSpot."""
    with _errors():
        print(_control(hubspot, stripe).edit(Side.HUBSPOT, "restore", record_id, {}))


@app.command()
def merge(
    into: Annotated[str, typer.Argument(metavar="ID")],
    other: Annotated[str, typer.Argument(metavar="OTHER_ID")],
    *,
    keep_id: Annotated[bool, typer.Option("--keep-id", help="The survivor keeps ID, not a new one.")] = False,
    hubspot: HubSpotUrl = _AT_HUBSPOT,
    stripe: StripeUrl = _AT_STRIPE,
) -> None:
    """Merge contact OTHER_ID into ID; prints the survivor's id."""
    with _errors():
        values = {"into": into, "from": other, "keeps_id": str(keep_id).lower()}
        print(_control(hubspot, stripe).edit(Side.HUBSPOT, "merge", None, values))


@app.command("property")
def redefine(
    name: Annotated[str, typer.Argument(metavar="PROPERTY")],
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="SETTING=VALUE...",
            help="type, field_type, options (A;B), read_only, archived, required, keeps, pattern, min_length, "
            "max_length, minimum, maximum.",
        ),
    ],
    hubspot: HubSpotUrl = _AT_HUBSPOT,
    stripe: StripeUrl = _AT_STRIPE,
) -> None:
    """Add or change a contact property as an admin of the portal does."""
    with _errors():
        print(_control(hubspot, stripe).edit(Side.HUBSPOT, "property", name, _values(settings)))


# A command's options are its arguments: a line for each.
@app.command()
def purchase(
    *,
    amount: Annotated[int, typer.Option(min=1, help="In the smallest unit: cents, yen.")],
    currency: Annotated[str, typer.Option(help="Three letters, such as eur.")],
    customer: Annotated[str | None, typer.Option(metavar="ID", help="Default: a guest.")] = None,
    email: Annotated[str | None, typer.Option(help="E-mail address of the buyer.")] = None,
    account: Annotated[
        str | None, typer.Option(metavar="ACCT", help="Paid by an account (acct_1) of Accounts v2, not by a customer.")
    ] = None,
    hubspot: HubSpotUrl = _AT_HUBSPOT,
    stripe: StripeUrl = _AT_STRIPE,
) -> None:
    """Make a purchase on the stand-in Stripe; prints the charge id."""
    with _errors():
        values = {"amount": str(amount), "currency": currency.lower()}
        if email is not None:
            values["email"] = email
        if account is not None:
            values["account"] = account
        print(_control(hubspot, stripe).edit(Side.STRIPE, "purchase", customer, values))


@contextmanager
def _errors() -> Iterator[None]:
    """Print an error as one line on standard error and exit with its code."""
    try:
        with convert_errors():
            yield
    except WanesyncError as error:
        print_line(f"wanesync sandbox: {error}", error=True)
        raise typer.Exit(error.exit_code) from error


@contextmanager
def convert_errors() -> Iterator[None]:
    """Convert the errors of the sandbox into those of the product, which have an exit code."""
    try:
        yield
    except InvalidRequest as error:
        raise ConfigError([str(error)]) from error
    except SandboxUnreachable as error:
        raise VendorUnavailable(str(error)) from error


def _control(hubspot_url: str, stripe_url: str) -> ControlClient:
    return ControlClient(hubspot_url, stripe_url)


def _seed_options(contacts: int, customers: int, overlap: int, seed: int) -> SeedOptions:
    try:
        return SeedOptions(contacts, customers, overlap, seed)
    except ValueError as problem:
        raise ConfigError([str(problem)]) from problem


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _values(fields: list[str]) -> dict[str, str]:
    wrong = [text for text in fields if text.partition("=")[0] in ("", text)]
    if wrong:
        raise ConfigError([f"{text!r} is not FIELD=VALUE" for text in wrong])
    return {name: value for name, _, value in (text.partition("=") for text in fields)}


def parse_bounds(text: str) -> tuple[float, float]:
    """Parse ``150-400`` or ``200``, the bounds of the time of a request in ms. Raises ConfigError."""
    low, dash, high = text.partition("-")
    try:
        bounds = float(low), float(high if dash else low)
    except ValueError:
        bounds = (1.0, 0.0)
    if not 0 <= bounds[0] <= bounds[1] < 3_600_000:
        raise ConfigError([f"--latency-ms {text}: A-B in milliseconds is expected, such as 150-400"])
    return bounds


def find_target(base_url: str, side: Side, secret: str) -> tuple[str, str] | None:
    """The address and the secret of one side's webhooks. Raises ConfigError."""
    if not base_url:
        if secret not in (HUBSPOT_SECRET, STRIPE_SECRET):
            raise ConfigError([f"--{side}-secret signs webhooks: give their address, too (--webhooks URL)"])
        return None
    parts = urlsplit(base_url)
    whole = (
        parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment or "@" in base_url)
    )
    if not whole or base_url.endswith(WEBHOOK_PATHS):
        raise ConfigError(["--webhooks: expected the address of `wanesync serve`, http://HOST:PORT"])
    value = resolve_secret(secret, os.environ, Path.cwd(), ManagerReader())
    check_secret(HOOK_SECRETS[side], (value,), place=f"--{side}-secret")
    return f"{base_url.rstrip('/')}/webhooks/{side}", value


def write_settings(sandbox: Sandbox, webhooks: str, secrets: Mapping[str, str]) -> str:
    """What a ``wanesync.toml`` needs for a running sandbox. A secret that was given as a value is not shown."""
    shown = {side: _show_secret(side, secret) for side, secret in secrets.items()}
    lines = [
        "[hubspot]",
        f'base_url = "{sandbox.hubspot_url}"',
        f'access_token = "{HUBSPOT_KEY}"',
        f'webhook_secret = "{shown["hubspot"]}"',
        "[stripe]",
        f'base_url = "{sandbox.stripe_url}"',
        f'api_key = "{sandbox.stripe_key}"',
        f'webhook_secret = "{shown["stripe"]}"',
        "[network]",
        "allow_base_url = true",
    ]
    parts = urlsplit(webhooks)
    if webhooks:
        lines += ["[server]", f'public_url = "{webhooks.rstrip("/")}"']
        if parts.hostname in ("127.0.0.1", "localhost") and parts.port:
            lines.append(f"port = {parts.port}")
    return "\n".join(lines)


def _show_secret(side: str, secret: str) -> str:
    made_up = secret in (HUBSPOT_SECRET, STRIPE_SECRET)
    return secret if made_up or is_reference(secret) else f"the value of --{side}-secret"


def _announce(sandbox: Sandbox, webhooks: str, secrets: Mapping[str, str]) -> None:
    Console(soft_wrap=True, highlight=False).print(
        f"[bold]sandbox[/]  hubspot [cyan]{sandbox.hubspot_url}[/] key {HUBSPOT_KEY}\n"
        f"         stripe  [cyan]{sandbox.stripe_url}[/] key {sandbox.stripe_key}"
    )
    print(f"\nFor wanesync.toml, a file of mode 0600:\n\n{write_settings(sandbox, webhooks, secrets)}\n")
    if webhooks:
        base = webhooks.rstrip("/")
        print(f"Webhooks go to {base}/webhooks/hubspot\n           and {base}/webhooks/stripe")
    else:
        print("No webhooks are sent. For them: --webhooks URL, such as http://127.0.0.1:8787")
    print("Ctrl-C ends the sandbox; what it holds is gone then.", flush=True)


def _announce_json(sandbox: Sandbox) -> None:
    print(json.dumps(sandbox.describe()), flush=True)


if __name__ == "__main__":
    app()
