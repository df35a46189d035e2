"""Pauses: an operator stops a side or the changes of one field, and resumes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from wanesync.core.change_guard import HoldKind, HoldState, field_source
from wanesync.core.errors import ConfigError
from wanesync.core.jobs import pause_code
from wanesync.core.model import Side
from wanesync.core.operating.operators import Operator
from wanesync.ops.holds import close_hold
from wanesync.store.database import Store, Tx
from wanesync.store.tables.settings import operator_pause

REASON = "paused by an operator (wanesync resume ends it)"


def pause_sides(store: Store, sides: Iterable[Side], operator: Operator) -> list[Side]:
    """Stop every request to some sides until they are resumed. Returns those that were not paused already."""

    def pause(tx: Tx) -> list[Side]:
        paused = tx.pauses.get_all()
        new = [side for side in sides if operator_pause(side) not in paused]
        for side in new:
            tx.pauses.set(operator_pause(side), REASON, away=False, probe_at_ms=0)
            tx.journal.add("paused", side, "", "", {}, operator=operator)
        for side in new:
            tx.audit.add(operator, "side.pause", str(side), {"paused": False}, {"paused": True})
        return new

    return store.run(pause)


def resume_sides(store: Store, sides: Iterable[Side], operator: Operator) -> list[Side]:
    """Resume those of some sides that an operator had paused, and return them. Automatic pauses end by themselves."""

    def resume(tx: Tx) -> list[Side]:
        paused = tx.pauses.get_all()
        found = [side for side in sides if operator_pause(side) in paused]
        for side in found:
            tx.pauses.clear(operator_pause(side))
            due = tx.jobs.make_due(pause_code(operator_pause(side)))
            tx.journal.add("resumed", side, "", "", {"jobs": due}, operator=operator)
        for side in found:
            tx.audit.add(operator, "side.resume", str(side), {"paused": True}, {"paused": False})
        return found

    return store.run(resume)


def pause_field(store: Store, name: str, known: Collection[str], operator: Operator) -> bool:
    """Hold back every change of a field from now on. Returns False where it was paused already.

    Raises ConfigError for a name that is not in ``known``, the configured fields.
    """
    if name not in known:
        raise _unknown_field(name, known)

    def pause(tx: Tx) -> bool:
        hold_id, new = tx.holds.open(field_source(name), HoldKind.FIELD)
        if new:
            tx.journal.add("paused", None, "", "", {"field": name, "hold": hold_id}, operator=operator)
            tx.audit.add(operator, "field.pause", name, {"paused": False}, {"paused": True, "hold": hold_id})
        return new

    return store.run(pause)


def resume_field(store: Store, name: str, known: Collection[str], operator: Operator) -> int | None:
    """Let the changes of a field through again. Returns the number of people queued, None where it was not paused.

    A field that is no longer configured can still be paused, and is resumed. Raises ConfigError for any other name that
    is not in ``known``, the configured fields.
    """
    with store.reading() as tx:
        rows = [row for row in tx.holds.all() if row.source == field_source(name) and row.state is HoldState.OPEN]
    if rows:
        return close_hold(store, rows[0], HoldState.RELEASED, operator)
    if name not in known:
        raise _unknown_field(name, known)
    return None


def _unknown_field(name: str, known: Collection[str]) -> ConfigError:
    return ConfigError([f"field {name}: there is no such field; there are {', '.join(sorted(known))}"])
