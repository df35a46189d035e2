"""``keys``: which encryption keys are in use, and their rotation while everything runs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer

from wanesync.bus.seal_keys import derive_part_key, make_bus_key
from wanesync.cli.context import AsJson, ConfigFile, open_configured, read_config
from wanesync.core.errors import ConfigError, GuardError
from wanesync.core.roles import BUS_ROLES, Role
from wanesync.ops.encryption_keys import (
    InUse,
    KeysReport,
    Progress,
    Rewrap,
    Rewrapped,
    add_key,
    read_report,
    remove_key,
    wait_until_used,
    write_new_key,
)
from wanesync.output import print_line
from wanesync.store.database import Store
from wanesync.store.patience import RUN_PATIENCE_S, Patience
from wanesync.terminal import (
    ProgressBars,
    format_counts,
    make_console,
    make_table,
    print_json,
    print_rows,
    progress_bars,
)
from wanesync.wiring import find_key_file

USED_S = 60.0
"""How long ``rotate`` and ``rewrap`` wait until all processes use a new key (our choice): a heartbeat takes seconds."""
DAMAGED_SHOWN = 10

app = typer.Typer(
    help="Rotate the encryption keys while everything runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

WaitS = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait until all processes use the key.")
]


@app.command()
def status(*, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Show the keys, which processes have them, and how many rows carry each. Nothing is decrypted."""
    with open_configured(config_file) as (_, store), progress_bars() as shown:
        report = read_report(store, threading.Event().wait, _follow(shown))
    if as_json:
        print_json(_describe(report))
        return
    columns = ("#key", "configured", "encrypts", ">processes", ">rows", "where")
    rows = [
        (
            key.id,
            "yes" if key.configured else "no",
            "yes" if key.encrypts else "no",
            f"{key.known_to} of {report.processes}",
            f"{sum(key.rows.values()):,}",
            format_counts(key.rows),
        )
        for key in report.keys
    ]
    print_rows(make_console(), make_table(*columns), rows)
    for key in report.keys:
        if not key.configured:
            print_line(f"Key {key.id} is not configured: its rows cannot be read. Add it again, or they are damaged.")
    if report.unseen:
        print_line(f"Not counted, because this login may not read them: {', '.join(report.unseen)}.")
    for key in report.keys:
        if key.silent:
            print_line(
                f"{key.silent} processes that encrypted with {key.id} do not report any more: keys remove says more."
            )
    for key_id in report.removable:
        print_line(f"Key {key_id} is not needed any more: wanesync keys remove {key_id}.")


@app.command()
def rotate(
    *,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Write the new key into a new file of mode 0600 instead."),
    ] = None,
    wait: WaitS = USED_S,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Make a new key. In a key file it is put first; every process reads it, and then encrypts with it.

    Keys that the configuration lists are kept by you or by a manager: --to writes the new one into a file for them.
    """
    if to is not None:
        _write_new(to, as_json=as_json)
        return
    path = find_key_file(read_config(config_file, ()))
    if path is None:
        advice = "wanesync keys rotate --to FILE writes a new one, to be put first into that list"
        raise ConfigError([f"the keys are listed in [security] keys, which is not changed here: {advice}"])
    with open_configured(config_file) as (_, store):
        pending = _find_pending(store)
        key_id = pending or add_key(path)
        used = wait_until_used(store, threading.Event().wait, wait)
    if as_json:
        print_json({"key": key_id, "file": str(path), **_describe_use(used)})
    else:
        print_line(f"Key {key_id} {'was put' if pending else 'is'} first in {path}.")
        print_line(_say_use(used))
        print_line("Next: wanesync keys rewrap.")
    if not used.complete:
        raise typer.Exit(1)


def _find_pending(store: Store) -> str:
    """Return the first key if an earlier rotation to it did not end: it is waited for instead of a newer one."""
    found = wait_until_used(store, threading.Event().wait, 0)
    return "" if found.complete else found.key_id


def _write_new(to: Path, *, as_json: bool) -> None:
    key_id = write_new_key(to)
    if as_json:
        print_json({"key": key_id, "file": str(to)})
        return
    print_line(f"Key {key_id} was written into {to}, mode 0600. Next:")
    print_line("1. Put it first where [security] keys are kept, before the old ones, or use the file as key_file.")
    print_line("2. Running processes read it within 5 minutes, and encrypt with it once all have it: keys status.")
    print_line("3. wanesync keys rewrap, then take the old key out. Delete the file once the manager holds the key.")


@app.command()
def rewrap(*, wait: WaitS = USED_S, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Encrypt every row of an older key with the newest one. Safe while everything runs, and to be interrupted."""
    patience = Patience(max_s=RUN_PATIENCE_S)
    pause = threading.Event().wait
    with open_configured(config_file, patience=patience) as (_, store), progress_bars() as shown:
        used = wait_until_used(store, pause, wait)
        if not used.complete:
            raise GuardError(f"{_say_use(used)} Restart those that cannot read it, then run this again.")
        report = read_report(store, pause)
        totals = {
            table: sum(key.rows.get(table, 0) for key in report.keys if key.id != used.key_id)
            for table in {name for key in report.keys for name in key.rows}
        }
        done = Rewrap(store, pause, _follow(shown)).run(totals)
        report = read_report(store, pause)
    old = sum(count for key in report.keys if key.id != used.key_id for count in key.rows.values())
    if as_json:
        print_json(_describe_rewrap(done, old) | _describe(report))
    else:
        _print_rewrap(done, report, old)
    if old:
        raise typer.Exit(1)


