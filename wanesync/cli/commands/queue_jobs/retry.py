"""``retry`` and ``discard``: try dead letters again, or close them."""

from __future__ import annotations

from typing import Annotated

import typer

from wanesync.cli.commands.queue_jobs.dead_letter_options import (
    Choice,
    DryRun,
    change_dead_letters,
    end_run,
    make_request,
)
from wanesync.cli.context import AsJson, ConfigFile, Yes, open_configured
from wanesync.cli.operator import find_operator
from wanesync.cli.option_groups import spread_options
from wanesync.core.operating.bulk_runs import BulkAction
from wanesync.ops.queue.jobs import try_now
from wanesync.output import print_line
from wanesync.terminal import pluralize, print_json

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids from wanesync jobs --dead.")]


@spread_options
def retry(
    ids: Ids = None,
    *,
    choice: Choice,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Jobs that wait after a failed attempt: try these IDs at once.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Go on with a bulk run that no process carries out.")
    ] = None,
    cancel: Annotated[str | None, typer.Option("--cancel", metavar="RUN", help="Stop a bulk run.")] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Retry dead letters: by id, class, side, kind or time, or all. Asks for confirmation."""
    with open_configured(config_file) as (_, store):
        if now:
            _print_made_due(try_now(store, ids or [], find_operator()), as_json=as_json)
            return
        if resume or cancel:
            end_run(store, resume or "", cancel or "", as_json=as_json)
            return
        request = make_request(store, BulkAction.RETRY, ids or [], choice, every=every)
        change_dead_letters(store, request, yes=yes, dry_run=dry_run, as_json=as_json)


def _print_made_due(made_due: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"made_due": made_due})
    else:
        print_line(f"{pluralize(made_due, 'job')} will be tried at once.")


@spread_options
def discard(
    ids: Ids = None,
    *,
    choice: Choice,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Close dead letters without another attempt. Asks for confirmation.

    They are chosen by id, class, side, kind, time, person or reason. Their records are looked at again when they
    change, or by a reconcile.
    """
    with open_configured(config_file) as (_, store):
        request = make_request(store, BulkAction.DISCARD, ids or [], choice, every=False)
        change_dead_letters(store, request, yes=yes, dry_run=dry_run, as_json=as_json)
