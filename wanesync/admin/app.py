"""The application: every page, the API and the assets behind the gate, and the headers around all of it."""

from __future__ import annotations

import gzip
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from wanesync.admin import api, pages
from wanesync.admin.errors import CatchErrors, handle
from wanesync.admin.live_services import make_live, running_live
from wanesync.admin.rendering import ASSETS, NavEntry, find_asset
from wanesync.admin.security.gate import Gate
from wanesync.admin.security.headers import SecurityHeaders
from wanesync.admin.services import AdminServices
from wanesync.core.errors import CallError, WanesyncError

API_PREFIX = "/api/v1"
KEPT = "public, max-age=31536000, immutable"
"""For an asset whose address names its content."""
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def build_admin_app(services: AdminServices) -> FastAPI:
    """Build the application: each ``router`` of the modules of ``pages`` and ``api``, and the menu of their ``NAV``."""
    app = FastAPI(
        title="wanesync",
        version="1",
        # The pages of FastAPI load from other hosts; the description of the API is a route of its own.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(SecurityHeaders, secure=services.access.secure),
            Middleware(CatchErrors),
            Middleware(Gate, services=services),
        ],
        exception_handlers=dict.fromkeys((HTTPException, RequestValidationError, WanesyncError, CallError), handle),
        redirect_slashes=False,
        lifespan=running_live,
    )
    app.state.services = services
    app.state.live = make_live(services)
    nav: list[NavEntry] = []
    for module in _list_modules(pages):
        app.include_router(module.router)
        nav += [module.NAV] if hasattr(module, "NAV") else []
    for module in _list_modules(api):
        app.include_router(module.router, prefix=API_PREFIX)
    app.state.nav = sorted(nav, key=lambda entry: entry.order)
    app.add_api_route("/assets/{name:path}", show_asset, include_in_schema=False)
    app.add_api_route("/healthz", show_health, include_in_schema=False)
    return app


def _list_modules(package: ModuleType) -> Iterator[ModuleType]:
    """Yield the modules of a package that have routes."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = import_module(found.name)
        if isinstance(getattr(module, "router", None), APIRouter):
            yield module


def show_asset(name: str, request: Request) -> Response:
    """GET /assets/…: a file of the package; all of them are public."""
    # Only under its own name: the digest of each name is kept, so that "./a.js" and "././a.js" would fill the memory.
    path = ASSETS / name
    if name not in list_assets():
        raise HTTPException(404)
    named = request.url.query == find_asset(name).partition("?")[2]
    headers = {"Cache-Control": KEPT if named else "no-cache", "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return FileResponse(path, media_type=TYPES[path.suffix], headers=headers)
    return Response(compress_asset(path), media_type=TYPES[path.suffix], headers=headers | {"Content-Encoding": "gzip"})


@cache
def list_assets() -> frozenset[str]:
    """Return the names of the files that are served."""
    files = (path for path in ASSETS.rglob("*") if path.suffix in TYPES and path.is_file())
    return frozenset(path.relative_to(ASSETS).as_posix() for path in files)


@cache
def compress_asset(path: Path) -> bytes:
    """Return a file compressed. Pages are not: they hold the token of the session beside what the address says."""
    return gzip.compress(path.read_bytes(), mtime=0)


def show_health() -> Response:
    """GET /healthz: 200 as long as the process answers."""
    return JSONResponse({"status": "ok"})
