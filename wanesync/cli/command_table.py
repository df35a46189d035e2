"""The commands of ``wanesync`` by group, with their one-line helps; a module is imported only when its command runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from wanesync.cli.examples import add_examples

if TYPE_CHECKING:
    # Private in Typer, which brings its own copy of Click: only the type checker needs the names.
    from typer._click import Command, Context, HelpFormatter


class Entry(NamedTuple):
    """One command: its module, the function or ``typer.Typer`` in it, and the first sentence of its own help."""

    module: str
    attribute: str
    help: str


GROUPS: dict[str, dict[str, Entry]] = {
    "Set up": {
        "init": Entry("setup.init", "init", "Check the configuration, the keys and rights; set up the database."),
        "doctor": Entry("setup.doctor", "doctor", "Check a set-up: keys, rights, webhooks, public address."),
        "secrets": Entry("secrets", "app", "Check where secrets come from, and who needs which."),
        "webhooks": Entry("setup.webhooks", "app", "Set up webhooks on both sides; list those that were set aside."),
        "db": Entry("db", "app", "Migrate the database, prune old rows, make database roles."),
    },
    "Broker": {
        "broker-config": Entry("broker", "broker_config", "Write a Mosquitto configuration: TLS, roles, credentials."),
        "broker": Entry("broker", "app", "Rotate and revoke credentials of the broker; show its state."),
    },
    "Run": {
        "up": Entry("up", "up", "Run all in one process: webhooks, jobs, the first listing."),
        "serve": Entry("serve", "serve", "Receive webhooks."),
        "queue": Entry("queue", "queue", "Store what handlers hand to the bus, and wake the workers."),
        "worker": Entry("worker", "worker", "Process jobs: read what changed, write the other side."),
        "admin": Entry("access.admin", "app", "Run the admin service; manage its users and tokens."),
        "writes": Entry("writes", "writes", "Allow or forbid writing to both sides."),
    },
    "Compare and repair": {
        "diff": Entry(
            "compare.diff_reconcile", "diff", "List both sides and show what is not the same; changes nothing."
        ),
        "reconcile": Entry(
            "compare.diff_reconcile", "reconcile", "Compare both sides and queue a repair of what differs."
        ),
        "runs": Entry("compare.runs", "app", "Start, review, approve and apply reconciles in steps."),
        "catch-up": Entry("compare.catch_up", "catch_up", "Look for changes whose webhook was missed, on both sides."),
    },
    "Look": {
        "status": Entry("status", "status", "Show queues, limits, pauses, records, processes and alarms."),
        "trends": Entry("trends", "trends", "Show the last hour, day or week: throughput, failures, latency."),
        "alerts": Entry("alerts", "app", "Show alerts, test who is told, and silence rules."),
        "history": Entry("people.history", "history", "Show what is stored of a person, and what was done and why."),
        "logs": Entry("logs", "logs", "Search in log lines, the journal and the audit log."),
        "jobs": Entry("queue_jobs.jobs", "jobs", "List queued jobs and dead letters."),
        "explain": Entry("people.explain", "explain", "Say why a person is in sync or not, in one sentence."),
        "conflicts": Entry("people.conflicts", "app", "List open conflicts, show one, settle them by a choice."),
    },
    "Steer": {
        "retry": Entry("queue_jobs.retry", "retry", "Retry dead letters: by id, class, side, kind or time, or all."),
        "discard": Entry("queue_jobs.retry", "discard", "Close dead letters without another attempt."),
        "pause": Entry("pause", "pause", "Stop a side, both sides, or the changes of one field."),
        "resume": Entry("pause", "resume", "Resume a side, both sides, or the changes of one field."),
        "link": Entry("people.link", "link", "Link a contact and a customer, or list records that several match."),
        "unlink": Entry("people.link", "unlink", "End the link of a contact and a customer for good."),
        "hold": Entry("queue_jobs.hold", "app", "List, release or discard changes that are held back."),
        "keys": Entry("keys", "app", "Rotate the encryption keys while everything runs."),
        "limits": Entry("limits", "app", "Show and change the request limits."),
    },
    "Try out and measure": {
        "demo": Entry("demo", "demo", "Watch a stand-in HubSpot and Stripe become and stay the same."),
        "sandbox": Entry("sandbox", "app", "Run a stand-in HubSpot and Stripe, or edit records on them."),
        "bench": Entry("bench", "app", "Measure this program beside the sandbox."),
    },
}
"""In the order of ``wanesync --help``; modules are those of ``wanesync.cli.commands``."""
COMMANDS = {name: entry for group in GROUPS.values() for name, entry in group.items()}


class LazyCommand(TyperCommand):
    """A command of the table, whose module is imported when the command is called."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Context | None = None, **extra: object
    ) -> Context:
        """The context of the real command, which Typer then invokes instead of this one."""
        return load(self.name or "").make_context(info_name, args, parent=parent, **extra)


class GroupedCommands(TyperGroup):
    """The program: its help lists the commands by what they are for."""

    def invoke(self, ctx: Context) -> object:
        """Run the command; of a value that cannot be used only the plain text is shown, not the library's preface."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - as Typer calls it
        """Write a section for each group."""
        for title, entries in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<9}", entry.help) for name, entry in entries.items()])


def load(name: str) -> Command:
    """The command, from its module, with an example in its help."""
    entry = COMMANDS[name]
    found = getattr(import_module(f"wanesync.cli.commands.{entry.module}"), entry.attribute)
    if isinstance(found, typer.Typer):
        command: Command = get_group(found)
    else:
        single = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
        single.command(name)(found)
        command = get_command(single)
    add_examples(command, name)
    return command


def add_commands(app: typer.Typer) -> None:
    """Add every command of the table to the program, without importing its module."""
    for name, entry in COMMANDS.items():
        app.command(name, cls=LazyCommand, help=entry.help)(_stand_in)


def _stand_in() -> None:
    """Stand for the function of a command whose module is not imported; it is not called."""
