"""``/api/v1/conflicts``: values that did not win; lists with filters, one conflict, settling one or many."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field

from wanesync.admin.api.cursors import PagingQuery, decode_cursor, encode_cursor
from wanesync.admin.api.models import ApiModel, Page
from wanesync.admin.api.routes import NOT_KEYED, make_router
from wanesync.admin.personal_values import ValueFormatter
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import Services
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.ops.people.conflicts import ConflictEntry, Pick, read_conflict, read_page
from wanesync.ops.people.reveals import note_reveal
from wanesync.ops.people.settle_conflicts import Choice, check_choice, check_count, select_conflicts
from wanesync.store.tables.conflicts import NEWEST, ConflictFilter, KindGroup

router = make_router("conflicts")
MAX_SETTLED = 500
"""Fields of people settled by one request (our choice): a few seconds."""
Seer = Annotated[Visitor, require(Permission.SEE)]
Text = Annotated[str, Query(max_length=255)]
ConflictId = Annotated[str, Path(max_length=64, description="The id of an open conflict.")]


class KeptValue(ApiModel):
    """One open conflict: a value that did not win."""

    id: str
    at_ms: int
    side: Side
    record_id: str
    kind: str = Field(description="Why it is kept, such as `differ`, `policy` or `overwritten`.")
    value: str


class Option(ApiModel):
    """What may be chosen. `why_not` is empty where it can be chosen."""

    choose: Pick
    value: str
    why_not: str
    conflict_id: str = Field(description="Of a kept value.")


class FieldConflict(ApiModel):
    """The open conflicts of one field of one person; values are masked, unless they were revealed."""

    field: str
    contact_id: str
    customer_id: str
    hubspot: str = Field(description="What HubSpot holds now.")
    stripe: str = Field(description="What Stripe holds now.")
    agree: bool
    conflicts: list[KeptValue]
    options: list[Option]


class SettleRequest(ApiModel):
    """Which conflicts are settled, and how: those of the ids, or all that match the filters."""

    choose: Pick
    value: str = Field(default="", max_length=5_000, description="With `value`: the value that is right.")
    conflict_id: str = Field(default="", max_length=64, description="With `kept`: the one value that is right.")
    ids: list[Annotated[str, Field(max_length=255)]] = Field(
        default_factory=list, max_length=MAX_SETTLED, description="Of conflicts, contacts, customers or links."
    )
    side: Side | None = None
    field: str = Field(default="", max_length=255)
    kind: str = Field(default="", max_length=255)
    only: KindGroup | None = None
    confirm: int | None = Field(
        default=None, ge=0, description="The number of conflicts that a dry run showed (`selected`)."
    )
    dry_run: bool = False


class Left(ApiModel):
    """A conflict that was not settled, and why."""

    conflict_id: str
    reason: str


class SettleResult(ApiModel):
    """What was settled, or would be."""

    selected: int = Field(description="Conflicts that were selected: `confirm` of the request that settles them.")
    settled: int
    fields: int
    people: int
    cleared: int = Field(description="Values that are cleared, because the side that is right has none.")
    jobs: int
    left: list[Left]
    dry_run: bool


@router.get("/conflicts", summary="List conflicts")
def show_conflicts(
    _visitor: Seer,
    services: Services,
    paging: PagingQuery,
    side: Annotated[Side | None, Query()] = None,
    field: Text = "",
    kind: Text = "",
    only: Annotated[KindGroup | None, Query(description="standing: the sides differ; kept: a value lost.")] = None,
    person: Annotated[str, Query(max_length=255, description="Id of a contact or customer.")] = "",
) -> Page[FieldConflict]:
    """Open conflicts by field and person, the newest first; `limit` counts conflicts."""
    wanted = ConflictFilter(side, field, kind, only, (person,) if person else ())
    listing = f"conflicts/{side or ''}/{field}/{kind}/{only or ''}/{person}"
    position = decode_cursor(services.store, listing, paging.cursor)
    before = (int(position[0]), str(position[1])) if position else NEWEST
    page = read_page(services.store, services.rules.fields, wanted, paging.limit, before)
    values = ValueFormatter.of(services.rules.fields)
    return Page(
        items=[_describe(entry, values) for entry in page.entries],
        next=encode_cursor(services.store, listing, page.next) if page.next else None,
    )


@router.get("/conflicts/{conflict_id}", summary="Show a conflict")
def show_conflict(_visitor: Seer, services: Services, conflict_id: ConflictId) -> FieldConflict:
    """One conflict with all others of its person and field, and what may be chosen."""
    entry = read_conflict(services.store, services.rules.fields, conflict_id)
    return _describe(entry, ValueFormatter.of(services.rules.fields))


@router.post("/conflicts/{conflict_id}/reveal", summary="Show a conflict in plain", openapi_extra={NOT_KEYED: True})
def reveal_conflict(
    visitor: Annotated[Visitor, require(Permission.REVEAL)], services: Services, conflict_id: ConflictId
) -> FieldConflict:
    """The same with values in plain; noted in the audit log."""
    entry = read_conflict(services.store, services.rules.fields, conflict_id)
    note_reveal(services.store, visitor.operator, conflict_id, "conflict")
    return _describe(entry, ValueFormatter.of(services.rules.fields, plain=True))


@router.post("/conflicts/settle", summary="Settle conflicts")
def settle_conflicts(
    visitor: Annotated[Visitor, require(Permission.RESOLVE)], services: Services, wanted: SettleRequest
) -> SettleResult:
    """Settle the conflicts of the ids, or all that match the filters; workers write the values.

    At most 500 fields of people by one request. Without ids `confirm` is needed: the number that a dry run showed.
    """
    filtered = ConflictFilter(wanted.side, wanted.field, wanted.kind, wanted.only, tuple(wanted.ids))
    choice = Choice(wanted.choose, wanted.value, wanted.conflict_id)
    check_choice(choice)
    if filtered.is_empty:
        raise ConfigError(["name ids, or a filter: an empty one would settle every conflict"])
    if not (wanted.ids or wanted.dry_run) and wanted.confirm is None:
        raise ConfigError(["confirm: with filters the number of a dry run is needed (selected)"])
    selection = select_conflicts(services.store, services.rules.fields, filtered, MAX_SETTLED)
    settler = services.decisions.make_settler(visitor.operator)
    if wanted.confirm is not None and not wanted.dry_run:
        check_count(selection, wanted.confirm)
    done = settler.preview(selection, choice) if wanted.dry_run else settler.settle(selection, choice)
    return SettleResult(
        selected=selection.conflicts,
        settled=done.conflicts,
        fields=done.fields,
        people=done.people,
        cleared=done.cleared,
        jobs=done.jobs,
        left=[Left(conflict_id=conflict_id, reason=why) for conflict_id, why in done.left],
        dry_run=wanted.dry_run,
    )


def _describe(entry: ConflictEntry, values: ValueFormatter) -> FieldConflict:
    return FieldConflict(
        field=entry.field,
        contact_id=entry.contact_id,
        customer_id=entry.customer_id,
        hubspot=values.show(entry.field, entry.hubspot),
        stripe=values.show(entry.field, entry.stripe),
        agree=entry.agree,
        conflicts=[
            KeptValue(
                id=row.id,
                at_ms=row.at_ms,
                side=row.conflict.side,
                record_id=row.conflict.record_id,
                kind=row.conflict.kind,
                value=values.show(entry.field, row.conflict.value),
            )
            for row in entry.rows
        ],
        options=[
            Option(
                choose=one.pick,
                value=values.show(entry.field, one.value),
                why_not=one.why_not,
                conflict_id=one.conflict_id,
            )
            for one in entry.options
        ],
    )
