"""A proxy that notes what it is asked for, and leads every tunnel to a server on this machine."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 16


class RecordingProxy:
    """Serves while its ``with`` block runs. ``asked``: (CONNECT or another method, target, Proxy-Authorization)."""

    def __init__(self, upstream: str) -> None:
        self.asked: list[tuple[str, str, str]] = []
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 0)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The address of the proxy."""
        return f"http://{self.address}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                owner.asked.append(("CONNECT", self.path, self.headers.get("proxy-authorization", "")))
                with socket.create_connection(owner._upstream, 5) as upstream:
                    self.send_response(200)
                    self.end_headers()
                    _tunnel(self.connection, upstream)
                self.close_connection = True

            def do_GET(self) -> None:
                owner.asked.append((self.command, self.path, self.headers.get("proxy-authorization", "")))
                self.send_response(502)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def _tunnel(one: socket.socket, other: socket.socket) -> None:
    ends = {end.fileno(): end for end in (one, other)}
    poll = select.poll()
    for number in ends:
        poll.register(number, select.POLLIN)
    with suppress(OSError):
        while True:
            ready = [ends[number] for number, _ in poll.poll(5_000)]
            if not ready:
                return
            for source in ready:
                content = source.recv(CHUNK_BYTES)
                if not content:
                    return
                (other if source is one else one).sendall(content)
