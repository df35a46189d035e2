"""Secrets that a running process could not read again: each keeps its old value, and an alarm names it.

The settings hold one entry for each secret, with a line for each process, without a value.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, TypedDict

from wanesync.config.model import SECRET_KEYS
from wanesync.core.operating.alarms import Alarm, AlarmCode
from wanesync.terminal import format_duration

if TYPE_CHECKING:
    from wanesync.store.database import Tx

PREFIX = "secret_trouble:"
"""Beginning of the names of the settings; the key of the secret follows."""


class _Entry(TypedDict):
    """What one process found."""

    since_ms: int
    until_ms: int
    text: str


def store_troubles(tx: Tx, process: str, mine: Collection[str], troubles: Mapping[str, str], valid_ms: int) -> None:
    """Store what is wrong with the secrets of one process.

    ``mine``: all it uses. ``troubles``: secret -> one line. ``valid_ms``: how long that counts unless it is stored
    again: a process that has ended raises no alarm.
    """
    for key in mine:
        before = _read(tx.settings.get(f"{PREFIX}{key}"))
        after = {name: entry for name, entry in before.items() if name != process and entry["until_ms"] > tx.now_ms}
        if key in troubles:
            since_ms = before[process]["since_ms"] if process in before else tx.now_ms
            after[process] = {"since_ms": since_ms, "until_ms": tx.now_ms + valid_ms, "text": troubles[key]}
        if after or before:
            # Never removed: the database roles of most parts may not delete settings.
            tx.settings.put(f"{PREFIX}{key}", json.dumps(after))


def find_secret_alarms(tx: Tx) -> list[Alarm]:
    """Return an alarm for each secret that cannot be read again."""
    alarms = []
    for key, text in sorted(tx.settings.get_many([f"{PREFIX}{key}" for key in SECRET_KEYS]).items()):
        entries = [entry for entry in _read(text).values() if entry["until_ms"] > tx.now_ms]
        if entries:
            oldest = min(entries, key=lambda entry: entry["since_ms"])
            lasting = format_duration(tx.now_ms - oldest["since_ms"])
            name = key.removeprefix(PREFIX)
            what = f"{name} cannot be read again for {lasting}, the old value stays"
            alarms.append(Alarm(AlarmCode.SECRET_UNREADABLE, what, oldest["text"], subject=name))
    return alarms


def _read(text: str | None) -> dict[str, _Entry]:
    found: dict[str, _Entry] = json.loads(text) if text else {}
    return found
