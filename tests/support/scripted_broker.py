"""A broker of a few lines that does exactly what a test says: one connection at a time, raw MQTT 5 packets."""

from __future__ import annotations

import queue
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT = 1, 2, 3, 4, 8, 9, 10, 11, 14


@dataclass(frozen=True)
class Packet:
    kind: int
    body: bytes

    @property
    def number(self) -> int:
        """The packet identifier of PUBACK and SUBSCRIBE."""
        return int.from_bytes(self.body[:2])


class ScriptedBroker:
    """Accepts connections and notes every packet; answers nothing by itself but CONNECT and UNSUBSCRIBE."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        self.packets: queue.Queue[Packet] = queue.Queue()
        self._socket: socket.socket | None = None
        self.session_present, self.confirms = False, True
        self.on_connack: list[bytes] = []
        """Packets that are sent in one piece with the CONNACK."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()
        self.drop()

    def drop(self) -> None:
        """End the connection without a word."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def send(self, packet: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(packet)

    def await_packet(self, kind: int, timeout_s: float = 10) -> Packet:
        """The next packet of a kind; those of other kinds before it are passed over."""
        while True:
            packet = self.packets.get(timeout=timeout_s)
            if packet.kind == kind:
                return packet

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._socket = connection
            with connection, connection.makefile("rb") as stream, suppress(ConnectionError):
                self._read(connection, stream)

    def _read(self, connection: socket.socket, stream: BinaryIO) -> None:
        while head := stream.read(1):
            size = shift = 0
            while True:
                byte = stream.read(1)[0]
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            packet = Packet(head[0] >> 4, stream.read(size))
            if packet.kind == CONNECT:
                connection.sendall(
                    _packet(CONNACK << 4, bytes([self.session_present, 0, 0])) + b"".join(self.on_connack)
                )
            if packet.kind == UNSUBSCRIBE and self.confirms:
                connection.sendall(_packet(UNSUBACK << 4, packet.body[:2] + b"\x00\x11"))
            self.packets.put(packet)


def _packet(head: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([head, len(body)]) + body


def publish(topic: str, payload: bytes, number: int) -> bytes:
    """A PUBLISH packet of quality 1."""
    name = topic.encode()
    return _packet(PUBLISH << 4 | 2, len(name).to_bytes(2) + name + number.to_bytes(2) + b"\x00" + payload)


def suback(number: int, *codes: int) -> bytes:
    """A SUBACK packet."""
    return _packet(SUBACK << 4, number.to_bytes(2) + b"\x00" + bytes(codes))
