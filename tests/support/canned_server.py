"""A server that answers as it is told, for what no stand-in does: broken, cut off, strange and silent answers."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self

from tests.support.ports import free_port


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def inputs(self) -> list[dict[str, object]]:
        """The inputs of a batch."""
        inputs: list[dict[str, object]] = json.loads(self.body)["inputs"]
        return inputs


@dataclass(frozen=True, slots=True)
class Told:
    """One answer. ``reset``: the connection breaks instead; ``cut``: the body ends too early.

    ``trickle``: the answer ends with bytes that arrive one by one, of its headers or of its body.
    """

    status: int = 200
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    cut: bool = False
    trickle: Literal["", "head", "body"] = ""

    @property
    def content(self) -> bytes:
        """The bytes of the body: bytes as they are, anything else as JSON."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answers = Callable[[Asked], Told]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that refuses our certificate is what some tests are about."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # the base names its own types


class CannedServer:
    """Serves on a free port of 127.0.0.1 while its ``with`` block runs; ``asked`` holds what came."""

    def __init__(self, *told: Told, answer: Answers | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.ending = threading.Event()
        self._answer: Answers = answer or (lambda _: told[min(len(self.asked), len(told)) - 1])
        self._scheme = "http" if tls is None else "https"
        self._server = _Server(("127.0.0.1", 0), self._handler())
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """The root."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                asked = Asked(self.command, self.path, dict(self.headers.items()), self.rfile.read(length))
                owner.asked.append(asked)
                told = owner._answer(asked)
                self.close_connection = True
                if told.reset:
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return
                if told.trickle:
                    self._trickle(told)
                    return
                self.send_response(told.status)
                headers = {"Content-Type": "application/json", "Connection": "close", **told.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(told.content) + told.cut))
                self.end_headers()
                self.wfile.write(told.content)

            def _trickle(self, told: Told) -> None:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
                if told.trickle == "body":
                    self.wfile.write(b"Content-Length: 100000\r\n\r\n{")
                with suppress(OSError):
                    while not owner.ending.wait(0.01):
                        self.wfile.write(b"x")

            do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - the names http.server looks for

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def closed_port() -> str:
    """The address of a port nobody listens on."""
    return f"http://127.0.0.1:{free_port()}"
