"""Room on the disk of a SQLite database. The disk of a Postgres server cannot be seen from here."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wanesync.core.operating.alarms import Alarm, AlarmCode

if TYPE_CHECKING:
    from wanesync.store.database import Store

LEAST_FREE_BYTES = 500 << 20
"""Less free room is an alarm: about what a first listing of a large portal and its snapshot file need (our choice)."""
PREFIX = "sqlite:"


def find_disk_alarms(store: Store) -> list[Alarm]:
    """Return an alarm if the disk of the database is nearly full."""
    path = store.url_label.removeprefix(PREFIX)
    if not store.url_label.startswith(PREFIX) or path == ":memory:":
        return []
    folder = Path(path).absolute().parent
    with suppress(OSError):  # a folder that is gone is reported where the database is opened
        free = shutil.disk_usage(folder).free
        if free < LEAST_FREE_BYTES:
            what = f"the disk of the database has {free >> 20:,} MB left ({folder})"
            return [Alarm(AlarmCode.DISK_FULL, what, "make room, or move the database")]
    return []
