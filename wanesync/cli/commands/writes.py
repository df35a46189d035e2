"""``writes``: allow or forbid sending changes to both sides."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from wanesync.cli.context import AsJson, ConfigFile, open_configured
from wanesync.cli.operator import find_operator
from wanesync.ops.writes import read_writes, switch_writes
from wanesync.output import print_line
from wanesync.terminal import pluralize, print_json


class Switch(StrEnum):
    """What to do about writes."""

    ON = "on"
    OFF = "off"
    STATUS = "status"


def writes(
    switch: Annotated[Switch, typer.Argument(help="on, off or status.")] = Switch.STATUS,
    *,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Allow or forbid writing to both sides. While off, everything else runs, and what would be written is logged."""
    with open_configured(config_file) as (_, store):
        woken = 0 if switch is Switch.STATUS else switch_writes(store, find_operator(), on=switch is Switch.ON)
        now = read_writes(store)
    if as_json:
        print_json({"writes": now, "woken": woken})
        return
    print_line(f"Writes are {now}." + (f" {pluralize(woken, 'waiting job')} can go on." if woken else ""))