@app.command()
def remove(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a key, as keys status shows it.")],
    *,
    ended: Annotated[
        bool, typer.Option("--ended", help="Processes that do not report any more did end: they were killed.")
    ] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Take a key out of the key file; refused while a row or a process uses it. Backups made before still need it."""
    config = read_config(config_file, ())
    path = find_key_file(config)
    with open_configured(config_file) as (_, store):
        remove_key(store, path, key_id, threading.Event().wait, ended=ended)
    if as_json:
        print_json({"removed": key_id, "file": str(path) if path else ""})
    elif path:
        print_line(f"Key {key_id} was removed from {path}. Backups made before still need it.")
    else:
        print_line(f"No row carries key {key_id}: take it out of [security] keys. Backups made before still need it.")


# -- what is printed


def _follow(shown: ProgressBars) -> Progress:
    known: set[str] = set()

    def follow(table: str, done: int, total: int | None) -> None:
        if table not in known:
            known.add(table)
            shown.add(table, total)
        if done:
            shown.set(table, done, total)

    return follow


def _say_use(used: InUse) -> str:
    if not used.processes:
        return f"No process runs; those that start will encrypt with {used.key_id}."
    text = f"{used.encrypting} of {used.processes} running processes encrypt with {used.key_id}."
    return text if used.complete else f"{text} Until all have read it, all go on with the key before."


def _describe_use(used: InUse) -> dict[str, object]:
    return {"processes": used.processes, "encrypting": used.encrypting, "complete": used.complete}


def _describe(report: KeysReport) -> dict[str, object]:
    keys = [
        {
            "id": key.id,
            "configured": key.configured,
            "encrypts": key.encrypts,
            "known_to": key.known_to,
            "encrypting": key.encrypting,
            "silent": key.silent,
            "rows": sum(key.rows.values()),
            "tables": dict(key.rows),
        }
        for key in report.keys
    ]
    return {"processes": report.processes, "keys": keys, "removable": report.removable}


def _describe_rewrap(done: Rewrapped, old: int) -> dict[str, object]:
    return {
        "rewrapped": dict(done.rows),
        "left": old,
        "damaged": [{"table": table, "row": row} for table, row in done.damaged],
        "slowest_transaction_ms": round(done.slowest_ms, 1),
    }


def _print_rewrap(done: Rewrapped, report: KeysReport, old: int) -> None:
    print_line(f"Encrypted again: {format_counts(done.rows)}.")
    for table, row in done.damaged[:DAMAGED_SHOWN]:
        print_line(f"The row {row} of {table} cannot be decrypted, and stays as it is: restore it from a backup.")
    if len(done.damaged) > DAMAGED_SHOWN:
        print_line(f"So do {len(done.damaged) - DAMAGED_SHOWN:,} more: --json lists them.")
    if old > len(done.damaged):
        print_line(f"{old - len(done.damaged):,} rows were changed meanwhile: run this again.")
    for key_id in report.removable:
        print_line(f"Key {key_id} is not needed any more: wanesync keys remove {key_id}.")


@app.command()
def bus(
    role: Annotated[Role | None, typer.Argument(help="The part that is to get the key.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Make a new bus key, for queue processes only.")] = False,
    config_file: ConfigFile = None,
) -> None:
    """Print the key by which one part seals and opens messages, made from the bus key ([bus] seal_key)."""
    if new == (role is not None):
        raise ConfigError(["name one part, or make a new bus key with --new"])
    if role is not None and role not in BUS_ROLES:
        raise ConfigError([f"{role} takes no part in the bus: one of {', '.join(BUS_ROLES)}"])
    if role is None:
        print_line(make_bus_key())
        return
    config = read_config(config_file, ("bus.seal_key",), stores=False)
    config.require("bus.seal_key")
    for entry in config.bus.entries:
        print_line(derive_part_key(entry, role))
