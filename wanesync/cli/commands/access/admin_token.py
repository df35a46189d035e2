"""``admin token``: bearer tokens of the API."""

from __future__ import annotations

from typing import Annotated

import typer

from wanesync.cli.context import AsJson, ConfigFile, open_configured
from wanesync.cli.operator import find_operator
from wanesync.core.operating.operators import OperatorRole
from wanesync.ops.access.tokens import MAX_DAYS, create_token, list_tokens, revoke_token
from wanesync.output import print_line
from wanesync.store.tables.operating.access import TokenRow
from wanesync.terminal import format_duration, make_console, make_table, print_json, print_rows

app = typer.Typer(
    help="Create, list and revoke tokens of the API.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What uses it; the audit log names its changes so.")],
    *,
    role: Annotated[OperatorRole, typer.Option("--role", help="What it may do.")] = OperatorRole.VIEWER,
    days: Annotated[int, typer.Option("--days", metavar="N", help=f"How long it works, up to {MAX_DAYS}.")] = 90,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Create a token and print it, this once."""
    with open_configured(config_file) as (_, store):
        row, token = create_token(store, find_operator(), name, role, days)
    if as_json:
        print_json(
            {"id": row.id, "name": row.name, "role": str(row.role), "expires_ms": row.expires_ms, "token": token}
        )
        return
    print_line(token)
    print_line(
        f"It works {days} days as {role}, and is not shown again. Revoke it: wanesync admin token revoke {row.id}",
        error=True,
    )


@app.command("list")
def show(*, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """List the tokens, without their secrets."""
    with open_configured(config_file) as (_, store):
        tokens, now = list_tokens(store), store.now_ms()
    if as_json:
        print_json({"tokens": [_as_json(token) for token in tokens]})
        return
    columns = ("id", "name", "role", "made by", "works for", "last used")
    print_rows(make_console(), make_table(*columns), [_as_row(token, now) for token in tokens])


@app.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `wanesync admin token list` shows it.")],
    *,
    config_file: ConfigFile = None,
) -> None:
    """Revoke a token: it opens nothing from the next request on."""
    with open_configured(config_file) as (_, store):
        revoke_token(store, find_operator(), token_id)
    print_line(f"Revoked {token_id}.")


def _as_row(token: TokenRow, now_ms: int) -> tuple[str, ...]:
    left_ms = token.expires_ms - now_ms
    used = f"{format_duration(now_ms - token.used_ms)} ago" if token.used_ms else "never"
    role = token.role if token.role_now is token.role else f"{token.role} (now {token.role_now or 'none'})"
    return token.id, token.name, role, token.made_by, format_duration(left_ms) if left_ms > 0 else "expired", used


def _as_json(token: TokenRow) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "role": str(token.role),
        "role_now": str(token.role_now) if token.role_now else None,
        "made_by": token.made_by,
        "owner": token.owner or None,
        "created_ms": token.created_ms,
        "expires_ms": token.expires_ms,
        "used_ms": token.used_ms or None,
    }
