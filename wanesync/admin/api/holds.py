"""``/api/v1/holds``: what the change guard keeps back; release and discard."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field

from wanesync.admin.api.cursors import PagingQuery, decode_cursor, encode_cursor
from wanesync.admin.api.models import ApiModel, Page
from wanesync.admin.api.routes import make_router
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import Services
from wanesync.core.change_guard import HoldKind, HoldState, show_source
from wanesync.core.model import Side
from wanesync.ops.holds import HoldListing, choose_holds, close_holds, describe_hold, list_holds, read_held
from wanesync.store.tables.holds import HeldRow

router = make_router("holds")
HoldId = Annotated[str, Path(max_length=64, description="The id of a hold, or `all`.")]
_START = ("", "")


class Hold(ApiModel):
    """A hold: a source whose changes are kept back, and how many."""

    id: str = Field(examples=["01k0hold"])
    source: str = Field(description="What is stopped, such as an import; addresses of users are masked.")
    title: str = Field(description="The source in words.")
    kind: HoldKind
    state: HoldState
    for_s: float = Field(description="Its age in seconds.")
    people: int
    fields: int


class HeldValue(ApiModel):
    """A change of one field of one person that is kept back; values are masked."""

    link_id: str
    contact_id: str
    customer_id: str
    field: str
    side: Side = Field(description="Where the value was set.")
    value: str = Field(description="The value that is held, masked.")
    other_value: str = Field(description="What the other side has instead, masked.")
    at_ms: int = Field(description="When it was held, milliseconds since 1970.")


class Closed(ApiModel):
    """What was released or discarded, or would be."""

    state: HoldState
    holds: int
    people: int
    fields: int
    dry_run: bool


DryRun = Annotated[bool, Query(description="Only count.")]


@router.get("/holds", summary="List holds")
def show_holds(_visitor: Annotated[Visitor, require(Permission.SEE)], services: Services) -> Page[Hold]:
    """Open holds, and closed ones whose values still wait for a worker; the oldest first. They are never many."""
    return Page(items=[_describe(one) for one in list_holds(services.store, 0)])


@router.get("/holds/{hold_id}/values", summary="List the changes a hold keeps back")
def show_held(
    visitor: Annotated[Visitor, require(Permission.SEE)], services: Services, hold_id: HoldId, paging: PagingQuery
) -> Page[HeldValue]:
    """The held changes, ordered by link and field; their values are masked."""
    listing = f"holds/{hold_id}/values"
    after = decode_cursor(services.store, listing, paging.cursor)
    rows = read_held(services.store, hold_id, (str(after[0]), str(after[1])) if after else _START, paging.limit + 1)
    shown = rows[: paging.limit]
    following = (
        encode_cursor(services.store, listing, (shown[-1].link_id, shown[-1].field)) if rows[paging.limit :] else None
    )
    return Page(items=[_mask(visitor, row) for row in shown], next=following)


@router.post("/holds/{hold_id}/release", summary="Release a hold")
def release_hold(
    visitor: Annotated[Visitor, require(Permission.HOLDS)], services: Services, hold_id: HoldId, dry_run: DryRun = False
) -> Closed:
    """Write the held values: workers do it, after everything else."""
    return _close(visitor, services, hold_id, HoldState.RELEASED, dry_run=dry_run)


@router.post("/holds/{hold_id}/discard", summary="Discard a hold")
def discard_hold(
    visitor: Annotated[Visitor, require(Permission.HOLDS)], services: Services, hold_id: HoldId, dry_run: DryRun = False
) -> Closed:
    """Leave both sides as they are: nothing held is written, and each value is kept as a conflict."""
    return _close(visitor, services, hold_id, HoldState.DISCARDED, dry_run=dry_run)


def _close(visitor: Visitor, services: Services, which: str, state: HoldState, *, dry_run: bool) -> Closed:
    chosen = choose_holds(services.store, which, state)
    people = sum(row.people for row in chosen)
    if not dry_run:
        people = close_holds(services.store, chosen, state, visitor.operator)
    fields = sum(row.fields for row in chosen)
    return Closed(state=state, holds=len(chosen), people=people, fields=fields, dry_run=dry_run)


def _describe(one: HoldListing) -> Hold:
    hold = one.hold
    return Hold(
        id=hold.id,
        source=show_source(hold.source),
        title=describe_hold(hold),
        kind=hold.kind,
        state=hold.state,
        for_s=round(one.age_ms / 1000, 1),
        people=hold.people,
        fields=hold.fields,
    )


def _mask(visitor: Visitor, row: HeldRow) -> HeldValue:
    return HeldValue(
        link_id=row.link_id,
        contact_id=row.hubspot_id,
        customer_id=row.stripe_id,
        field=row.field,
        side=row.held.side,
        value=visitor.mask(row.field, row.held.value),
        other_value=visitor.mask(row.field, row.held.before),
        at_ms=row.at_ms,
    )
