"""Refused fields: what a side refuses of a write is left out and parked, the rest is sent (#parked-fields).

A refusal that names no field is narrowed down: an update to half of its fields at a time, a creation to its e-mail
address, after which the other fields follow as an update.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace

from wanesync.core.errors import CallError, Failure
from wanesync.core.ids import CONTACT_ID_KEY, CUSTOMER_ID_PROPERTY, INTENT_PROPERTY, PORTAL_ID_KEY
from wanesync.core.jobs import WaitCode
from wanesync.core.model import Change, Parked, ParkReason, PendingWrite, Side, WriteKind, WriteResult
from wanesync.core.setup.portal_checks import FieldDefinitions, unpack_definitions
from wanesync.store.database import Tx
from wanesync.store.tables.settings import DEFINITIONS
from wanesync.sync import plan_effects
from wanesync.sync.calls import Intent, Next, SendWrites
from wanesync.sync.job_results import reschedule, wait_turn
from wanesync.sync.runtime import Runtime

EMAIL = "email"
METADATA = "metadata"
DEFINITION_REASONS = frozenset({ParkReason.UNKNOWN_PROPERTY, ParkReason.READ_ONLY})
"""Refusals of a property as such, whatever its value: a check of the account shows the same, or that it is over."""
OUR_IDS = {Side.HUBSPOT: CUSTOMER_ID_PROPERTY, Side.STRIPE: CONTACT_ID_KEY}
"""Side -> the name under which our ids on its records are parked."""


def leave_out(runtime: Runtime, tx: Tx, intent: Intent, error: CallError) -> Next | None:
    """Leave out what was refused of a write, and send the rest; None: nothing can be left out.

    Our own ids go before a person's fields. docs/correctness.md#parked-fields
    """
    pending = intent.pending
    sent = {name for name, change in pending.changes.items() if _is_sent(pending, change)}
    named = _find_named(runtime, pending, error) & sent
    if _carries_ids(pending) and _are_ids_refused(pending, error, sent, named):
        return _send_without_ids(runtime, tx, intent, error)
    if pending.kind is WriteKind.UPDATE:
        return _narrow_update(runtime, tx, intent, error, sent, named)
    return _narrow_create(runtime, tx, intent, error, sent, named)


def _narrow_update(  # noqa: PLR0913, PLR0917 - the caller needs what was sent and what was named as well
    runtime: Runtime, tx: Tx, intent: Intent, error: CallError, sent: Collection[str], named: Collection[str]
) -> Next | None:
    if named or len(sent) == 1:
        if not named and _carries_ids(intent.pending):
            return _send_without_ids(runtime, tx, intent, error)
        return _park(tx, intent, named or sent, error)
    return _send_part(runtime, tx, intent, sorted(sent)[: len(sent) // 2]) if sent else None


def _narrow_create(  # noqa: PLR0913, PLR0917 - as _narrow_update
    runtime: Runtime, tx: Tx, intent: Intent, error: CallError, sent: Collection[str], named: Collection[str]
) -> Next | None:
    pending = intent.pending
    if EMAIL in named or set(sent) <= {EMAIL}:
        return None
    if not named:
        return _send_part(runtime, tx, intent, [EMAIL])
    parked = {
        name: Parked(pending.side, pending.changes[name].after, _reason(error, name), tx.now_ms)
        for name in sorted(named)
    }
    _doubt_definitions(tx, parked)
    rest = {name: change for name, change in pending.changes.items() if name not in named}
    return _send_again(tx, intent, _compose(runtime, tx, pending, rest, {**pending.left_out, **parked}))


def _is_sent(pending: PendingWrite, change: Change) -> bool:
    return bool(change.after) or pending.kind is WriteKind.UPDATE


def _find_named(runtime: Runtime, pending: PendingWrite, error: CallError) -> set[str]:
    """Return the fields an error names; one that names Stripe's metadata as a whole means the keys that are added."""
    named = set(error.fields)
    if pending.side is Side.STRIPE and METADATA in named:
        keys = {spec.name for spec in runtime.rules.fields.specs if spec.stripe[0].startswith(f"{METADATA}.")}
        named |= {name for name in keys & pending.changes.keys() if not pending.changes[name].before}
    return named


def _carries_ids(pending: PendingWrite) -> bool:
    """Return whether a write carries our ids and can do without: a contact is found again by its intent."""
    body = json.loads(pending.body)
    if pending.side is Side.STRIPE:
        return CONTACT_ID_KEY in (body.get(METADATA) or {})
    return CUSTOMER_ID_PROPERTY in body


def _are_ids_refused(pending: PendingWrite, error: CallError, sent: Collection[str], named: Collection[str]) -> bool:
    ours = {CUSTOMER_ID_PROPERTY} if pending.side is Side.HUBSPOT else {METADATA, *_metadata_names()}
    return not ours.isdisjoint(error.fields) or (not sent and not named)


def _metadata_names() -> set[str]:
    return {f"{METADATA}[{key}]" for key in (CONTACT_ID_KEY, PORTAL_ID_KEY)} | {CONTACT_ID_KEY, PORTAL_ID_KEY}


def _reason(error: CallError, name: str) -> ParkReason:
    if error.failure is Failure.CONFLICT:
        return ParkReason.TAKEN
    return error.reasons.get(name) or next(iter(error.reasons.values()), ParkReason.INVALID)


