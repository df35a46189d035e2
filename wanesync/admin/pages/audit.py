"""The audit log, and the check that it is as it was written."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from wanesync.admin.rendering import NavEntry, render
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import Services
from wanesync.ops.audit import find_audit, verify_audit
from wanesync.store.tables.operating.audit import AuditFilter

router = APIRouter(prefix="/audit", include_in_schema=False)
NAV = NavEntry("/audit", "Audit", 920, Permission.SEE_AUDIT)
PAGE_ROWS = 100
Text = Annotated[str, Query(max_length=300)]


@router.get("")
def show(
    request: Request,
    services: Services,
    visitor: Annotated[Visitor, require(Permission.SEE_AUDIT)],
    operator: Text = "",
    action: Text = "",
    subject: Text = "",
    below: Annotated[int, Query(ge=0, le=2**53)] = 0,
    verify: bool = False,
) -> Response:
    """The page; with ``verify`` the whole log is checked."""
    named = {"operator": operator.strip(), "action": action.strip(), "subject": subject.strip()}
    page = find_audit(
        services.store, AuditFilter(named["operator"], named["action"], named["subject"], below=below), PAGE_ROWS
    )
    given = {name: value for name, value in named.items() if value}
    return render(
        request,
        "audit/page.html",
        rows=page.rows,
        wanted=named,
        older=f"/audit?{urlencode(given | {'below': page.next_below})}" if page.next_below else "",
        newest=f"/audit?{urlencode(given)}" if below else "",
        check=verify_audit(services.store) if verify else None,
    )
