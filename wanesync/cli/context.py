"""What every command starts with: its common options, the configuration, the opened database."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from wanesync import log
from wanesync.config.alerts import ALERT_SECRETS
from wanesync.config.model import VENDOR_SECRETS, Config, load, read_secrets
from wanesync.core.errors import ConfigError
from wanesync.hardening import forbid_core_dumps
from wanesync.ops.checks.local import find_exposed_files
from wanesync.ops.logs.storage import store_log_lines
from wanesync.store.database import Store
from wanesync.store.figure_counts import storing_figures
from wanesync.store.patience import Patience
from wanesync.wiring import open_database

if TYPE_CHECKING:
    from wanesync.config.secret_source import SecretSource

_logger = structlog.get_logger()
DEFAULT_FILE = Path("wanesync.toml")
STOP_POLL_S = 0.5
"""After how long a signal that arrived right before a wait is noticed at the latest (our choice)."""
MAX_ROWS = 2**31 - 1
"""The largest value of an option that counts rows: SQLite and Postgres both take it as a limit."""

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="WANESYNC_CONFIG",
        readable=False,  # reading it says what to do
        help="Configuration; default wanesync.toml.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
ShowValues = Annotated[bool, typer.Option("--show-values", help="Show values unmasked; they are personal data.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what it would do, change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def read_config(path: Path | None, uses: Collection[str] = VENDOR_SECRETS, *, stores: bool = True) -> Config:
    """Read the configuration, without a file from the environment alone. Raises ConfigError with every problem.

    ``uses``: the secrets of the vendors and of the bus that the command needs; ``stores``: whether it needs those of
    the database. No other one is resolved.
    """
    forbid_core_dumps()
    if path is not None or DEFAULT_FILE.exists():
        return load(path or DEFAULT_FILE, os.environ, uses, stores=stores)
    try:
        return load(None, os.environ, uses, stores=stores)
    except ConfigError as error:
        advice = f"there is no {DEFAULT_FILE} here: create one with wanesync init, or name another with --config"
        # What is missing besides follows from it, unless the environment is meant to be the configuration.
        by_environment = any(name.startswith("WANESYNC_") and "__" in name for name in os.environ)
        raise ConfigError([*(error.problems if by_environment else []), advice]) from error


def read_secret_source(path: Path | None) -> SecretSource:
    """Return every secret as it is written, none resolved; nothing else is checked. Raises ConfigError."""
    return read_secrets(find_config_file(path), os.environ)


def find_config_file(path: Path | None) -> Path | None:
    """Return the file that a command reads: the one that is named, else the default one if it is there."""
    return path or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)


def read_logged_config(path: Path | None, uses: Collection[str] = VENDOR_SECRETS, *, stores: bool = True) -> Config:
    """Read the configuration and write logs of its level to standard error: for commands that keep running."""
    # Whatever runs on with a database evaluates alerts, and sends their notices.
    config = read_config(path, {*uses, *(ALERT_SECRETS if stores else ())}, stores=stores)
    log.configure(config.log.level, sys.stderr)
    return config


@contextmanager
def open_configured(
    path: Path | None,
    *,
    uses: Collection[str] = (),
    migrate: bool | None = None,
    patience: Patience | None = None,
) -> Iterator[tuple[Config, Store]]:
    """Yield the configuration and its database. Raises ConfigError, DatabaseUnavailable, DecryptionFailed.

    ``uses``: the vendors' secrets that the command needs. ``patience``: whenever the database is unavailable, wait for
    it: for runs of minutes.
    """
    config = read_config(path, uses)
    log.configure("error" if patience is None else "warning", sys.stderr)
    with ExitStack() as stack:
        logs_of = "" if patience is None else "command"
        store = stack.enter_context(use_database(config, migrate=migrate, patience=patience, logs_of=logs_of))
        if patience is not None:
            stack.enter_context(store.patient(patience, all_threads=True))
        yield config, store


@contextmanager
def use_database(
    config: Config, *, migrate: bool | None = None, patience: Patience | None = None, logs_of: str = ""
) -> Iterator[Store]:
    """Yield the database of a configuration, closed at the end. ``patience``: wait for one that is unavailable.

    ``logs_of``: what this process is, if the database is to keep its log lines (where ``[log] store`` is on).
    """

    def opened() -> Store:
        return open_database(config, migrate=migrate)

    store = opened() if patience is None else patience.call(opened)
    if patience is not None:
        for finding in find_exposed_files(config.database):
            _logger.warning("files of the database are not private", reason=finding.text, fix=finding.fix)
    try:
        logs = store_log_lines(store, logs_of, config.log.store_rate) if logs_of and config.log.store else nullcontext()
        with storing_figures(store), logs:
            yield store
    finally:
        store.close()


def set_on_stop_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set. To be called in the main thread.

    A thread sets it. A handler runs in the main thread between any two instructions, also inside the event's own
    ``wait``: there it would wait for ever for the lock that its thread holds. ``SimpleQueue.put`` may be interrupted by
    itself (docs.python.org/3/library/queue.html).
    """
    stopping, signals = threading.Event(), SimpleQueue[int]()

    def stop() -> None:
        signals.get()
        stopping.set()

    threading.Thread(target=stop, name="stop-signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: signals.put(number))
    return stopping


def wait_until_stopping(stopping: threading.Event) -> None:
    """Wait in the main thread until a signal sets the event.

    A signal that arrives right before a wait begins does not interrupt it: its handler runs after a time-out.
    """
    while not stopping.wait(STOP_POLL_S):
        pass


def end_if_stopping(stopping: threading.Event) -> None:
    """End a command that was asked to stop during its start, where nothing is under way yet. Raises ``typer.Exit``.

    On a busy machine the rest of a start takes many seconds, and its end as well.
    """
    if stopping.is_set():
        raise typer.Exit
