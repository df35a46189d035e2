"""Every route of the admin service, as a crawler finds them: none is listed by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import find_permission


@dataclass(frozen=True)
class FoundRoute:
    """A method of a route. ``path``: with something in place of each of its parameters."""

    method: str
    path: str
    permission: Permission | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.method not in {"GET", "HEAD", "OPTIONS"}

    @property
    def streams(self) -> bool:
        """Whether its answer has no end, so that the test client would wait for it; by its name."""
        return self.path.endswith(("/stream", "/events", "/live"))


def list_routes(app: FastAPI) -> list[FoundRoute]:
    """Every method of every route."""
    return [
        FoundRoute(method, prefix + re.sub(r"\{[^}]*\}", "1", route.path), _find_permission(route.dependant))
        for prefix, route in _walk(app.routes, "")
        for method in sorted(route.methods or ())
    ]


def list_endpoints(app: FastAPI) -> list[tuple[str, str, APIRoute]]:
    """Every method of every route, its path with the names of its parameters, and the route."""
    return [
        (method, prefix + route.path, route)
        for prefix, route in _walk(app.routes, "")
        for method in sorted(route.methods or ())
    ]


def _walk(routes: Any, prefix: str) -> Iterator[tuple[str, APIRoute]]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield prefix, route
            continue
        # FastAPI keeps a router that is included as a whole.
        router = getattr(route, "original_router", None)
        assert router is not None, f"a route that no test sees: {route}"
        yield from _walk(router.routes, prefix + route.include_context.prefix)


def _find_permission(dependant: Any) -> Permission | None:
    for below in dependant.dependencies:
        found = find_permission(below.call) or _find_permission(below)
        if found:
            return found
    return None
