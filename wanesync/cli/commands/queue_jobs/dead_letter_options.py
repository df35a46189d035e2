"""What ``jobs``, ``retry`` and ``discard`` share: options that choose jobs, and the run that changes dead letters."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from wanesync.cli.operator import find_operator
from wanesync.cli.times import parse_since
from wanesync.core.errors import ConfigError, GuardError
from wanesync.core.jobs import DeadClass, JobKind
from wanesync.core.model import Side
from wanesync.core.operating.bulk_runs import BulkAction, BulkRun, BulkState
from wanesync.core.operating.queue_filter import QueueFilter, QueueState
from wanesync.ops.queue.bulk_runs import (
    SLICE_JOBS,
    BulkPreview,
    BulkRequest,
    CountChanged,
    cancel_bulk_run,
    carry_out,
    preview_bulk_run,
    read_bulk_run,
    start_bulk_run,
)
from wanesync.output import print_line
from wanesync.store.database import Store
from wanesync.terminal import make_console, make_table, pluralize, print_json, print_rows, progress_bars

OfClass = Annotated[DeadClass | None, typer.Option("--class", help="Why they were given up.")]
OfSide = Annotated[Side | None, typer.Option("--side", help="The side whose lane they are in.")]
OfKind = Annotated[JobKind | None, typer.Option("--kind", help="What they were to do.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="2h|2026-11-01", help="Given up since then: a span, a date or a time.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="2h|2026-11-01", help="Given up until then: a span, a date or a time.")
]
OfPerson = Annotated[
    str | None,
    typer.Option("--person", metavar="EMAIL|ID", help="Of a person: an address, or the id of a record or a payment."),
]
OfReason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Whose reason contains this text.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show which it would be, change nothing.")]


@dataclass(frozen=True, slots=True)
class Choice:
    """The options that choose jobs, as they were given."""

    dead_class: OfClass = None
    side: OfSide = None
    kind: OfKind = None
    since: Since = None
    until: Until = None
    person: OfPerson = None
    reason: OfReason = None

    def make_filter(self, store: Store, state: QueueState = QueueState.DEAD) -> QueueFilter:
        """Return the filter that these options describe. Raises ConfigError for a time that is none."""
        now_ms = store.now_ms()
        return QueueFilter(
            state=state,
            side=self.side,
            kind=self.kind,
            dead_class=self.dead_class,
            reason=self.reason or "",
            newer_ms=max(1, now_ms - parse_since(self.since, now_ms)) if self.since else 0,
            older_ms=max(1, now_ms - parse_since(self.until, now_ms)) if self.until else 0,
            person=self.person or "",
        )

    @property
    def is_empty(self) -> bool:
        """Whether no option was given."""
        return self == Choice()


def make_request(store: Store, action: BulkAction, ids: list[str], choice: Choice, *, every: bool) -> BulkRequest:
    """Return what a command is about. Raises ConfigError where that is not said, or said twice."""
    if [bool(ids), not choice.is_empty, every].count(True) != 1:
        options = "--class, --side, --kind, --since, --until, --person or --reason"
        or_all = ", or --all" if action is BulkAction.RETRY else ""
        text = f"{action}: name the dead letters: IDs, or {options}{or_all} (wanesync jobs --dead lists them)"
        raise ConfigError([text])
    return BulkRequest(action, choice.make_filter(store), frozenset(ids), every=every)


@dataclass(frozen=True, slots=True)
class Words:
    """How a command speaks of what it does: ``Try … again?``, ``would be tried again``, ``will be tried again``."""

    question: str
    would: str
    done: str


WORDS = {
    BulkAction.RETRY: Words("Try {} again?", "would be tried again", "will be tried again"),
    BulkAction.DISCARD: Words("Discard {}?", "would be discarded", "discarded"),
}
RESULTS = {BulkAction.RETRY: "retried", BulkAction.DISCARD: "discarded"}


def change_dead_letters(store: Store, request: BulkRequest, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Show what a request is about, ask, carry it out and print what became of it."""
    words, shown = WORDS[request.action], preview_bulk_run(store, request)
    if dry_run or not shown.count:
        _print_result(request, shown, None, as_json=as_json)
        return
    owner = _name_owner()
    run = None
    while run is None:
        if not yes:
            _confirm(request.action, words, shown)
        try:
            run = start_bulk_run(store, replace(request, expected=shown.count), find_operator(), owner)
        except CountChanged as changed:
            if not (yes or _is_on_terminal()):
                raise
            print_line(str(changed), error=True)
            shown = preview_bulk_run(store, request)
    _print_result(request, shown, _carry_out(store, run, owner), as_json=as_json)


