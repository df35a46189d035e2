"""``pause`` and ``resume``: stop a side or the changes of one field, and resume them."""

from __future__ import annotations

from typing import Annotated

import typer

from wanesync.cli.commands.queue_jobs.hold import format_people
from wanesync.cli.context import AsJson, ConfigFile, open_configured
from wanesync.cli.operator import find_operator
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.ops.pauses import pause_field, pause_sides, resume_field, resume_sides
from wanesync.output import print_line
from wanesync.terminal import print_json

FieldName = Annotated[str | None, typer.Option("--field", metavar="FIELD", help="Only changes of this field.")]
OneSide = Annotated[Side | None, typer.Argument(help="hubspot or stripe; left out: both.")]


def pause(
    side: OneSide = None, *, field: FieldName = None, as_json: AsJson = False, config_file: ConfigFile = None
) -> None:
    """Stop a side, both sides, or the changes of one field. What arrives is kept and waits for wanesync resume."""
    with open_configured(config_file) as (config, store):
        if field is not None:
            _refuse_both(side, field)
            new = pause_field(store, field, {spec.name for spec in config.specs}, find_operator())
            _print(f"Changes of {field} are held back{'' if new else ' already'}.", {"field": field}, as_json=as_json)
            return
        sides = [side] if side else list(Side)
        pause_sides(store, sides, find_operator())
    names = " and ".join(sides)
    _print(f"Paused: {names}. wanesync resume ends it.", {"paused": [str(s) for s in sides]}, as_json=as_json)


def resume(
    side: OneSide = None, *, field: FieldName = None, as_json: AsJson = False, config_file: ConfigFile = None
) -> None:
    """Resume a side, both sides, or the changes of one field. Automatic pauses end by themselves."""
    with open_configured(config_file) as (config, store):
        if field is not None:
            _refuse_both(side, field)
            people = resume_field(store, field, {spec.name for spec in config.specs}, find_operator())
            queued = f"is resumed, for {format_people(people)} first" if people else "is resumed"
            done = "was not paused" if people is None else queued
            _print(f"{field} {done}.", {"field": field, "people": people or 0}, as_json=as_json)
            return
        resumed = resume_sides(store, [side] if side else list(Side), find_operator())
    names = " and ".join(resumed)
    text = f"Resumed: {names}." if resumed else "Nothing was paused by an operator."
    _print(text, {"resumed": [str(s) for s in resumed]}, as_json=as_json)


def _refuse_both(side: Side | None, field: str) -> None:
    """Raise ConfigError where a side is named beside a field."""
    if side is not None:
        raise ConfigError([f"name a side or --field {field}, not both: a field stops on both sides"])


def _print(text: str, document: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        print_line(text)
