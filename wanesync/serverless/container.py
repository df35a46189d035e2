"""A container on Google Cloud Run or a like platform: ``python -m wanesync.serverless.container``.

It listens on the port that ``PORT`` names, and ends within the 10 s after SIGTERM that Cloud Run allows
(cloud.google.com/run/docs/container-contract).
"""

from __future__ import annotations

import os

import uvicorn

from wanesync.serverless.asgi import create_app
from wanesync.web.connections import make_protocol
from wanesync.web.settings import MAX_CONNECTIONS

DEFAULT_PORT = 8080
"""Cloud Run's own default."""
SHUTDOWN_TIMEOUT_S = 7
"""Time for open requests after SIGTERM; 3 s are left to store the counts and to close the connection."""


def build_server(port: int) -> uvicorn.Server:
    """Build the server of a container; all of its addresses are the platform's."""
    options = uvicorn.Config(
        create_app(),
        host="0.0.0.0",  # noqa: S104 - the only way into a container; the platform is in front
        port=port,
        http=make_protocol(MAX_CONNECTIONS),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )
    return uvicorn.Server(options)


def main() -> None:
    """Serve until SIGTERM."""
    build_server(int(os.environ.get("PORT") or DEFAULT_PORT)).run()


if __name__ == "__main__":
    main()