def _send_without_ids(runtime: Runtime, tx: Tx, intent: Intent, error: CallError) -> Next:
    """Send a write without our ids, and remember on the link that they have no place there."""
    pending = intent.pending
    name = OUR_IDS[pending.side]
    parked = {name: Parked(pending.side, pending.source_id, _reason(error, METADATA), tx.now_ms)}
    link = tx.links.get(pending.link_id) if pending.link_id else None
    if link is not None:
        plan_effects.park(tx, link, pending.target_id, parked)
    left_out = pending.left_out if link is not None else {**pending.left_out, **parked}
    again = _compose(runtime, tx, pending, pending.changes, left_out, with_ids=False)
    return _send_again(tx, intent, again)


def _send_part(runtime: Runtime, tx: Tx, intent: Intent, names: Collection[str]) -> Next:
    """Send some fields only; the others are planned again once these are written."""
    changes = {name: change for name, change in intent.pending.changes.items() if name in names}
    create = intent.pending.kind is WriteKind.CREATE
    return _send_again(
        tx, intent, _compose(runtime, tx, intent.pending, changes, intent.pending.left_out, with_ids=create)
    )


def _park(tx: Tx, intent: Intent, names: Collection[str], error: CallError) -> Next | None:
    """Park fields of an update, and plan the others again."""
    pending, job = intent.pending, intent.job
    link = tx.links.get(pending.link_id)
    if link is None:
        return None
    tx.pending_writes.record_result(pending.id, WriteResult.REFUSED)
    changes, ids = pending.changes, link.parked.get(OUR_IDS[pending.side])
    if ids is not None and ids.reason is ParkReason.INVALID and not _carries_ids(pending):
        # They were suspected, but the field is refused without them as well.
        link = replace(link, parked={name: park for name, park in link.parked.items() if park is not ids})
    parked = {
        name: Parked(pending.side, changes[name].after, _reason(error, name), tx.now_ms) for name in sorted(names)
    }
    _doubt_definitions(tx, parked)
    plan_effects.park(tx, link, pending.target_id, parked)
    reschedule(tx, job, 0, WaitCode.NONE, "a field was parked")
    return []


def _doubt_definitions(tx: Tx, parked: Mapping[str, Parked]) -> None:
    """Note that a property was missing or read-only although the newest check of the account did not see that."""
    names = {name for name, park in parked.items() if park.side is Side.HUBSPOT and park.reason in DEFINITION_REASONS}
    if not names:
        return
    text, before = _read_definitions(tx)
    after = before.doubt(names, tx.now_ms)
    if after != before:
        tx.settings.change(DEFINITIONS, text, after.pack())


def _read_definitions(tx: Tx) -> tuple[str | None, FieldDefinitions]:
    """Read the definitions, also as they are stored."""
    text = tx.settings.get(DEFINITIONS)
    return text, unpack_definitions(text) if text else FieldDefinitions()


def _send_again(tx: Tx, intent: Intent, again: PendingWrite) -> Next:
    tx.pending_writes.record_result(intent.pending.id, WriteResult.REFUSED)
    if tx.pending_writes.put_many([again]):
        wait_turn(tx, intent.job, WaitCode.EMAIL_BEING_CREATED, "its e-mail is being created by another job")
        return []
    return [SendWrites([Intent(intent.job, again)])]


def _compose(  # noqa: PLR0913 - everything a write is made of
    runtime: Runtime,
    tx: Tx,
    pending: PendingWrite,
    changes: Mapping[str, Change],
    left_out: Mapping[str, Parked],
    *,
    with_ids: bool = True,
) -> PendingWrite:
    """A refused write with other fields: a new id and key, because nothing was carried out under the old one."""
    write_id = runtime.new_id(tx.now_ms)
    values = {name: change.after for name, change in changes.items() if _is_sent(pending, change)}
    create = pending.kind is WriteKind.CREATE
    generation = pending.generation + 1 if create else 0
    old = json.loads(pending.body)
    body: dict[str, object]
    if pending.side is Side.STRIPE:
        target = tx.records.get(Side.STRIPE, pending.target_id) if pending.target_id else None
        body = dict(runtime.translator.customer_params(values, target.record if target else None))
        ids = {key: (old.get(METADATA) or {}).get(key) for key in (CONTACT_ID_KEY, PORTAL_ID_KEY)}
        if with_ids and all(ids.values()):
            written = body.get(METADATA)
            body[METADATA] = {**(written if isinstance(written, dict) else {}), **ids}
        portal = runtime.options.portal_id
        key = (
            f"wane-c-{portal}-{pending.source_id}-{generation}" if create else f"wane-u-{pending.target_id}-{write_id}"
        )
    else:
        mapped = set(runtime.rules.fields.properties())
        kept = {name: value for name, value in old.items() if name not in mapped}
        if not with_ids:
            kept.pop(CUSTOMER_ID_PROPERTY, None)
        _, definitions = _read_definitions(tx)
        chosen = definitions.choose_options(runtime.rules.fields, values)
        body = {**kept, **runtime.translator.contact_properties(chosen)}
        if create:
            body[INTENT_PROPERTY] = write_id
        key = write_id
    return replace(
        pending,
        id=write_id,
        idempotency_key=key,
        body=json.dumps(body, ensure_ascii=False, sort_keys=True),
        changes=changes,
        sent_ms=0,
        result=None,
        generation=generation,
        authorship={},
        left_out=left_out,
    )
