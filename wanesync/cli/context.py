"""What every command begins with: its options, the configuration, the opened database."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from wanesync import log
from wanesync.config.model import Config, load
from wanesync.core.errors import ConfigError
from wanesync.store.database import Store
from wanesync.wiring import open_database

DEFAULT_FILE = Path("wanesync.toml")
MOST = 2**31 - 1
"""The largest count an option takes; both databases know it as a number of rows."""

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="WANESYNC_CONFIG", help="Configuration; default wanesync.toml."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def read_config(path: Path | None) -> Config:
    """The configuration; without a file, what the environment gives. Raises ConfigError with every problem."""
    if path is not None or DEFAULT_FILE.exists():
        return load(path or DEFAULT_FILE, os.environ)
    try:
        return load(None, os.environ)
    except ConfigError as error:
        advice = f"there is no {DEFAULT_FILE} here: make one with wanesync init, or name another with --config"
        raise ConfigError([*error.problems, advice]) from error


def read_logged_config(path: Path | None) -> Config:
    """The configuration, with logs written to standard error from its level up: for programs that keep running."""
    config = read_config(path)
    log.configure(config.log.level, sys.stderr)
    return config


@contextmanager
def opened(path: Path | None, *, migrate: bool | None = None) -> Iterator[tuple[Config, Store]]:
    """The configuration and its database, closed at the end. Raises ConfigError, DatabaseUnavailable, DecryptionFailed."""
    config = read_config(path)
    log.configure("error", sys.stderr)
    with opened_store(config, migrate=migrate) as store:
        yield config, store


@contextmanager
def opened_store(config: Config, *, migrate: bool | None = None) -> Iterator[Store]:
    """The database of a configuration, closed at the end."""
    store = open_database(config, migrate=migrate)
    try:
        yield store
    finally:
        store.close()
