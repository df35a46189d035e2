"""``/api/v1/limits``: the request limits; what is configured, in effect and used, and how they are changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Path
from pydantic import Field

from wanesync.admin.api.models import ApiModel, Page
from wanesync.admin.api.routes import make_router
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import Services
from wanesync.core.errors import NotAllowed, NotFound
from wanesync.core.rate_limits import VENDOR_ALLOWANCES, LimitUnit
from wanesync.ops.limits import change_limit, reset_limit
from wanesync.ops.steering import LimitSummary, summarize_limits

router = make_router("limits")
Scope = Annotated[str, Path(max_length=64, description=f"One of {', '.join(VENDOR_ALLOWANCES)}.", examples=["stripe"])]


class RequestLimit(ApiModel):
    """A request limit. Numbers are in its unit; null where there is none."""

    scope: str = Field(examples=["stripe"])
    unit: LimitUnit
    configured: float | None = Field(description="As set by an operator or the configuration file.")
    effective: float | None = Field(description="What is used now: refusals lower it for a while.")
    filed: float | None = Field(description="The value in the configuration file.")
    used: float = Field(description="Requests a second, a mean over 10 s; of a quota, requests in its period.")
    of: float | None = Field(description="How many requests a quota allows in its period.")
    why: str = Field(description="Why less is in effect than configured.")
    lowered_for_s: float = Field(description="Seconds since the last refusal; 0 where it is not lowered.")
    is_set_by_operator: bool
    allowed: str = Field(description="What HubSpot or Stripe publish, in words.")


class LimitChange(ApiModel):
    """A new value. Above what a vendor publishes it needs `force`, and a token of the role admin."""

    value: str = Field(
        max_length=64, description="As in `wanesync limits set`: `12/s`, `50%`, `10000`.", examples=["12/s"]
    )
    force: bool = Field(default=False, description="The second confirmation.")


class LimitChanged(ApiModel):
    """A limit after a change."""

    limit: RequestLimit
    changed: bool = Field(description="Whether this request changed it.")
    warning: str = Field(default="", description="Why it may be more than is allowed.")


@router.get("/limits", summary="List the request limits")
def show_limits(_visitor: Annotated[Visitor, require(Permission.SEE)], services: Services) -> Page[RequestLimit]:
    """Every limit there can be, those without a value among them. They are never many."""
    return Page(items=[RequestLimit.model_validate(limit) for limit in _read(services)])


@router.get("/limits/{scope}", summary="One request limit")
def show_limit(_visitor: Annotated[Visitor, require(Permission.SEE)], services: Services, scope: Scope) -> RequestLimit:
    """One limit: configured, in effect and used."""
    return _find(services, scope)


@router.put("/limits/{scope}", summary="Change a request limit")
def set_limit(
    visitor: Annotated[Visitor, require(Permission.CHANGE_LIMITS)],
    services: Services,
    scope: Scope,
    wanted: LimitChange,
) -> LimitChanged:
    """Set a limit; it acts in every process within two seconds."""
    if wanted.force and not visitor.may(Permission.EXCEED_LIMITS):
        raise NotAllowed(f"the role {visitor.role} has no permission to exceed limits: ask an admin")
    _find(services, scope)
    changed = change_limit(services.store, scope, wanted.value, visitor.operator, force=wanted.force)
    return LimitChanged(limit=_find(services, scope), changed=changed.new, warning=changed.warning)


@router.delete("/limits/{scope}", summary="Return a request limit to the configuration file")
def drop_limit(
    visitor: Annotated[Visitor, require(Permission.CHANGE_LIMITS)], services: Services, scope: Scope
) -> LimitChanged:
    """Take back what an operator set; without a value in the file, the scope has no limit of its own."""
    before = _find(services, scope)
    reset_limit(services.store, scope, visitor.operator)
    after = _find(services, scope)
    return LimitChanged(limit=after, changed=before.configured != after.configured)


def _read(services: Services) -> Sequence[LimitSummary]:
    return services.store.read(summarize_limits)


def _find(services: Services, scope: str) -> RequestLimit:
    found = next((limit for limit in _read(services) if limit.scope == scope), None)
    if found is None:
        raise NotFound(f"there is no such limit: one of {', '.join(VENDOR_ALLOWANCES)}")
    return RequestLimit.model_validate(found)
