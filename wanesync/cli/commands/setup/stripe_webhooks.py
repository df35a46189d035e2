"""``webhooks stripe``: the one webhook endpoint of this installation at Stripe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wanesync.cli.context import DEFAULT_FILE, AsJson, ConfigFile, Yes, read_config
from wanesync.config.managers.reader import ManagerReader
from wanesync.config.model import API_KEYS, check_secret
from wanesync.config.raw_values import find_named_file
from wanesync.config.references import is_reference, resolve_secret
from wanesync.core.errors import CallError, ConfigError, Failure, KeyRefused
from wanesync.core.model import Side
from wanesync.core.setup.setup_facts import Endpoint, EndpointWish, StripeSetupPort
from wanesync.ops.checks.accounts import check_account
from wanesync.ops.setup.private_file import open_new
from wanesync.ops.setup.stripe_endpoint import Made, choose_removable, ensure_endpoint, find_ours, is_ours, make_wish
from wanesync.output import print_line
from wanesync.terminal import make_table, make_wide_console, print_json, print_rows
from wanesync.wiring import build_stripe_setup, describe_endpoint, find_known_accounts

SECRET_FILE = "stripe-webhook-secret"  # noqa: S105 - the name of a file
RIGHT = (
    "the key may not do this: give it Webhook Endpoints: Write, or make a second restricted key with that alone and "
    "name it with --key file:PATH (delete it afterwards)"
)

app = typer.Typer(
    help="Create, list or remove the webhook endpoint at Stripe.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="REF",
        help="A reference (env:NAME, file:PATH, aws-sm:NAME …) to a key with Webhook Endpoints: Write.",
    ),
]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a command works with: the account, and the endpoint that the configuration needs."""

    port: StripeSetupPort
    wish: EndpointWish
    file: Path


@app.callback()
def _group() -> None:
    """Create, list or remove the webhook endpoint at Stripe."""


@app.command("create")
def create(
    *,
    key: Key = None,
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", metavar="FILE", help="Where its signing secret is written.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Create it anew and delete the old one: a new secret, our API version.")
    ] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Create the endpoint, or adopt the one that stands: never a second one. Its secret goes into a file, mode 0600."""
    with _choose(config_file, key) as chosen:
        place = secret_file or find_named_file(chosen.file, "stripe", "webhook_secret")
        place = place or chosen.file.with_name(SECRET_FILE)
        if replace or find_ours(chosen.port, chosen.wish) is None:
            # The file first: an endpoint whose secret cannot be kept would be of no use.
            with open_new(place) as file:
                result = ensure_endpoint(chosen.port, chosen.wish, replace=replace)
                file.write(result.endpoint.secret + "\n")
        else:
            result = ensure_endpoint(chosen.port, chosen.wish, replace=False)
    endpoint = result.endpoint
    written = str(place) if endpoint.secret else None
    if as_json:
        print_json({"endpoint": _as_json(endpoint, chosen.wish), "done": str(result.made), "secret_file": written})
        return
    print_line(f"{endpoint.id} {result.made}: {endpoint.url}, {len(endpoint.events)} events, API {endpoint.version}")
    if written:
        named = find_named_file(chosen.file, "stripe", "webhook_secret") == place
        setting = f'set webhook_secret = "file:{written}" in [stripe], then restart wanesync serve or up, if it runs'
        print_line(f"wrote {written}: {'a serve or up that runs reads it by itself' if named else setting}")
    else:
        print_line("its signing secret is shown in Stripe: Workbench, Webhooks; --replace makes a new one")
    if result.made is not Made.REPLACED and endpoint.version != chosen.wish.version:
        version = endpoint.version or "of the account"
        print_line(f"its API version is {version}, which cannot be changed: --replace pins {chosen.wish.version}")


@app.command("list")
def list_endpoints(*, key: Key = None, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """List the webhook endpoints of the account, and which one is of this installation."""
    with _choose(config_file, key) as chosen:
        found = chosen.port.list_endpoints()
    if as_json:
        print_json({"endpoints": [_as_json(endpoint, chosen.wish) for endpoint in found]})
        return
    rows = [
        [
            endpoint.id,
            "this" if is_ours(endpoint, chosen.wish) else "",
            "enabled" if endpoint.enabled else "disabled",
            endpoint.version or "account's",
            str(len(endpoint.events)) if "*" not in endpoint.events else "all",
            endpoint.url,
        ]
        for endpoint in found
    ]
    print_rows(make_wide_console(), make_table("#Endpoint", "Ours", "State", "API", ">Events", "Address"), rows)


@app.command("remove")
def remove(
    endpoint_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Default: the one of this installation.")
    ] = None,
    *,
    key: Key = None,
    yes: Yes = False,
    config_file: ConfigFile = None,
) -> None:
    """Remove the endpoint of this installation. Nothing is sent to it any more; changes are found by catch-up."""
    with _choose(config_file, key) as chosen:
        endpoint = choose_removable(chosen.port, chosen.wish, endpoint_id)
        if not yes and not typer.confirm(f"Remove {endpoint.id} ({endpoint.url})?", err=True):
            raise typer.Exit(1)
        chosen.port.delete_endpoint(endpoint.id)
    print_line(f"{endpoint.id} removed")


@contextmanager
def _choose(config_file: Path | None, key: str | None) -> Iterator[Chosen]:
    """Yield the account and the endpoint wanted; what is refused becomes advice: ``ConfigError``, ``KeyRefused``."""
    config = read_config(config_file, () if key else {API_KEYS[Side.STRIPE]})
    file = config_file or DEFAULT_FILE
    known = find_known_accounts(config)
    port = build_stripe_setup(config, _resolve_key(key) if key else config.stripe.require_key())
    account, findings = check_account(Side.STRIPE, port, known)
    if account is None:
        lines = [finding.line for finding in findings]
        raise KeyRefused("; ".join(lines)) if findings[0].check.endswith(" key") else ConfigError(lines)
    wish = make_wish(config.server.public_url, *describe_endpoint(), known.portal)
    try:
        yield Chosen(port, wish, file)
    except CallError as error:
        if error.failure is Failure.FORBIDDEN:
            raise KeyRefused(RIGHT) from error
        raise


def _resolve_key(reference: str) -> str:
    if not is_reference(reference):
        raise ConfigError(
            ["--key takes env:NAME, file:PATH or another reference: other users see the arguments of a command"]
        )
    key = resolve_secret(reference, os.environ, Path(), ManagerReader())
    check_secret(API_KEYS[Side.STRIPE], (key,), place="--key")
    return key


def _as_json(endpoint: Endpoint, wish: EndpointWish) -> dict[str, object]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "enabled": endpoint.enabled,
        "events": list(endpoint.events),
        "api_version": endpoint.version,
        "ours": is_ours(endpoint, wish),
    }
