"""``alerts``: the state of every rule, tests of the recipients, the history, and silences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.alert_wiring import build_alert_desk
from wanesync.cli.context import MAX_ROWS, AsJson, ConfigFile, open_configured
from wanesync.cli.operator import find_operator
from wanesync.cli.times import format_time
from wanesync.config.alerts import ALERT_SECRETS
from wanesync.core.errors import ConfigError
from wanesync.core.operating.times import parse_span
from wanesync.ops.alerts.changes import SilenceRequest, end_silence, silence
from wanesync.ops.alerts.listing import (
    EVERY_STATE,
    list_alerts,
    list_deliveries,
    list_history,
    show_change,
    show_delivery,
)
from wanesync.output import print_line
from wanesync.store.tables.operating.alerts import DeliveryState
from wanesync.terminal import format_duration, make_console, make_table, make_wide_console, print_json, print_rows

if TYPE_CHECKING:
    from wanesync.ops.alerts.desk import AlertDesk
    from wanesync.ops.alerts.listing import AlertOverview, RuleState

HELP = "Show alerts, test who is told, and silence rules."
app = typer.Typer(help=HELP, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
DEFAULT_ROWS = 50
"""Rows of a list without ``--limit``: a screen (our choice)."""

Limit = Annotated[int, typer.Option("--limit", min=1, max=MAX_ROWS, metavar="N", help="At most so many, the newest.")]


@contextmanager
def _open_desk(config_file: Path | None) -> Iterator[AlertDesk]:
    with open_configured(config_file, uses=ALERT_SECRETS) as (config, store):
        yield build_alert_desk(config, store)


@app.command("list")
def show(
    *,
    every: Annotated[bool, typer.Option("--all", help="Every rule, also those by which all is well.")] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List what stands now, silences and recipients; with --all every rule."""
    with _open_desk(config_file) as desk:
        found = list_alerts(desk.store, desk.policy, desk.book())
    if as_json:
        print_json(found.as_json())
    else:
        _print_overview(found, every=every)


def _print_overview(found: AlertOverview, *, every: bool) -> None:
    rows = [row for rule in found.rules if every or rule.alerts for row in _as_rows(rule)]
    if rows:
        print_rows(make_wide_console(), make_table("state", "since", "rule", "what", "way out"), rows)
    else:
        print_line("Nothing is wrong.")
    for one in found.silences:
        what = f"{one.code or 'every rule'}{f' {one.subject}' if one.subject else ''}"
        reason = f": {one.reason}" if one.reason else ""
        print_line(f"silence {one.id}: {what} until {format_time(one.until_ms)} by {one.operator}{reason}")
    for place, label in found.recipients:
        print_line(f"recipient {place}: {label}")
    if not found.recipients:
        print_line("[alerts] names no recipient: set alerts.warn to be told (docs/alerts.md)")
    if found.evaluated_s is None:
        print_line("no process has evaluated the rules yet: start wanesync up, serve, queue, worker or admin")
    else:
        print_line(f"evaluated {format_duration(found.evaluated_s * 1000)} ago; {found.waiting:,} notices wait")
    if found.claim.heartbeat_error:
        print_line(f"heartbeat_url: {found.claim.heartbeat_error}")


def _as_rows(rule: RuleState) -> list[tuple[str, ...]]:
    if not rule.alerts:
        return [(rule.level if rule.level == "off" else "ok", "", rule.code, rule.title, "")]
    silenced = ", silenced" if rule.silenced else ""
    return [
        (
            (one.level.label if one.level else f"{one.pending.label}?") + silenced,
            format_time(one.since_ms) if one.since_ms else "",
            rule.code,
            one.what,
            one.way_out,
        )
        for one in rule.alerts
    ]


@app.command("test")
def send_test(
    place: Annotated[str, typer.Argument(metavar="[RECIPIENT]", help='One of the list, such as "critical 1".')] = "",
    *,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Send a test notice to every recipient, or to one, and say how it went. Exit 1 if one did not arrive."""
    with _open_desk(config_file) as desk:
        results = desk.test(find_operator(), place)
    if as_json:
        print_json({"results": [{"recipient": one.place, "label": one.label, "error": one.error} for one in results]})
    else:
        for one in results:
            print_line(f"{one.place}: {one.label}: {one.error or 'delivered'}")
    if any(one.error for one in results):
        raise typer.Exit(1)


@app.command()
def history(
    *,
    code: Annotated[str, typer.Option("--code", help="Of one rule.")] = "",
    deliveries: Annotated[bool, typer.Option("--deliveries", help="Notices and their recipients instead.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only deliveries that wait or were given up.")] = False,
    limit: Limit = DEFAULT_ROWS,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List changes of alerts, or the deliveries of their notices, the newest first."""
    if code and (deliveries or failed):
        raise ConfigError(["--code goes with the changes: leave out --deliveries and --failed"])
    with open_configured(config_file) as (_, store):
        if deliveries or failed:
            states = (DeliveryState.WAITING, DeliveryState.FAILED) if failed else EVERY_STATE
            sent = list_deliveries(store, limit, states=states)
            changes = []
        else:
            sent, changes = [], list_history(store, limit, code=code)
    if as_json:
        print_json(
            {"deliveries": [show_delivery(one) for one in sent]}
            if deliveries or failed
            else {"changes": [show_change(row) for row in changes]}
        )
        return
    if deliveries or failed:
        columns = ("at", "state", ">tries", "recipient", "notice", "error")
        rows = [
            (format_time(one.at_ms), str(one.state), f"{one.attempts}", one.label, one.notice.title, one.error)
            for one in sent
        ]
    else:
        columns = ("at", "from", "to", "rule", "what", "subject")
        rows = [
            (format_time(row.at_ms), row.before.label, row.level.label, row.code, row.what, row.subject)
            for row in changes
        ]
    print_rows(make_wide_console() if rows else make_console(), make_table(*columns), rows)


@app.command("silence")
def silence_rule(
    code: Annotated[str, typer.Argument(metavar="[CODE]", help="A rule; without it every rule.")] = "",
    *,
    subject: Annotated[str, typer.Option("--subject", help="Only about this, such as stripe.")] = "",
    lasting: Annotated[str, typer.Option("--for", metavar="TIME", help="How long: 30m, 2h, 5d.")] = "2h",
    reason: Annotated[str, typer.Option("--reason", help="Why, for the others.")] = "",
    end: Annotated[str, typer.Option("--end", metavar="ID", help="End this silence instead.")] = "",
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Send no notice of a rule for a while; what still stands at the end is told then."""
    with open_configured(config_file) as (_, store):
        if end:
            end_silence(store, end, find_operator())
            made = end
        else:
            wanted = SilenceRequest(code, subject, parse_span(lasting, "--for"), reason)
            made = silence(store, wanted, find_operator())
    if as_json:
        print_json({"silence": made, "ended": bool(end)})
    elif end:
        print_line(f"silence {made} has ended; what stands is told in the next round")
    else:
        print_line(f"silence {made}: no notice of {code or 'any rule'} for {lasting}")
