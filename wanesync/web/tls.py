"""TLS of the web server: connections whose handshake is not done count like all others, and give way like them."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

from wanesync.web.connections import IDLE_TIMEOUT_S, NUMBERS, BoundedProtocol, make_room

if TYPE_CHECKING:
    from uvicorn.server import ServerState

    from wanesync.web.certificate import ServerCertificate

SHUTDOWN_TIMEOUT_S = 5.0
"""How long the other end may take to confirm the end of a connection (our choice; asyncio's own is 30 s)."""


def make_tls_protocol(inner: type[BoundedProtocol], certificate: ServerCertificate) -> type[TlsEntry]:
    """Return the protocol of a server that speaks TLS and then ``inner``."""

    class Protocol(TlsEntry):
        protocol, pair, limit = inner, certificate, inner.limit

    return Protocol


class TlsEntry(asyncio.Protocol):
    """A connection until its handshake is done; then ``protocol`` has it.

    The event loop's own TLS server would not count it, so that clients which never begin a handshake could use up the
    files of the process. ``start_tls`` loses what arrives before it begins, so the socket is handed over instead.
    """

    protocol: type[BoundedProtocol]
    pair: ServerCertificate
    limit: int

    def __init__(self, config: Any, server_state: ServerState, app_state: dict[str, Any], **_: Any) -> None:
        self._arguments = {"config": config, "server_state": server_state, "app_state": app_state}
        self.connections: set[Any] = server_state.connections
        self.loop = asyncio.get_running_loop()
        self.waits_since_s = self.loop.time()
        self.number = next(NUMBERS)
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection before any of its bytes is read, and begin its handshake."""
        taken = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        taken.setblocking(False)
        transport.abort()  # type: ignore[attr-defined] # of a TCP connection it is the narrower type
        self.connections.add(self)
        self._handshake = self.loop.create_task(self._shake_hands(taken))
        make_room(self, self.limit)

    async def _shake_hands(self, taken: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(
                lambda: self.protocol(**self._arguments),
                taken,
                ssl=self.pair.context,
                ssl_handshake_timeout=IDLE_TIMEOUT_S,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except OSError:
            # No TLS, none that is accepted here, or too late: nothing can be said about a request.
            taken.close()
        finally:
            self.connections.discard(self)

    def abort(self) -> None:
        """End a connection that has sent no request."""
        if self._handshake is not None:
            self._handshake.cancel()

    shutdown = abort

    def is_closing(self) -> bool:
        """Return whether the connection is being closed."""
        return self._handshake is None or bool(self._handshake.cancelling())

    def is_waiting(self) -> bool:
        """Return True: nothing of a request has arrived."""
        return True
