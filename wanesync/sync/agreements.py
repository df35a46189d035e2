"""Agreements: conflicts close by themselves once both sides agree on the field again.

docs/correctness.md#closing-conflicts
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from wanesync.core.fields import part_equals
from wanesync.core.ids import OUR_IDS
from wanesync.core.model import Side
from wanesync.store.tables.conflicts import KEPT_KINDS

if TYPE_CHECKING:
    from wanesync.core.fields import FieldMap
    from wanesync.core.model import Link
    from wanesync.core.plan import Plan
    from wanesync.store.database import Tx
    from wanesync.store.tables.conflicts import ConflictRow

SWEEP_ROWS = 500
"""Open conflicts that one transaction of a sweep looks at."""


class Agreement(NamedTuple):
    """Both sides of a link agree on a field, by its base. ``before_ms``: later conflicts belong to that agreement."""

    link: Link
    field: str
    before_ms: int


def close_agreed(tx: Tx, fields: FieldMap, agreements: Sequence[Agreement]) -> None:
    """Close the conflicts that are older than an agreement, or whose value stands again, with a line in the journal."""
    of: dict[tuple[Side, str, str], Agreement] = {}
    for one in agreements:
        for side in Side:
            of[side, one.link.id_on(side), one.field] = one
    if not of:
        return
    closed: list[tuple[ConflictRow, Link]] = []
    for row in tx.conflicts.of_records({(side, record_id) for side, record_id, _ in of}):
        agreement = of.get((row.conflict.side, row.conflict.record_id, row.conflict.field.partition("/")[0]))
        if agreement is not None and _is_settled(row, agreement, fields):
            closed.append((row, agreement.link))
    _close(tx, closed)


def close_planned(tx: Tx, fields: FieldMap, plans: Sequence[Plan]) -> None:
    """Close the conflicts of fields in which plans found agreement. A value that was put back only closes itself."""
    found = [
        Agreement(plan.links[link_id], name, tx.now_ms if by_edits else 0)
        for plan in plans
        for link_id, name, by_edits in plan.agreed
        if link_id in plan.links
    ]
    close_agreed(tx, fields, found)


def sweep_agreed(tx: Tx, fields: FieldMap, after: str) -> str:
    """Close conflicts of fields that differed and agree by now; returns where the next sweep goes on, "" at the end."""
    rows = tx.conflicts.page(after, SWEEP_ROWS)
    links: dict[tuple[Side, str], list[Link]] = defaultdict(list)
    for link in tx.links.of_records({(row.conflict.side, row.conflict.record_id) for row in rows}):
        for side in Side:
            links[side, link.id_on(side)].append(link)
    closed = []
    for row in rows:
        conflict = row.conflict
        primary = [link for link in links[conflict.side, conflict.record_id] if link.primary]
        if conflict.kind not in KEPT_KINDS and primary and _agree(primary[0], conflict.field.partition("/")[0], fields):
            closed.append((row, primary[0]))
    _close(tx, closed)
    return rows[-1].id if len(rows) == SWEEP_ROWS else ""


def _agree(link: Link, name: str, fields: FieldMap) -> bool:
    spec, base_pair = fields.by_name.get(name), link.base.get(name)
    return spec is not None and base_pair is not None and name not in link.parked and spec.agree(*base_pair)


def _is_settled(row: ConflictRow, agreement: Agreement, fields: FieldMap) -> bool:
    if row.conflict.field in OUR_IDS:
        return row.conflict.kind == "parked"
    if not _agree(agreement.link, agreement.field, fields):
        return False
    if row.at_ms < agreement.before_ms:
        return True
    spec = fields.by_name[agreement.field]
    standing = agreement.link.base[agreement.field][0 if row.conflict.side is Side.HUBSPOT else 1]
    conflict = row.conflict
    return spec.key(conflict.value) == spec.key(standing) or part_equals(conflict.field, standing, conflict.value)


def _close(tx: Tx, closed: Sequence[tuple[ConflictRow, Link]]) -> None:
    tx.conflicts.close([row.id for row, _ in closed])
    for row, link in closed:
        conflict = row.conflict
        data = {"field": conflict.field, "kind": conflict.kind, "fields": {conflict.field: conflict.value}}
        tx.journal.add("conflict closed", conflict.side, conflict.record_id, link.id, data)
