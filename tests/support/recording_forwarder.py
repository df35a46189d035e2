"""Stands before a server of this machine and writes down every byte that goes through, as a capture of packets would.

Each connection has two files: what the client sent and what the server sent, each without gaps, so that nothing which
is looked for is cut in two by a packet's end.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Self

CHUNK_BYTES = 1 << 16


class RecordingForwarder:
    """Forwards while its ``with`` block runs. ``folder``: is made, for the recordings."""

    def __init__(self, folder: Path, upstream_port: int) -> None:
        folder.mkdir(parents=True)
        self.folder, self._upstream_port = folder, upstream_port
        self._numbers = count(1)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes the thread, which closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def sent_by(self, end: str) -> list[bytes]:
        """What each connection's ``client`` or ``server`` has sent so far."""
        return [path.read_bytes() for path in sorted(self.folder.glob(f"*.{end}"))]

    def recordings(self) -> Iterator[tuple[str, bytes]]:
        """(name, content) of every recording."""
        for path in sorted(self.folder.iterdir()):
            yield f"{self.folder.name}/{path.name}", path.read_bytes()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client, next(self._numbers)), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with suppress(OSError), closing(client), socket.create_connection(("127.0.0.1", self._upstream_port)) as server:
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_pump, args=(server, client, self.folder / f"{number:04d}.server"))
            back.daemon = True
            back.start()
            _pump(client, server, self.folder / f"{number:04d}.client")
            back.join()


def _pump(source: socket.socket, sink: socket.socket, recording: Path) -> None:
    with recording.open("ab", buffering=0) as file, suppress(OSError):
        try:
            while content := source.recv(CHUNK_BYTES):
                file.write(content)
                sink.sendall(content)
        finally:
            sink.shutdown(socket.SHUT_WR)
