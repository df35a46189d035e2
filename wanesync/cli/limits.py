"""``limits``: how fast each side may be asked, how fast it is, and why; changed while everything runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.cli.program import AsJson, ConfigFile, opened
from wanesync.cli.screen import console, print_json, print_rows, seconds, table
from wanesync.core.allowances import ALLOWANCES, Unit, find_excess, parse_value, write_value
from wanesync.core.errors import ConfigError

if TYPE_CHECKING:
    from wanesync.core.limits import Limit
    from wanesync.engine.limits import LimitState
    from wanesync.store.store import Store

HELP = "Limits of requests: configured, in effect, used, and why they are lower. Without a command, shows them all."
app = typer.Typer(help=HELP, rich_markup_mode=None, pretty_exceptions_enable=False)

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help=", ".join(ALLOWANCES))]


@app.callback(invoke_without_command=True, help=HELP)
def show(context: typer.Context, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Show every limit."""
    if context.invoked_subcommand is not None:
        return
    with opened(config_file) as (_, store):
        _show(store, as_json=as_json)


@app.command("set")
def change(
    scope: Scope,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="12/s; for hubspot:daily 0.5; for monthly reads 10000.")
    ],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even if it is more than the platform is known to allow.")
    ] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Change a limit in every running process, until the value in the configuration file is changed."""
    from wanesync.build import set_limits  # noqa: PLC0415 - keeps --help fast
    from wanesync.engine.limits import set_limit  # noqa: PLC0415 - as above

    try:
        wanted = parse_value(scope, value)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    with opened(config_file) as (config, store):
        # Nothing may have run yet: the value must know which one of the file it replaces.
        set_limits(config, store, missing_only=True)
        with store.reading() as tx:
            excess = find_excess(scope, wanted, tx.rates.all().get(scope))
        if excess and not force:
            problem = (
                f"{scope}: {write_value(scope, wanted)} is too much: {excess}; if your account has more, add --force"
            )
            raise ConfigError([problem])
        kept = store.run(lambda tx: set_limit(tx, scope, wanted))
        _tell(scope, kept, as_json=as_json)
    if excess:
        print(f"wanesync: {excess}: what is refused lowers it again", file=sys.stderr)


@app.command()
def reset(scope: Scope, *, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Back to what the configuration file says."""
    from wanesync.engine.limits import reset_limit  # noqa: PLC0415 - keeps --help fast

    if scope not in ALLOWANCES:
        raise ConfigError([f"{scope} is no limit: one of {', '.join(ALLOWANCES)}"])
    with opened(config_file) as (_, store):
        _tell(scope, store.run(lambda tx: reset_limit(tx, scope)), as_json=as_json)


def _tell(scope: str, limit: Limit | None, *, as_json: bool) -> None:
    if as_json:
        configured = limit.configured if limit else None
        print_json({"scope": scope, "configured": configured, "effective": limit.effective if limit else None})
    elif limit is None:
        print(f"{scope} has no limit of its own now.")
    elif limit.effective < limit.configured:
        now = write_value(scope, limit.effective)
        print(f"{scope} is {write_value(scope, limit.configured)} from now on; in effect {now}: {limit.reason}.")
    else:
        print(f"{scope} is {write_value(scope, limit.configured)} from now on, in every process.")


def _show(store: Store, *, as_json: bool) -> None:
    from wanesync.engine.limits import find_alarms, read_limits  # noqa: PLC0415 - keeps --help fast

    with store.reading() as tx:
        states, alarms = read_limits(tx), find_alarms(tx)
    if as_json:
        print_json({"limits": [_as_json(state) for state in states], "alarms": alarms})
        return
    made = table("limit", ">configured", ">in effect", ">used", "why")
    print_rows(console(), made, [_as_row(state) for state in states])
    for alarm in alarms:
        print(alarm)


def _unit(state: LimitState) -> Unit:
    known = ALLOWANCES.get(state.limit.scope)
    return known.unit if known else Unit.PER_S


def _as_row(state: LimitState) -> tuple[str, ...]:
    limit = state.limit
    of = "" if _unit(state) is Unit.PER_S else f" of {state.of:,.0f}"
    used = f"{state.used:,.1f}/s" if not of else f"{state.used:,.0f}{of}"
    by_hand = limit.configured != limit.filed and not (limit.is_operation and limit.ceiling)
    notes = [limit.reason, f"{seconds(state.lowered_for_s * 1000)} ago" if state.lowered_for_s else ""]
    if by_hand:
        notes.append(
            "set by hand" + (f", the file says {write_value(limit.scope, limit.filed)}" if limit.filed else "")
        )
    effective = write_value(limit.scope, limit.effective)
    return limit.scope, write_value(limit.scope, limit.configured), effective, used, ", ".join(filter(None, notes))


def _as_json(state: LimitState) -> dict[str, object]:
    limit = state.limit
    return {
        "scope": limit.scope,
        "unit": str(_unit(state)),
        "configured": limit.configured,
        "effective": limit.effective,
        "filed": limit.filed or None,
        "platform_allows": limit.ceiling or None,
        "used": state.used,
        "of": state.of,
        "reason": limit.reason,
        "lowered_for_s": round(state.lowered_for_s, 1),
    }
