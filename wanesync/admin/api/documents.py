"""``/api/v1/openapi.json``: the description of the API."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request
from starlette.responses import JSONResponse, Response

from wanesync.admin.api.openapi import build_document
from wanesync.admin.api.routes import make_router
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require

router = make_router("documents")


@router.get("/openapi.json", include_in_schema=False)
def show_document(request: Request, _visitor: Annotated[Visitor, require(Permission.SEE)]) -> Response:
    """Return the OpenAPI document; it is built once."""
    state = request.app.state
    if not hasattr(state, "openapi_document"):
        state.openapi_document = build_document(request.app)
    return JSONResponse(state.openapi_document)