def end_run(store: Store, resume: str, cancel: str, *, as_json: bool) -> None:
    """Go on with a bulk run to its end, or stop it. Raises NotFound, ConfigError for both at once."""
    if resume and cancel:
        raise ConfigError(["retry: either --resume or --cancel"])
    run = read_bulk_run(store, resume or cancel)
    ended = cancel_bulk_run(store, run.id, find_operator()) if cancel else _carry_out(store, run, _name_owner())
    if ended.state is BulkState.RUNNING:
        raise GuardError(f"another process carries out {ended.id}: {ended.handled:,} of {ended.total:,} are done")
    if as_json:
        print_json(
            {"run": ended.id, "state": str(ended.state), RESULTS[ended.action]: ended.changed, "kept": ended.kept}
        )
        return
    print_line(f"{pluralize(ended.changed, 'job')} {WORDS[ended.action].done}.")
    _explain(ended)


def _name_owner() -> str:
    """Return a name of this process that no other one has."""
    return f"cli-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _carry_out(store: Store, run: BulkRun, owner: str) -> BulkRun:
    try:
        with progress_bars() as bars:
            counter = bars.add("dead letters", run.total) if run.total > SLICE_JOBS else int
            return carry_out(store, run.id, owner, counter)
    except KeyboardInterrupt:
        cancelled = cancel_bulk_run(store, run.id, find_operator())
        print_line(f"Stopped: {cancelled.handled:,} of {cancelled.total:,} were done.", error=True)
        raise


def _is_on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _confirm(action: BulkAction, words: Words, shown: BulkPreview) -> None:
    """Show how many of which class, and require a confirmation. Raises ConfigError where there is no terminal."""
    _show_counts(shown, error=True)
    letters = pluralize(shown.count, "dead letter")
    if not _is_on_terminal():
        raise ConfigError([f"{action}: {letters} {words.would}: confirm it with --yes"])
    if not typer.confirm(words.question.format(letters), err=True):
        print_line("Nothing was changed.", error=True)
        raise typer.Exit(1)


def _show_counts(shown: BulkPreview, *, error: bool = False) -> None:
    rows = [(dead_class, f"{count:,}") for dead_class, count in shown.classes.items()]
    print_rows(make_console(error=error), make_table("Class", ">Dead letters"), rows)


def _print_result(request: BulkRequest, shown: BulkPreview, run: BulkRun | None, *, as_json: bool) -> None:
    words, result = WORDS[request.action], RESULTS[request.action]
    if as_json:
        document: dict[str, object] = {result: run.changed if run else shown.count, "classes": dict(shown.classes)}
        more: dict[str, object] = {"run": run.id, "kept": run.kept} if run else {}
        if shown.count and run is None:
            more = {"dry_run": True}
        print_json(document | more)
    elif not shown.count:
        print_line("No dead letters of that kind.")
    elif run is None:
        _show_counts(shown)
        print_line(f"{pluralize(shown.count, 'job')} {words.would}; nothing was changed.")
    else:
        print_line(f"{pluralize(run.changed, 'job')} {words.done}.")
        _explain(run)


def _explain(run: BulkRun) -> None:
    if run.kept:
        why = "a write of theirs has no answer yet, so retry them" if run.action is BulkAction.DISCARD else "see jobs"
        print_line(f"{pluralize(run.kept, 'dead letter')} kept as they are: {why}.")
    if run.state is BulkState.CANCELLED:
        print_line(f"Cancelled by {run.ended_by} before the end.")
    elif run.gone:
        print_line(f"{run.gone:,} had been queued again or closed meanwhile.")
