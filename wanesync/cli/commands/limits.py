"""``limits``: how fast each side may be asked, how fast it is, and why; changed while everything runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wanesync.cli.context import AsJson, ConfigFile, opened
from wanesync.core.errors import ConfigError
from wanesync.core.rate_limits import (
    VENDOR_ALLOWANCES,
    Limit,
    LimitUnit,
    find_excess,
    format_value,
    parse_value,
    set_by_hand,
)
from wanesync.ratelimit.limit_settings import LimitState, apply_configured_limits, read_limits, reset_limit, set_limit
from wanesync.ratelimit.quotas import find_alarms
from wanesync.store.database import Store, Tx
from wanesync.terminal import format_duration, make_console, make_table, print_json, print_rows

HELP = "Show and change the request limits. Shown: configured, in effect, used, and why they are lower."
app = typer.Typer(help=HELP, rich_markup_mode=None, pretty_exceptions_enable=False)

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help=", ".join(VENDOR_ALLOWANCES))]


@dataclass(frozen=True, slots=True)
class Given:
    """The options that may stand before a command of this group as well as behind it."""

    config_file: Path | None
    as_json: bool


@app.callback(invoke_without_command=True, help=HELP)
def show(context: typer.Context, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Show every limit."""
    context.obj = Given(config_file, as_json)
    if context.invoked_subcommand is not None:
        return
    with opened(config_file) as (_, store):
        _show(store, as_json=as_json)


def _combine(context: typer.Context, config_file: Path | None, *, as_json: bool) -> Given:
    """What holds for a command: a file named behind it is nearer than one before it, both than the environment's."""
    before: Given = context.obj
    source = context.get_parameter_source("config_file")
    named = source is not None and source.name == "COMMANDLINE"
    return Given(config_file if named else before.config_file, as_json or before.as_json)


# A command's options are its arguments: a line for each.
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
    given = _combine(context, config_file, as_json=as_json)
    try:
        wanted = parse_value(scope, value)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    with opened(given.config_file) as (config, store):
        # Nothing may have run yet: the value must know which one of the file it replaces.
        apply_configured_limits(store, config.rate_limits, missing_only=True)
        with store.reading() as tx:
            known = tx.rates.all().get(scope)
        excess, told = find_excess(scope, wanted, known), known is not None and _is_told(known)
        if excess and not force:
            value = format_value(scope, wanted)
            advice = "if your account has more, add --force"
            if told:
                advice = f"that rises as soon as they allow more, and --force keeps {value} for then"
            raise ConfigError([f"{scope}: {value} is too much: {excess}; {advice}"])
        kept, new = store.run(lambda tx: _set(tx, scope, wanted))
        _tell(scope, kept, new=new, as_json=given.as_json)
    if excess and not told:
        print(f"wanesync: {excess}: what is refused lowers it again", file=sys.stderr)


@app.command()
def reset(context: typer.Context, scope: Scope, *, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Back to what the configuration file says."""
    given = _combine(context, config_file, as_json=as_json)
    if scope not in VENDOR_ALLOWANCES:
        raise ConfigError([f"{scope} is no limit: one of {', '.join(VENDOR_ALLOWANCES)}"])
    with opened(given.config_file) as (_, store):
        _tell(scope, store.run(lambda tx: reset_limit(tx, scope)), new=True, as_json=given.as_json)


def _set(tx: Tx, scope: str, value: float) -> tuple[Limit, bool]:
    """The limit afterwards, and whether that is a change: what changes nothing is not journalled."""
    known = tx.rates.lock(scope)
    if known is not None:
        wanted = set_by_hand(known, scope, value)
        if (known.configured, known.effective) == (wanted.configured, wanted.effective):
            return known, False
    return set_limit(tx, scope, value), True


def _tell(scope: str, limit: Limit | None, *, new: bool, as_json: bool) -> None:
    if as_json:
        rates = {"configured": limit.configured if limit else None, "effective": limit.effective if limit else None}
        print_json({"scope": scope, **rates, "reason": _why(limit) if limit else ""})
        return
    if limit is None:
        print(f"{scope} has no limit of its own now.")
        return
    is_set = f"{scope} is {format_value(scope, limit.configured)} {'from now on' if new else 'already'}"
    if limit.effective < limit.configured:
        print(f"{is_set}; in effect {format_value(scope, limit.effective)}: {_why(limit)}.")
    else:
        print(f"{is_set}, in every process.")


def _is_told(limit: Limit) -> bool:
    """Whether the platform said what it allows: no setting of ours changes that."""
    return bool(limit.ceiling) and not limit.is_operation


def _why(limit: Limit) -> str:
    """Why less is in effect than was set. Where that was noted before it was set, no reason was left."""
    if limit.reason or limit.effective >= limit.configured or not _is_told(limit):
        return limit.reason
    allowed = format_value(limit.scope, limit.ceiling)
    return f"HubSpot's answers allow this app {allowed}; it rises as soon as they allow more"


def _show(store: Store, *, as_json: bool) -> None:
    with store.reading() as tx:
        states, alarms = read_limits(tx), find_alarms(tx)
    if as_json:
        print_json({"limits": [_as_json(state) for state in states], "alarms": alarms})
        return
    made = make_table("limit", ">configured", ">in effect", ">used", "why")
    print_rows(make_console(), made, [_as_row(state) for state in states])
    for alarm in alarms:
        print(alarm)


def _unit(state: LimitState) -> LimitUnit:
    known = VENDOR_ALLOWANCES.get(state.limit.scope)
    return known.unit if known else LimitUnit.PER_S


def _as_row(state: LimitState) -> tuple[str, ...]:
    limit = state.limit
    of = "" if _unit(state) is LimitUnit.PER_S else f" of {state.of:,.0f}"
    used = f"{state.used:,.1f}/s" if not of else f"{state.used:,.0f}{of}"
    by_hand = limit.configured != limit.filed and not (limit.is_operation and limit.ceiling)
    notes = [_why(limit), f"{format_duration(state.lowered_for_s * 1000)} ago" if state.lowered_for_s else ""]
    if by_hand:
        notes.append(
            "set by hand" + (f", the file says {format_value(limit.scope, limit.filed)}" if limit.filed else "")
        )
    effective = format_value(limit.scope, limit.effective)
    return limit.scope, format_value(limit.scope, limit.configured), effective, used, ", ".join(filter(None, notes))


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
        "reason": _why(limit),
        "lowered_for_s": round(state.lowered_for_s, 1),
    }
