"""``status``: queues, limits, pauses, records, processes and alarms."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, NoReturn

import typer
from rich.live import Live

from wanesync.cli.context import AsJson, ConfigFile, open_configured
from wanesync.core.errors import ConfigError
from wanesync.core.operating.alarms import Alarm
from wanesync.ops.alarms import find_alarms
from wanesync.ops.broker.certificates import utc_now
from wanesync.ops.health.certificates import find_certificate_alarms
from wanesync.ops.status import Status, read_status
from wanesync.ops.status_table import render_status
from wanesync.output import print_line
from wanesync.terminal import make_console, print_json

WATCH_S = 1.0
"""How often ``--watch`` reads the state again."""


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until Ctrl-C.")] = False,
    check: Annotated[bool, typer.Option("--check", help="One line per alarm; exit 1 if there is one.")] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Show queues, limits, pauses, records, processes and alarms."""
    if watch and (check or as_json):
        raise ConfigError([f"--watch keeps showing the tables: leave out {'--check' if check else '--json'}"])
    with open_configured(config_file) as (config, store):
        target_ms = config.sync.target_s * 1000
        ending = find_certificate_alarms(config, utc_now())
        if check:
            _check([*find_alarms(store), *ending], as_json=as_json)
        current = _with_alarms(read_status(store, target_ms), ending)
        if watch:
            pause = threading.Event()
            with Live(render_status(current), console=make_console(), screen=False, auto_refresh=False) as live:
                while not pause.wait(WATCH_S):
                    live.update(render_status(_with_alarms(read_status(store, target_ms), ending)), refresh=True)
    if as_json:
        print_json(current.as_json())
    else:
        make_console().print(render_status(current))


def _with_alarms(current: Status, more: Sequence[Alarm]) -> Status:
    return replace(
        current,
        alarms=[*current.alarms, *(alarm.text for alarm in more)],
        alarm_codes=[*current.alarm_codes, *(alarm.as_json() for alarm in more)],
    )


def _check(alarms: Sequence[Alarm], *, as_json: bool) -> NoReturn:
    """Print the alarms and nothing else, and exit: with 1 if there is one."""
    if as_json:
        print_json({"alarms": [alarm.text for alarm in alarms], "alarm_codes": [alarm.as_json() for alarm in alarms]})
    else:
        for alarm in alarms:
            print_line(alarm.text)
    raise typer.Exit(1 if alarms else 0)
