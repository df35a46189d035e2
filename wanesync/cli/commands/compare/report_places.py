"""Where ``diff`` and ``reconcile`` write: never onto a file of the installation, nor onto one another's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from wanesync.cli.context import find_config_file, read_secret_source
from wanesync.config.model import FILE_KEYS, Config
from wanesync.core.errors import ConfigError
from wanesync.reconcile.atomic_file import is_stream
from wanesync.wiring import snapshot_path

SQLITE = "sqlite:"
BESIDE = ("", "-wal", "-shm", ".keys")
"""What a SQLite database, its log and its key file are called, behind the database's name."""
SNAPSHOT = ("", "-wal", "-shm", "-since")
"""The same of a snapshot."""
FILE = "file:"


def refuse_places(
    config: Config, config_file: Path | None, written: Mapping[str, Path | None], read: Mapping[str, Path | None]
) -> None:
    """Raise ``ConfigError`` where an option's file is one that would be lost.

    ``written``: option -> the file it writes. ``read``: option -> a file that has to stay.
    """
    taken = {_resolve(path): "a file of this installation" for path in _list_own(config, config_file)}
    taken |= {_resolve(path): f"the file of {option}" for option, path in read.items() if path is not None}
    problems = []
    for option, path in written.items():
        if path is None or is_stream(path):
            continue
        place = _resolve(path)
        if place in taken:
            problems.append(f"{option} {path} is {taken[place]}: give another name")
        taken[place] = f"the file of {option}"
    if problems:
        raise ConfigError(problems)


def _resolve(path: Path) -> str:
    return os.path.realpath(path)


def _list_own(config: Config, config_file: Path | None) -> Iterator[Path]:
    found = find_config_file(config_file)
    folder = found.parent if found else Path()
    if found is not None:
        yield found
    if config.database.startswith(SQLITE):
        yield from (Path(config.database.removeprefix(SQLITE) + suffix) for suffix in BESIDE)
    snapshot = snapshot_path(config)
    yield from (Path(snapshot + suffix) for suffix in SNAPSHOT)
    yield Path(snapshot).with_suffix(".generation")
    for key in FILE_KEYS:
        section, _, name = key.partition(".")
        if value := getattr(getattr(config, section), name):
            yield Path(value)
    for texts in read_secret_source(found).written.values():
        yield from (folder / text.removeprefix(FILE) for text in texts if text.startswith(FILE))
