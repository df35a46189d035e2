"""Settings of the database, and pauses of a side or an operation."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from wanesync.core.errors import FieldMapChanged
from wanesync.core.model import Side
from wanesync.store.notify import CONTROL
from wanesync.store.queries import Value
from wanesync.store.session import Table, TransactionConflict

INDEX_KEY = "index_key"
PORTAL = "pin_portal"
"""Setting: the HubSpot portal that the database belongs to."""
LISTED = "listed"
"""Setting: when the first listing, or the one after a restored backup, began, ms; creations need it."""
RESTORED = "restored"
"""Setting: when it was found that the database was restored or copied, ms, and by what; until the next listing."""
UNCONFIRMED = "unconfirmed"
"""Setting: since when it is not known whether the database was restored or copied, ms, and why; until a catch-up."""
GENERATION = "generation"
"""Setting: the id by which an older state of the database is recognised (``worker.generation``)."""
CURSORS = {Side.HUBSPOT: "hubspot_cursor_ms", Side.STRIPE: "stripe_cursor_ms"}
"""Settings: up to which time each side has been caught up, ms."""
LAST_RUN = "reconcile_began_ms"
"""Setting: when the last complete and unrestricted run began, ms."""
FIELD_MAP = "field_map"
"""The setting that holds the field map (``core.field_generations.MapState``)."""
MAP_GENERATION = "map_generation"
"""The setting that holds its generation alone, which every heartbeat and every commit of webhooks reads."""
PORTAL_STATE = "portal_state"
PORTAL_CHECK_FAILURE = "portal_check_failure"
"""The setting that holds since when the HubSpot account could not be checked (ms), and why."""
DEFINITIONS = "field_definitions"
"""Setting: how the mapped HubSpot properties were defined at the newest check."""
"""The setting that holds what the newest check of the HubSpot account found (``core.portal_checks.PortalState``)."""
HUBSPOT_VERSION = "hubspot_api_version"
"""Setting: ``hubspot.api_version`` of the process with HubSpot's key that started last."""
SERVERLESS_DOOR = "serverless_door"
"""Setting: since when webhooks are received by serverless instances, ms, which have no heartbeat."""
OPERATOR = "operator:"
"""Prefix of the pauses that an operator set: the program neither probes nor ends them."""


def time_stamp_name(side: Side) -> str:
    """The name of the setting that holds when a side was caught up last, ms."""
    return f"caught_up_ms_{side}"


def operator_pause(side: Side) -> str:
    """The name of the pause by which an operator stops a side."""
    return f"{OPERATOR}{side}"


class Settings(Table):
    """The table ``settings``: name and value, both text."""

    __slots__ = ()

    def get(self, name: str) -> str | None:
        """The value of a setting; None without one."""
        row = self._session.row("get_setting", name=name)
        return str(row[0]) if row else None

    def get_many(self, names: Collection[str]) -> dict[str, str]:
        """The values of some settings; those without one are left out."""
        return dict(self._session.rows("get_settings", names=names))

    def get_shared(self, name: str) -> str | None:
        """The value of a setting; no other transaction can change it before this one ends."""
        row = self._session.row("get_setting_shared", name=name)
        return str(row[0]) if row else None

    def check_field_map(self) -> None:
        """Raises FieldMapChanged if the database works with another field map than this process."""
        mine = self._session.generations.generation
        if mine and self.get(MAP_GENERATION) != str(mine):
            raise FieldMapChanged

    def put(self, name: str, value: str) -> None:
        """Sets a value."""
        self._session.rows("put_setting", name=name, value=value)

    def drop(self, name: str) -> None:
        """Removes a setting."""
        self._session.rows("drop_setting", name=name)

    def add(self, name: str, value: str) -> str:
        """Sets a value unless there is one; the value that is stored then."""
        self._session.rows("add_setting", name=name, value=value)
        return self.get(name) or value

    def swap(self, name: str, old: str, value: str) -> bool:
        """Compare and swap: sets a value if it still is ``old``; True in the one process that succeeds."""
        return self._session.row("swap_setting", name=name, old=old, value=value) is not None

    def change(self, name: str, before: str | None, value: str) -> None:
        """Sets a value that was made from ``before`` (None: there was none).

        Raises TransactionConflict where another transaction changed it since.
        """
        changed = self.add(name, value) == value if before is None else self.swap(name, before, value)
        if not changed:
            raise TransactionConflict(f"another process changed {name} at the same moment; try again")


@dataclass(frozen=True, slots=True)
class PauseRow:
    """A pause of a side (``stripe``) or an operation. ``away``: unreachable. ``probe_ms``: time of the next probe."""

    name: str
    reason: str
    away: bool
    since_ms: int
    probe_ms: int


class Pauses(Table):
    """The table ``pauses``."""

    __slots__ = ()

    def get_all(self) -> dict[str, PauseRow]:
        """Name -> pause."""
        rows = self._session.rows("all_pauses")
        return {
            name: PauseRow(name, reason, bool(away), since_ms, probe) for name, reason, away, since_ms, probe in rows
        }

    def set(self, name: str, reason: str, away: bool, probe_at_ms: int) -> None:
        """Sets a pause, or the next probe of an existing one."""
        values: dict[str, Value] = {"reason": reason, "away": int(away), "probe_ms": probe_at_ms}
        self._session.rows("set_pause", name=name, now=self._session.now_ms, **values)
        self._session.lanes_to_wake.add(CONTROL)

    def move_probe(self, name: str, from_ms: int, to_ms: int) -> bool:
        """Moves the next probe of a pause; False if another process did so, or ended the pause, since it was read."""
        return self._session.row("move_probe", name=name, from_ms=from_ms, to_ms=to_ms) is not None

    def clear(self, name: str) -> None:
        """Ends a pause."""
        self._session.rows("clear_pause", name=name)
        self._session.lanes_to_wake.add(CONTROL)
