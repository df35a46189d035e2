"""The commands of ``wanesync`` with their one-line helps; a module is imported only when its command runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import typer
from typer.core import TyperCommand
from typer.main import get_command, get_group

if TYPE_CHECKING:
    # Private in Typer, which brings its own copy of Click: only the type checker needs the names.
    from typer._click import Command, Context


class Entry(NamedTuple):
    """One command: its module, the function or ``typer.Typer`` in it, and the first sentence of its own help."""

    module: str
    attribute: str
    help: str


COMMANDS = {
    "init": Entry("init", "init", "Check the configuration and the keys, and set up the database."),
    "writes": Entry("writes", "writes", "Allow or forbid writing to both sides."),
    "catch-up": Entry("catch_up", "catch_up", "Look for changes whose webhook was missed, on both sides."),
    "serve": Entry("serve", "serve", "Receive webhooks."),
    "worker": Entry("worker", "worker", "Process jobs: read what changed, write the other side."),
    "up": Entry("up", "up", "Run all in one process: webhooks, jobs, the first listing."),
    "diff": Entry("diff_reconcile", "diff", "List both sides and show what is not the same; changes nothing."),
    "reconcile": Entry("diff_reconcile", "reconcile", "Compare both sides and queue a repair of what differs."),
    "status": Entry("status", "status", "Show queues, limits, pauses, records, processes and alarms."),
    "jobs": Entry("jobs", "jobs", "List queued jobs and dead letters."),
    "retry": Entry("retry", "retry", "Retry dead letters: by id, class, side, kind or time, or all."),
    "conflicts": Entry("conflicts", "conflicts", "List open conflicts: values that did not win and are kept."),
    "webhooks": Entry("webhooks", "app", "List webhooks that were set aside."),
    "history": Entry("history", "history", "Show what is stored of a person, and what was done and why."),
    "pause": Entry("pause", "pause", "Stop a side, both sides, or the changes of one field."),
    "resume": Entry("pause", "resume", "Resume a side, both sides, or the changes of one field."),
    "demo": Entry("demo", "demo", "Watch a stand-in HubSpot and Stripe become and stay the same."),
    "hold": Entry("hold", "app", "List, release or discard changes that are held back."),
    "db": Entry("db", "app", "Migrate the database, or prune old rows."),
    "limits": Entry("limits", "app", "Show and change the request limits."),
    "sandbox": Entry("sandbox", "app", "Run a stand-in HubSpot and Stripe, or edit records on them."),
    "bench": Entry("bench", "app", "Measure this program beside the sandbox."),
}
"""In the order of ``wanesync --help``; modules are those of ``wanesync.cli.commands``."""


class LazyCommand(TyperCommand):
    """A command of the table, whose module is imported when the command is called."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Context | None = None, **extra: object
    ) -> Context:
        """The context of the real command, which Typer then invokes instead of this one."""
        return load(self.name or "").make_context(info_name, args, parent=parent, **extra)


def load(name: str) -> Command:
    """The command, from its module."""
    entry = COMMANDS[name]
    found = getattr(import_module(f"wanesync.cli.commands.{entry.module}"), entry.attribute)
    if isinstance(found, typer.Typer):
        return get_group(found)
    single = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    single.command(name)(found)
    return get_command(single)


def add_commands(app: typer.Typer) -> None:
    """Add every command of the table to the program, without importing its module."""
    for name, entry in COMMANDS.items():
        app.command(name, cls=LazyCommand, help=entry.help)(_stand_in)


def _stand_in() -> None:
    """Stand for the function of a command whose module is not imported; it is not called."""
