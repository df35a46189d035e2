"""``/api/v1/status``: the state of everything at one moment, as ``wanesync status --json`` prints it."""

from __future__ import annotations

from typing import Annotated

from wanesync.admin.api.routes import make_router
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import Services
from wanesync.ops.status import Status, read_status

router = make_router("status")


@router.get("/status", summary="The state of everything")
def show_status(_visitor: Annotated[Visitor, require(Permission.SEE)], services: Services) -> Status:
    """Queues, limits, pauses, records, processes and alarms at this moment, read in one transaction."""
    return read_status(services.store)
