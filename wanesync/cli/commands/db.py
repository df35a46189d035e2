"""``db``: migrate the database, remove what is older than its retention, make the roles of Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.cli.context import AsJson, ConfigFile, open_configured, read_config, use_database
from wanesync.core.errors import ConfigError
from wanesync.output import print_line
from wanesync.store.database import POSTGRES_MISSING
from wanesync.store.queries import Dialect
from wanesync.store.roles.document import describe_matrix, list_access
from wanesync.store.roles.matrix import FUNCTIONS, MATRIX, Role
from wanesync.store.roles.statements import DEFAULT_PREFIX, build_statements
from wanesync.terminal import ProgressBars, make_console, make_table, print_json, print_rows, progress_bars
from wanesync.wiring import build_retention_task
from wanesync.worker.retention import Progress

if TYPE_CHECKING:
    from types import ModuleType

    from wanesync.store.roles.statements import Target

app = typer.Typer(
    help="Migrate the database, prune old rows, make database roles.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def migrate(as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Bring the database up to this version. Safe to run again."""
    with use_database(read_config(config_file, ()), migrate=True) as store:
        label = store.url_label
    if as_json:
        print_json({"database": label, "state": "up to date"})
    else:
        print_line(f"{label} is up to date.")


@app.command()
def prune(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, change nothing.")] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Remove what is older than [retention] says; a worker does it once a day. Safe while other processes work."""
    with open_configured(config_file) as (config, store):
        with progress_bars() as shown:
            removed = build_retention_task(config, store).prune(dry=dry_run, progress=_advance(shown))
        on_sqlite = store.dialect is Dialect.SQLITE
    if as_json:
        print_json({"dry_run": dry_run, "rows": {name.replace(" ", "_"): count for name, count in removed.items()}})
        return
    screen = make_console()
    made = make_table("Rows", ">Would be removed" if dry_run else ">Removed")
    print_rows(screen, made, [(name, f"{count:,}") for name, count in removed.items()])
    if on_sqlite and not dry_run and any(removed.values()):
        screen.print(
            "Their space in the file is used again; only VACUUM, with every process stopped, makes the file smaller."
        )


@app.command()
def roles(
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Make them in the configured database.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the statements only, as without --apply.")] = False,
    table: Annotated[bool, typer.Option("--table", help="Print who may do what as a table (Markdown).")] = False,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="What their names begin with.")] = DEFAULT_PREFIX,
    schema: Annotated[str, typer.Option(metavar="NAME", help="The schema that holds the tables.")] = "public",
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Print or make the Postgres roles, each with the least rights. Safe to run again, also after db migrate.

    No password is made: set one in psql, or let the role log in by a certificate or IAM.
    """
    if table:
        print_line(describe_matrix())
        return
    config = read_config(config_file, ())
    if not config.database.startswith(("postgresql://", "postgres://")):
        raise ConfigError(["database: only Postgres has roles; on SQLite the modes of the files are the limit"])
    made, target = _find_target(config.database, prefix, schema)
    statements = build_statements(target)
    applied = apply and not dry_run
    if applied:
        made.apply_roles(config.database, target)
    if as_json:
        print_json(_describe_roles(target, statements, applied=applied))
    elif applied:
        print_line(f"{len(Role)} roles have their rights on {len(MATRIX)} tables: {', '.join(map(target.name, Role))}.")
        print_line("They have no password yet: \\password in psql sets one (docs/security.md#database-roles).")
    else:
        print_line("".join(f"{statement};\n" for statement in ("BEGIN", *statements, "COMMIT")).rstrip())


def _find_target(url: str, prefix: str, schema: str) -> tuple[ModuleType, Target]:
    """Return the module that applies the roles, and where they go. Raises ConfigError: psycopg is not installed."""
    try:
        from wanesync.store.roles import apply  # noqa: PLC0415 - psycopg is an extra
    except ImportError as error:
        raise ConfigError([POSTGRES_MISSING]) from error
    return apply, apply.find_target(url, prefix, schema)


def _describe_roles(target: Target, statements: list[str], *, applied: bool) -> dict[str, object]:
    return {
        "applied": applied,
        "database": target.database,
        "schema": target.schema,
        "roles": {str(role): target.name(role) for role in Role},
        "tables": {table: {str(role): list_access(role, table) for role in Role} for table in MATRIX},
        "functions": {name: [*map(str, roles)] for name, roles in FUNCTIONS.items()},
        "statements": statements,
    }


def _advance(shown: ProgressBars) -> Progress:
    """Return a function that moves the bar of a kind of row on, adding it the first time."""
    known = {}

    def advance(name: str, rows: int) -> None:
        if name not in known:
            known[name] = shown.add(name)
        known[name](rows)

    return advance
