"""The field map of a database: which one its processes work with, and what happens when it changes.

docs/correctness.md#changes-of-the-field-map
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import structlog

from wanesync.core.errors import ConfigError, DecryptionFailed
from wanesync.core.field_generations import MapState, begin_generation, describe_change
from wanesync.core.fields import FieldMap
from wanesync.core.model import Conflict, PutBack, Side, is_unmapped
from wanesync.core.plan import Rules
from wanesync.store.session import PrivilegeDenied, TransactionConflict
from wanesync.store.tables.conflicts import KEPT_KINDS
from wanesync.store.tables.links import LinkMoved
from wanesync.store.tables.settings import FIELD_MAP, MAP_GENERATION, time_stamp_name
from wanesync.sync import plan_effects

if TYPE_CHECKING:
    from wanesync.config.model import Config
    from wanesync.store.database import Store, Tx

FORMER_MAP = (
    "other processes work with a newer field map, which replaced the one of this configuration: give this process the "
    "same [[field]] tables and the same version of wanesync; to go back to the earlier map, stop all processes first"
)
OTHER_MAP = (
    "the processes that run work with another field map than this configuration: restart them with it first (or stop "
    "them), then run this again"
)
MAP_OF_WORKERS = (
    "the database works with another field map than this configuration, and the database role of this process may not "
    "change it: start a worker with this configuration first"
)

log = structlog.get_logger()


def make_rules(config: Config, fields: FieldMap | None = None) -> Rules:
    """Return what a configuration says about planning."""
    return Rules(
        fields or FieldMap(config.specs),
        create_customers=config.create.customers == "all",
        create_contacts=config.create.contacts == "all",
        differ=config.first_contact.differ,
    )


class MapClaim(Enum):
    """What a program does where its map is not the one the database works with."""

    NONE = "none"
    """Nothing: it plans nothing and stores no copies."""
    IF_FREE = "if_free"
    """It changes the map unless another process works with the stored one: for commands that end."""
    TAKE_OVER = "take_over"
    """It changes the map, and the processes with the earlier one stop: for programs that keep running."""


def claim_field_map(store: Store, fields: FieldMap, claim: MapClaim) -> None:
    """Let this program work with a field map on the database. Raises ``ConfigError`` if it may not.

    Of the database roles only those of workers and operators may change it.
    """
    if claim is MapClaim.NONE:
        return
    state = store.read(_read)
    if state is None or state.version != fields.version:
        try:
            state = store.run(lambda tx: _change(tx, fields, claim))
        except PrivilegeDenied as error:
            raise ConfigError([MAP_OF_WORKERS]) from error
    store.use_fields(state.generations)


def _read(tx: Tx) -> MapState | None:
    text = tx.settings.get(FIELD_MAP)
    return MapState.unpack(text) if text else None


def _change(tx: Tx, fields: FieldMap, claim: MapClaim) -> MapState:
    """Begin a generation of the map, unless another process has done that already. Raises ``ConfigError``."""
    before = _read(tx)
    if before is not None and before.version == fields.version:
        return before
    if before is not None and tx.processes.count_on_map(before.generation):
        if claim is MapClaim.IF_FREE:
            raise ConfigError([OTHER_MAP])
        if fields.version in before.former:
            raise ConfigError([FORMER_MAP])
    after = begin_generation(before, fields)
    generation = tx.settings.add(MAP_GENERATION, "0")
    if generation != str(after.generation - 1) or not tx.settings.swap(
        MAP_GENERATION, generation, str(after.generation)
    ):
        raise TransactionConflict("another process changed the field map at the same moment")
    tx.settings.put(FIELD_MAP, after.pack())
    if before is not None:
        _begin(tx, before, after)
        _keep_buried(tx, after, fields)
    return after


def _begin(tx: Tx, before: MapState, after: MapState) -> None:
    """Carry a change of map out: end the leases of other processes, drop what it makes void, read what they missed."""
    redefined = {name for name, state in after.fields.items() if state.since == after.generation}
    removed = before.fields.keys() - after.fields.keys()
    tx.holds.drop_fields(sorted(redefined | removed))
    closed = tx.conflicts.close_fields(sorted(removed))
    # What differs now is found anew; the values that differed are perhaps those of another property.
    closed += tx.conflicts.close_fields(sorted(redefined & (before.fields.keys())), KEPT_KINDS)
    tx.processes.remove_on_other_maps(after.generation)
    for side in Side:
        # A web process with the earlier map may have ignored an event until this moment: catch up at once.
        tx.settings.put(time_stamp_name(side), "0")
    changed = describe_change(before, after)
    tx.journal.add(
        "field map", Side.HUBSPOT, "", "", {"generation": after.generation, "changed": changed, "closed": closed}
    )
    log.warning("field map changed", generation=after.generation, changed=changed)


def _keep_buried(tx: Tx, after: MapState, fields: FieldMap) -> None:
    """Keep as conflicts what links were to put back into fields that are gone or defined anew.

    It has lost already: nothing else remembers it. What no field held, and one holds now, is kept under that field.
    """
    held = {name for name, state in after.fields.items() if state.since < after.generation}
    places = {spec.stripe[0]: spec.name for spec in fields.specs}
    for link in tx.links.with_put_back():
        left = {name: back for name, back in link.put_back.items() if name not in held}
        left = {name: back for name, back in left.items() if not is_unmapped(name) or name in places}
        if not left:
            continue
        for name, back in left.items():
            if not back.decided and not _stands(tx, link.ids[back.side], name, back):
                conflict = Conflict(back.side, link.ids[back.side], places.get(name, name), back.value, "overwritten")
                tx.conflicts.put(conflict, link.id)
                plan_effects.note_conflict(tx, conflict, link.id)
        rest = {name: back for name, back in link.put_back.items() if name not in left}
        try:
            tx.links.change_put_back(link._replace(version=link.version + 1, put_back=rest))
        except LinkMoved as error:
            raise TransactionConflict(str(error)) from error


def _stands(tx: Tx, record_id: str, name: str, back: PutBack) -> bool:
    """Whether a buried value stands again, or its record is gone."""
    try:
        stored = tx.records.get(back.side, record_id)
    except DecryptionFailed:
        return False
    if stored is None or not stored.alive:
        return True
    values = stored.record.carry if is_unmapped(name) else stored.record.values
    return values.get(name) == back.value
