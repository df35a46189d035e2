"""The change guard in live sync: changes of a source that overwrites too many people are held back before any write.

Creates and fills of blanks are not counted, nor what was released from a hold (docs/correctness.md#change-guard).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from wanesync.core.change_guard import (
    HoldKind,
    SourceCount,
    choose_allowed,
    count_direction_changes,
    loop_source,
    name_sources,
    show_source,
)
from wanesync.core.fields import FieldMap
from wanesync.core.jobs import Job
from wanesync.core.model import PendingWrite, Side, WriteKind
from wanesync.core.plan import Action, Plan, PlanContext
from wanesync.core.values.business_names import company_field
from wanesync.store.database import Tx
from wanesync.sync.runtime import Runtime

MAX_SOURCE_EVENT_AGE_MS = 2 * 86_400_000
"""How old the event may be that shows which source set a value: HubSpot retries webhooks for up to a day, an outage of
ours may add another."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Overwrite:
    """One field of an update that would replace or clear a value."""

    job: Job
    context: PlanContext
    action: Action
    field: str

    @property
    def spot(self) -> tuple[str, str]:
        """Link id and field."""
        return self.action.link_id, self.field


def find_overwrites(planned: Iterable[tuple[Job, PlanContext, Plan]], fields: FieldMap) -> list[Overwrite]:
    """What the plans of some jobs would overwrite in their own lane; what was released is not counted again."""
    found = []
    for job, context, plan in planned:
        action = plan.actions.get(job.lane)
        if action is None or plan.wait or action.kind is not WriteKind.UPDATE:
            continue
        for name, change in action.changes.items():
            if change.before in ("", change.after) or (action.side, action.target_id, name) in context.late:
                continue
            if not _is_released(context, action, name, fields):
                found.append(Overwrite(job, context, action, name))
    return found


def _is_released(context: PlanContext, action: Action, name: str, fields: FieldMap) -> bool:
    """Whether a value was released from a hold: its own, or, as a contact's company, that of its customer's name."""
    rows, source = context.held.get(action.link_id, {}), context.find(action.side.other, action.source_id)
    if name in rows and rows[name].frees(action.side.other, action.changes[name].source):
        return True
    for held_name, held in rows.items():
        company = company_field(fields, held_name) if held_name in fields.by_name else None
        if company is not None and company.name == name and source is not None:
            return held.frees(source.side, source.record.values.get(held_name, ""))
    return False


def stop_sources(runtime: Runtime, tx: Tx, wanted: Sequence[Overwrite]) -> set[str]:
    """Count overwrites against their sources and stop those that are too many.

    Marks what is stopped in the plan contexts; returns the ids of the jobs to plan again.
    """
    open_holds = {hold.source: hold.id for hold in tx.holds.list_open()[0]}
    looping = _find_loops(runtime, tx, wanted)
    by_source: dict[str, list[Overwrite]] = defaultdict(list)
    for one, source in _find_sources(tx, [o for o in wanted if o.spot not in looping]):
        by_source[source].append(one)
    stopped = [(one, _open(tx, loop_source(one.field), HoldKind.LOOP)) for one in wanted if one.spot in looping]
    # In order, or two processes that count the same sources would wait for one another.
    for source, ones in sorted(by_source.items()):
        refused = ones if source in open_holds else _count(runtime, tx, source, ones)
        if refused:
            hold_id = open_holds.get(source) or _open(tx, source, HoldKind.BRAKE)
            stopped += [(one, hold_id) for one in refused]
    for one, hold_id in stopped:
        one.context.stopped = {**one.context.stopped, one.spot: hold_id}
    return {one.job.id for one, _ in stopped}


def _count(runtime: Runtime, tx: Tx, source: str, ones: Sequence[Overwrite]) -> list[Overwrite]:
    """Count the people a source may still change; returns the overwrites of the others."""
    rule = runtime.options.change_guard
    people = [one.action.link_id for one in ones]
    total, known = tx.holds.count(source, tx.now_ms - rule.window_ms, people)
    allowed = choose_allowed(rule, SourceCount(known, total), people)
    tx.holds.record_overwrites(source, allowed)
    return [one for one in ones if one.action.link_id not in allowed]


def _open(tx: Tx, source: str, kind: HoldKind) -> str:
    hold_id, new = tx.holds.open(source, kind)
    if new:
        tx.journal.add("hold opened", None, "", "", {"hold": hold_id, "source": source, "kind": kind})
        log.warning("changes are held back", hold=hold_id, source=show_source(source), kind=kind)
    return hold_id


def _find_sources(tx: Tx, ones: Sequence[Overwrite]) -> list[tuple[Overwrite, str]]:
    """Each overwrite with its source. What reconcile found and no event shows was checked by its own guards."""
    fields: dict[str, set[str]] = defaultdict(set)
    for one in ones:
        if one.action.side is Side.STRIPE:
            fields[one.action.source_id].add(one.field)
    events = tx.events.newest_first(Side.HUBSPOT, sorted(fields), tx.now_ms - MAX_SOURCE_EVENT_AGE_MS) if fields else {}
    sources: dict[str, dict[str, str]] = {}
    found = []
    for one in ones:
        side, record_id = one.action.side.other, one.action.source_id
        stored = one.context.find(side, record_id)
        unknown = f"{side}:{one.field}"
        if side is Side.HUBSPOT and stored is not None and record_id not in sources:
            sources[record_id] = name_sources(stored, fields[record_id], events.get(record_id, ()))
        source = sources.get(record_id, {}).get(one.field, unknown)
        if source != unknown or not one.job.run_id:
            found.append((one, source))
    return found


def _find_loops(runtime: Runtime, tx: Tx, wanted: Sequence[Overwrite]) -> set[tuple[str, str]]:
    """Fields in an update loop between the two records of a link: formatters on both sides that never agree."""
    rule = runtime.options.change_guard
    since_ms = tx.now_ms - rule.window_ms
    lane = wanted[0].action.side
    targets = {one.action.target_id: one.action.source_id for one in wanted}
    often = tx.holds.frequently_written(lane, targets, since_ms, max(1, rule.max_direction_changes // 2))
    if not often:
        return set()
    recent: dict[Side, dict[str, list[PendingWrite]]] = {
        lane: tx.pending_writes.recent(lane, often, since_ms),
        lane.other: tx.pending_writes.recent(lane.other, [targets[target_id] for target_id in often], since_ms),
    }
    found = set()
    for one in wanted:
        writes = [
            *recent[lane].get(one.action.target_id, ()),
            *recent[lane.other].get(one.action.source_id, ()),
        ]
        if one.action.target_id in often and count_direction_changes(one.field, writes) > rule.max_direction_changes:
            found.add(one.spot)
    return found
