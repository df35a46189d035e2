"""TLS in front of the Postgres of the tests, which is built without it: it answers SSLRequest as a server does."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tests.support.certificates import Pair

SSL_REQUEST = 80_877_103
"""What a client sends instead of a version to ask for TLS (PostgreSQL, "Message Formats", SSLRequest)."""


@contextmanager
def serve_tls(pair: Pair, unix_socket: Path) -> Iterator[int]:
    """The port on which a Postgres behind a Unix socket is reached by TLS only."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=_accept, args=(listener, pair.serve(), unix_socket), daemon=True).start()
        yield int(listener.getsockname()[1])


def _accept(listener: socket.socket, context: ssl.SSLContext, unix_socket: Path) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, context, unix_socket), daemon=True).start()


def _serve(client: socket.socket, context: ssl.SSLContext, unix_socket: Path) -> None:
    with suppress(OSError), closing(client):
        while struct.unpack("!II", client.recv(8, socket.MSG_WAITALL))[1] != SSL_REQUEST:
            client.sendall(b"N")
        client.sendall(b"S")
        with context.wrap_socket(client, server_side=True) as secure, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(unix_socket))
            up = threading.Thread(target=_pump, args=(server, secure), daemon=True)
            up.start()
            _pump(secure, server)
            up.join(timeout=5)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
