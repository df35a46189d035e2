"""``limits``: the request limits, how much of them is used and why they are lower; changed while everything runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wanesync.accounts import read_pins
from wanesync.cli.context import AsJson, ConfigFile, open_configured
from wanesync.cli.operator import find_operator
from wanesync.core.rate_limits import VENDOR_ALLOWANCES, Limit, LimitUnit, format_value
from wanesync.ops.limits import change_limit, check_scope, explain_limit, list_limits, read_value, reset_limit
from wanesync.output import print_line
from wanesync.ratelimit.limit_settings import LimitState, apply_configured_limits
from wanesync.terminal import format_duration, make_console, make_table, print_json, print_rows

HELP = "Show and change the request limits. Shown: configured, in effect, used, and why they are lower."
app = typer.Typer(help=HELP, rich_markup_mode=None, pretty_exceptions_enable=False)

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help=", ".join(VENDOR_ALLOWANCES))]


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """The options that can stand before a command of this group as well as behind it."""

    config_file: Path | None
    as_json: bool


@app.callback(invoke_without_command=True, help=HELP)
def show(context: typer.Context, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Show every limit."""
    context.obj = GroupOptions(config_file, as_json)
    if context.invoked_subcommand is not None:
        return
    with open_configured(config_file) as (_, store):
        found = list_limits(store)
    if as_json:
        print_json({"limits": [_as_json(state) for state in found.states], "alarms": found.alarms})
        return
    columns = ("limit", ">configured", ">in effect", ">used", "why")
    print_rows(make_console(), make_table(*columns), [_as_row(state) for state in found.states])
    for alarm in found.alarms:
        print_line(alarm)


@app.command("set")
def change(
    context: typer.Context,
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
    options = _combine(context, config_file, as_json=as_json)
    read_value(scope, value)
    with open_configured(options.config_file) as (config, store):
        # Where no process has run yet, the file's limits are stored first: the change records which one it replaces.
        apply_configured_limits(store, config.find_rate_limits(read_pins(config, store).mode), missing_only=True)
        changed = change_limit(store, scope, value, find_operator(), force=force)
    _print_limit(scope, changed.limit, new=changed.new, as_json=options.as_json)
    if changed.warning:
        print_line(f"wanesync: {changed.warning}: what is refused lowers it again", error=True)


@app.command()
def reset(context: typer.Context, scope: Scope, *, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Return to the value of the configuration file."""
    options = _combine(context, config_file, as_json=as_json)
    check_scope(scope)
    with open_configured(options.config_file) as (_, store):
        limit = reset_limit(store, scope, find_operator())
    _print_limit(scope, limit, new=True, as_json=options.as_json)


def _combine(context: typer.Context, config_file: Path | None, *, as_json: bool) -> GroupOptions:
    """Combine both places of the options: ``--config`` behind the command wins, then before it, then its variable."""
    before: GroupOptions = context.obj
    source = context.get_parameter_source("config_file")
    named = source is not None and source.name == "COMMANDLINE"
    return GroupOptions(config_file if named else before.config_file, as_json or before.as_json)


def _print_limit(scope: str, limit: Limit | None, *, new: bool, as_json: bool) -> None:
    if as_json:
        rates = {"configured": limit.configured if limit else None, "effective": limit.effective if limit else None}
        print_json({"scope": scope, **rates, "reason": explain_limit(limit) if limit else ""})
        return
    if limit is None:
        print_line(f"{scope} has no limit of its own now.")
        return
    is_set = f"{scope} is {format_value(scope, limit.configured)} {'from now on' if new else 'already'}"
    if limit.effective < limit.configured:
        print_line(f"{is_set}; in effect {format_value(scope, limit.effective)}: {explain_limit(limit)}.")
    else:
        print_line(f"{is_set}, in every process.")


def _as_row(state: LimitState) -> tuple[str, ...]:
    limit = state.limit
    in_period = "" if state.unit is LimitUnit.PER_S else f" of {state.of:,.0f}"
    used = f"{state.used:,.0f}{in_period}" if in_period else f"{state.used:,.1f}/s"
    notes = [explain_limit(limit), f"{format_duration(state.lowered_for_s * 1000)} ago" if state.lowered_for_s else ""]
    if state.is_set_by_operator:
        file_value = f", in the file {format_value(limit.scope, limit.filed)}" if limit.filed else ""
        notes.append(f"set by hand{file_value}")
    effective = format_value(limit.scope, limit.effective)
    return limit.scope, format_value(limit.scope, limit.configured), effective, used, ", ".join(filter(None, notes))


def _as_json(state: LimitState) -> dict[str, object]:
    limit = state.limit
    return {
        "scope": limit.scope,
        "unit": str(state.unit),
        "configured": limit.configured,
        "effective": limit.effective,
        "filed": limit.filed or None,
        "platform_allows": limit.ceiling or None,
        "used": state.used,
        "of": state.of,
        "reason": explain_limit(limit),
        "lowered_for_s": round(state.lowered_for_s, 1),
    }
