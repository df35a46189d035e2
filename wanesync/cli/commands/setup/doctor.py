"""``doctor``: check a set-up from the keys to the public address, a line per check."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from wanesync import log
from wanesync.cli.context import DEFAULT_FILE, AsJson, ConfigFile, read_config
from wanesync.config.model import DOOR_SECRETS, VENDOR_SECRETS, Config
from wanesync.core.errors import ConfigError, WanesyncError
from wanesync.ops.checks.doctor import describe_config_problems, examine
from wanesync.ops.checks.findings import Finding, State, count_states
from wanesync.store.database import Store
from wanesync.terminal import make_console, print_json
from wanesync.wiring import build_examined, open_database

EXAMINED = VENDOR_SECRETS | set(DOOR_SECRETS)
"""The secrets that the checks use."""


def doctor(
    *,
    try_writes: Annotated[
        bool,
        typer.Option("--try-writes", help="Ask Stripe to update a customer that cannot exist: may the key write?"),
    ] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Check a set-up: keys, rights, webhooks, public address. A line per check; writes nothing to either side."""
    log.configure("critical", sys.stderr)
    screen = make_console()
    found = []
    for finding in _find_all(config_file, try_writes=try_writes):
        found.append(finding)
        if not as_json:
            screen.print(f"{finding.state:<5}{finding.line}", markup=False)
    counts = count_states(found)
    if as_json:
        counted = {str(state): number for state, number in counts.items()}
        print_json({"counts": counted, "checks": [finding.as_json() for finding in found]})
    else:
        screen.print(f"{counts[State.OK]} ok, {counts[State.WARN]} to look at, {counts[State.FAIL]} to mend")
    raise typer.Exit(1 if counts[State.FAIL] else 0)


def _find_all(config_file: Path | None, *, try_writes: bool) -> Iterator[Finding]:
    config, problems, broken = _read_what_can_be_read(config_file)
    yield from describe_config_problems(problems)
    if config is None:
        return
    store, no_store = _open_if_there(config)
    file = config_file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    try:
        examined = build_examined(config, file, store, no_store, broken)
        yield from examine(replace(examined, try_writes=try_writes))
    except ConfigError as error:
        yield from describe_config_problems(error.problems)
    finally:
        if store is not None:
            store.close()


def _read_what_can_be_read(config_file: Path | None) -> tuple[Config | None, list[str], frozenset[str]]:
    """Return the configuration, every problem, and the secrets that cannot be read; no configuration if unusable."""
    try:
        return read_config(config_file, EXAMINED), [], frozenset()
    except ConfigError as error:
        problems = error.problems
    usable = frozenset(key for key in EXAMINED if _can_read(config_file, {key}))
    if not _can_read(config_file, usable):
        return None, problems, frozenset()
    return read_config(config_file, usable), problems, EXAMINED - usable


def _can_read(config_file: Path | None, uses: Collection[str]) -> bool:
    try:
        read_config(config_file, uses)
    except ConfigError:
        return False
    return True


def _open_if_there(config: Config) -> tuple[Store | None, list[str]]:
    """Return the database, or why it cannot be used; none is created."""
    try:
        return open_database(config, migrate=False), []
    except WanesyncError as error:
        return None, error.problems if isinstance(error, ConfigError) else [str(error)]
