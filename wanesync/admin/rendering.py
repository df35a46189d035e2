"""Templates: one environment, escaped by default; what every page is given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from wanesync.admin.security.masking import mask
from wanesync.admin.security.permissions import Permission
from wanesync.output import clean
from wanesync.terminal import format_duration

FOLDER = Path(__file__).parent
ASSETS = FOLDER / "assets"


@dataclass(frozen=True, slots=True)
class NavEntry:
    """A page of the menu, which a module of ``pages`` names as ``NAV``. ``order``: from left to right."""

    path: str
    label: str
    order: int
    permission: Permission = Permission.SEE


@cache
def environment() -> Environment:
    """Return the environment of all templates."""
    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["asset"] = find_asset
    found.filters.update(when=format_time, duration=format_duration, mask=lambda text, kind="text": mask(kind, text))
    return found


def _clean(value: object) -> object:
    """Return a value of a page with the characters shown that would turn the text around them or command a terminal."""
    return clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def find_asset(name: str) -> str:
    """Return the address of a file of ``assets``, which changes with its content, so that browsers may keep it."""
    digest = hashlib.sha256((ASSETS / name).read_bytes()).hexdigest()[:12]
    return f"/assets/{name}?v={digest}"


def format_time(at_ms: int) -> str:
    """Return a time as UTC text, "never" for 0."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}" if at_ms else "never"


def render(
    request: Request, template: str, *, status: int = 200, fragment: str = "", **context: object
) -> HTMLResponse:
    """Return a page, or only the block ``fragment`` of its template where htmx asks for a part of the page.

    Every template has ``visitor`` (None on open pages), ``nonce``, ``nav`` and ``path``.
    """
    visitor = getattr(request.state, "visitor", None)
    nav: Sequence[NavEntry] = getattr(request.app.state, "nav", ()) if "app" in request.scope else ()
    values = {
        "visitor": visitor,
        "nonce": getattr(request.state, "nonce", ""),
        "nav": [entry for entry in nav if visitor is not None and visitor.may(entry.permission)],
        "path": request.scope["path"],
        **context,
    }
    found = environment().get_template(template)
    if fragment and request.headers.get("hx-request") == "true":
        # A block alone does not have what the layout imports.
        part = found.new_context({"ui": environment().get_template("macros.html").make_module(values), **values})
        return HTMLResponse("".join(found.blocks[fragment](part)), status)
    return HTMLResponse(found.render(values), status)
