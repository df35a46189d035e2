"""The exact bodies of own writes: made once, stored, and sent as they are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping

from wanesync.core.jobs import Job
from wanesync.core.model import PendingWrite, Side, WriteKind
from wanesync.core.plan import Action, PlanContext
from wanesync.store.database import Tx
from wanesync.sync.run_property import find_mark
from wanesync.sync.runtime import Runtime

# The properties and metadata keys that carry our ids.
CUSTOMER_ID_PROPERTY = "stripe_customer_id"
INTENT_PROPERTY = "wanesync_intent"
CONTACT_ID_KEY = "hubspot_contact_id"
PORTAL_ID_KEY = "hubspot_portal_id"


def compose(runtime: Runtime, tx: Tx, job: Job, context: PlanContext, action: Action) -> PendingWrite:
    """An action as an own write: id, idempotency key or intent id, body, what each field goes from and to."""
    own_id = runtime.new_id(tx.now_ms)
    generation = context.generation if action.kind is WriteKind.CREATE else 0
    if action.side is Side.STRIPE:
        key, body = _stripe(runtime, context, action, own_id, generation)
    else:
        key, body = _hubspot(runtime, context, action, own_id)
        if action.kind is WriteKind.CREATE and job.run_id:
            body = {**find_mark(tx, job.run_id), **body}
    return PendingWrite(
        id=own_id,
        side=action.side,
        kind=action.kind,
        link_key=job.key,
        source_id=action.source_id,
        target_id=action.target_id,
        idempotency_key=key,
        body=json.dumps(body, ensure_ascii=False, sort_keys=True),
        changes=action.changes,
        hmacs=action.hmacs,
        link_id=action.link_id,
        generation=generation,
    )


def properties_of(pending: PendingWrite) -> Mapping[str, str]:
    """The raw properties of a stored contact write."""
    body: dict[str, str] = json.loads(pending.body)
    return body


def _stripe(
    runtime: Runtime, context: PlanContext, action: Action, own_id: str, generation: int
) -> tuple[str, Mapping[str, object]]:
    create = action.kind is WriteKind.CREATE
    values = _values(action, blanks=not create)
    target = context.find(Side.STRIPE, action.target_id)
    body = dict(runtime.translator.customer_params(values, target.record if target else None))
    portal = runtime.options.portal_id
    if create or (target is not None and target.record.other_id != action.source_id):
        metadata = body.get("metadata")
        ids = {CONTACT_ID_KEY: action.source_id, PORTAL_ID_KEY: portal}
        body["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), **ids}
    key = f"wane-c-{portal}-{action.source_id}-{generation}" if create else f"wane-u-{action.target_id}-{own_id}"
    return key, body


def _hubspot(runtime: Runtime, context: PlanContext, action: Action, own_id: str) -> tuple[str, Mapping[str, object]]:
    create = action.kind is WriteKind.CREATE
    body = dict(runtime.translator.contact_properties(_values(action, blanks=not create)))
    target = context.find(Side.HUBSPOT, action.target_id)
    # The property is unique: an id that another contact carries would have the whole write refused.
    taken = any(
        s.side is Side.HUBSPOT and s.alive and s.id != action.target_id and s.record.other_id == action.source_id
        for s in context.records.values()
    )
    if create or (target is not None and target.record.other_id != action.source_id and not taken):
        body[CUSTOMER_ID_PROPERTY] = action.source_id
    if create:
        body[INTENT_PROPERTY] = own_id
    return own_id, body


def _values(action: Action, *, blanks: bool) -> dict[str, str]:
    return {name: change.after for name, change in action.changes.items() if change.after or blanks}
