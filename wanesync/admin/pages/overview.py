"""The overview: the first page after the log-in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from wanesync.admin.rendering import NavEntry, render
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import Services
from wanesync.ops.writes import read_writes

router = APIRouter(include_in_schema=False)
NAV = NavEntry("/", "Overview", 10)


@router.get("/")
def show(request: Request, services: Services, visitor: Annotated[Visitor, require(Permission.SEE)]) -> Response:
    """The first page."""
    return render(request, "overview/page.html", writes=read_writes(services.store), name=visitor.name)
