"""Checks of this machine: the database and its accounts, rights of files, room on the disk, processes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wanesync.core.field_generations import MapState
from wanesync.core.rate_limits import TEST_RATE
from wanesync.ops.alarms import WEB, find_alarms, is_served
from wanesync.ops.broker.certificates import utc_now
from wanesync.ops.checks.findings import Finding, fail, ok, warn
from wanesync.ops.health.certificates import find_certificate_alarms
from wanesync.ops.health.disk import find_disk_alarms
from wanesync.ops.writes import ON, read_switch
from wanesync.ratelimit.quotas import find_alarms as find_quota_alarms
from wanesync.store.tables.settings import FIELD_MAP, PORTAL
from wanesync.sync.loader import LISTED

if TYPE_CHECKING:
    from wanesync.config.model import Config
    from wanesync.core.fields import FieldMap
    from wanesync.store.database import Store

LEAST_BODY_BYTES = 1 << 20
"""Twenty times what 100 usual events of HubSpot have."""
SQLITE = "sqlite:"
MEMORY = ":memory:"


def check_values(max_body_bytes: int, stripe_rate: float | None, mode: str) -> Iterator[Finding]:
    """Check values of the configuration that are allowed, but not what the vendors need."""
    if max_body_bytes < LEAST_BODY_BYTES:
        text = f"server.max_body_bytes is {max_body_bytes:,}, and HubSpot sends 100 events in one body"
        yield warn("configuration", text, "leave it out: the default is enough for all of them")
    if mode == "test" and stripe_rate is not None and stripe_rate > TEST_RATE:
        text = f"stripe.rate is {stripe_rate:g} a second, Stripe allows a test key {TEST_RATE:g}"
        yield warn("configuration", text, "leave it out: the default follows the mode of the key")


def check_certificates(config: Config) -> Iterator[Finding]:
    """Check that no certificate of the configuration ends within 14 days."""
    found = find_certificate_alarms(config, utc_now())
    for alarm in found:
        yield warn("certificates", alarm.what, alarm.way_out)
    if not found and (config.server.certificate or config.bus.url):
        yield ok("certificates", "none ends within 14 days")


def check_alarms(store: Store) -> Iterator[Finding]:
    """List the alarms of ``wanesync status``."""
    alarms = find_alarms(store)
    for alarm in alarms:
        yield warn("alarms", alarm.what, alarm.advice or "see wanesync status")
    if not alarms:
        yield ok("alarms", "none")


def check_database(store: Store, fields: FieldMap) -> Iterator[Finding]:
    """Describe the database, and what is paused, used up or running in it."""
    with store.reading() as tx:
        text, portal = tx.settings.get(FIELD_MAP), tx.settings.get(PORTAL)
        listed, writes = tx.settings.get(LISTED), read_switch(tx)
        pauses = tx.pauses.get_all().values()
        quotas = find_quota_alarms(tx)
        processes, served = tx.processes.alive(), is_served(tx)
    if portal is None:
        yield warn("database", "which accounts it belongs to is not known yet", "run wanesync init")
    state = "both sides were listed" if listed else "no first listing yet"
    yield ok("database", f"{store.url_label}, {state}, writes are {'on' if writes == ON else 'off'}")
    if text and MapState.unpack(text).version != fields.version:
        yield warn(
            "field map",
            "the running processes work with another one than this configuration",
            "restart all of them with this file (docs/operating.md#changing-the-field-map)",
        )
    for pause in pauses:
        yield fail(
            "pauses",
            f"{pause.name} is paused ({pause.reason})",
            "mend what it says, then wanesync resume (a pause for a refused key ends by itself)",
        )
    for quota in quotas:
        yield warn("quotas", quota.text, "wait, or set more: wanesync limits")
    web = sum(process.lanes == WEB for process in processes)
    workers = len(processes) - web
    counts = f"{web} that receive webhooks, {workers} that work"
    if served and workers:
        yield ok("processes", f"running now: {counts}")
    else:
        yield warn(
            "processes", f"running now: {counts}", "start wanesync up (or serve and worker), then run this again"
        )


def has_web_process(store: Store) -> bool:
    """Return whether something receives webhooks: a process that is alive, or serverless instances."""
    with store.reading() as tx:
        return is_served(tx)


def check_files(config_file: Path | None, database: str) -> Iterator[Finding]:
    """Check who may change or read the configuration and the database, and that the database can be written."""
    found: list[Finding] = []
    if config_file is not None and config_file.exists():
        found += _check_shared(config_file, "the configuration", 0o022, "be changed")
    path = Path(database.removeprefix(SQLITE)) if database.startswith(SQLITE) else None
    if path is not None and str(path) != MEMORY and path.exists():
        found += _check_database_file(path)
    yield from found or [ok("files", "only their owner may change the configuration and the database")]


def find_exposed_files(database: str) -> list[Finding]:
    """Return the files of a SQLite database that others can read, and its folder if others can change it.

    SQLite gives the write-ahead log and its index the mode of the database; all of them hold personal data, encrypted.
    """
    path = Path(database.removeprefix(SQLITE)) if database.startswith(SQLITE) else None
    if path is None or str(path) == MEMORY or not path.exists():
        return []
    beside = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", ".snapshot", ".snapshot-wal")]
    findings = [*_check_shared(path, "the database", 0o007, "be read")]
    for file in beside:
        with suppress(FileNotFoundError):
            findings += _check_shared(file, "the file", 0o007, "be read")
    # A user who may add files to the folder may put another database or log in their place.
    return [*findings, *_check_shared(path.absolute().parent, "the folder of the database", 0o002, "be changed")]


def _check_database_file(path: Path) -> Iterator[Finding]:
    yield from find_exposed_files(f"{SQLITE}{path}")
    folder = path.absolute().parent
    if not os.access(path, os.W_OK):
        yield fail("files", f"{path} cannot be written by this user", f"chown it to this user, and chmod 600 {path}")
    if not os.access(folder, os.W_OK | os.X_OK):
        text = f"the folder {folder} cannot be written by this user, and SQLite writes beside the database"
        yield fail("files", text, f"chown {folder} to this user")


def _check_shared(path: Path, what: str, bits: int, verb: str) -> Iterator[Finding]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & bits:
        text = f"{what} {path} can {verb} by others (mode {mode:04o})"
        yield fail("files", text, f"chmod {mode & ~bits:o} {path}")


def check_disk(store: Store) -> Finding:
    """Check the room on the disk of the database."""
    for alarm in find_disk_alarms(store):
        return fail("disk", alarm.what, alarm.way_out)
    seen = store.url_label.startswith(SQLITE)
    return ok("disk", "has room" if seen else "that of the database's server is not seen from here")
