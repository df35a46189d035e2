"""``/api/v1/pauses`` and ``/api/v1/writes``: what is stopped, by which operator, and the switches that stop it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import Path
from pydantic import Field

from wanesync.admin.api.models import ApiModel, Page
from wanesync.admin.api.routes import make_router
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import Services
from wanesync.core.model import Side
from wanesync.ops.pauses import pause_field, pause_sides, resume_field, resume_sides
from wanesync.ops.writes import OFF, ON, read_writes, switch_writes

router = make_router("pauses")
FieldName = Annotated[str, Path(max_length=100, description="The name of a field of the configuration.")]


class Switch(StrEnum):
    """Whether changes are sent to HubSpot and Stripe."""

    ON = ON
    OFF = OFF


class Pause(ApiModel):
    """A side or an operation to which no request is sent."""

    name: str = Field(
        description="`stripe`, `hubspot`, or an operation; `operator:` before a side an operator stopped."
    )
    reason: str
    away: bool = Field(description="Whether it was found unreachable, so that it ends by itself.")
    since_ms: int


class SideState(ApiModel):
    """Whether an operator has stopped a side."""

    side: Side
    paused: bool
    changed: bool = Field(description="Whether this request changed it.")


class FieldState(ApiModel):
    """Whether an operator has stopped the changes of a field."""

    field: str
    paused: bool
    changed: bool = Field(description="Whether this request changed it.")
    people: int = Field(description="People whose held values are written now.")


class Writes(ApiModel):
    """The writes switch: while it is off, everything runs, and what would be written is logged."""

    writes: Switch


class WritesChanged(Writes):
    """The writes switch, and the jobs that waited for it."""

    woken: int = Field(description="Jobs that waited for it and can go on.")


@router.get("/pauses", summary="List pauses")
def show_pauses(_visitor: Annotated[Visitor, require(Permission.SEE)], services: Services) -> Page[Pause]:
    """Sides and operations that are paused, by an operator or because they cannot be reached. Fields are holds."""
    found = services.store.read(lambda tx: tx.pauses.get_all())
    return Page(items=[Pause.model_validate(row) for _, row in sorted(found.items())])


@router.post("/sides/{side}/pause", summary="Stop a side")
def pause_side(visitor: Annotated[Visitor, require(Permission.PAUSE)], services: Services, side: Side) -> SideState:
    """Send no request to a side until it is resumed; what arrives is kept."""
    changed = pause_sides(services.store, [side], visitor.operator)
    return SideState(side=side, paused=True, changed=bool(changed))


@router.post("/sides/{side}/resume", summary="Resume a side")
def resume_side(visitor: Annotated[Visitor, require(Permission.PAUSE)], services: Services, side: Side) -> SideState:
    """End what an operator stopped. A side that cannot be reached is resumed by itself."""
    changed = resume_sides(services.store, [side], visitor.operator)
    return SideState(side=side, paused=False, changed=bool(changed))


@router.post("/fields/{field}/pause", summary="Stop the changes of a field")
def stop_field(
    visitor: Annotated[Visitor, require(Permission.PAUSE)], services: Services, field: FieldName
) -> FieldState:
    """Hold back every change of a field, on both sides."""
    changed = pause_field(services.store, field, _known(services), visitor.operator)
    return FieldState(field=field, paused=True, changed=changed, people=0)


@router.post("/fields/{field}/resume", summary="Resume the changes of a field")
def free_field(
    visitor: Annotated[Visitor, require(Permission.PAUSE)], services: Services, field: FieldName
) -> FieldState:
    """Let the changes of a field through again, those that were held first."""
    people = resume_field(services.store, field, _known(services), visitor.operator)
    return FieldState(field=field, paused=False, changed=people is not None, people=people or 0)


@router.get("/writes", summary="The writes switch")
def show_writes(_visitor: Annotated[Visitor, require(Permission.SEE)], services: Services) -> Writes:
    """Whether changes are sent to HubSpot and Stripe."""
    return Writes(writes=Switch(read_writes(services.store)))


@router.post("/writes", summary="Set the writes switch")
def change_writes(
    visitor: Annotated[Visitor, require(Permission.WRITES)], services: Services, wanted: Writes
) -> WritesChanged:
    """Allow or forbid writes in every process, from its next transaction on."""
    woken = switch_writes(services.store, visitor.operator, on=wanted.writes is Switch.ON)
    return WritesChanged(writes=wanted.writes, woken=woken)


def _known(services: Services) -> set[str]:
    """Return the names of the configured fields."""
    return {spec.name for spec in services.config.specs}
