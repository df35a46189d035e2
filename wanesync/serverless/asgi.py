"""Any ASGI server: ``uvicorn --factory wanesync.serverless.asgi:create_app``."""

from __future__ import annotations

from wanesync.serverless.door import ServerlessApp, build_door


def create_app() -> ServerlessApp:
    """Return the application; it opens the database when the server starts it, or at the first request."""
    return ServerlessApp(build_door)
