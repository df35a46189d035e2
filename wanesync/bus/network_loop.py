"""The network thread of an MQTT client: connects, reads and writes, and connects again.

Instead of paho's own, which uses select(2): a socket with a number of 1024 or more would never work in it, and a
handler has thousands of connections.
"""

from __future__ import annotations

import os
import random
import selectors
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike

MIN_PAUSE_S, MAX_PAUSE_S = 0.25, 4.0
"""Pause before the first attempt to connect again; it doubles with each that fails (our choice)."""
TICK_S = 1.0
"""How often the connection is looked at without need: for signs of life, and for a signal that was missed."""
GOODBYE_S = 3.0
"""How long a connection that ends may take to send what is queued, and the broker to read it."""
NOTHING = "wane/nothing"
"""A filter that no part subscribes to. Mosquitto handles the packets of a connection one after the other, so its answer
to an UNSUBSCRIBE of this confirms that it has read all before; acknowledgements have no answer of their own."""


class NetworkLoop:
    """Runs one client, which must have been given its address (``connect_async``), in a thread of its own.

    ``failed`` is called when the broker cannot be reached, and when the connection stood and ended no sooner. While
    ``is_held`` nothing is read, so that the broker keeps what there is no room for; ``wake`` when that ends.
    ``pause``: called when all that has arrived so far was read.
    """

    def __init__(
        self,
        client: Client,
        failed: Callable[[str], None],
        is_held: Callable[[], bool] = lambda: False,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._client, self._failed, self._is_held, self._pause = client, failed, is_held, pause
        self._stopping = threading.Event()
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._deadline_s = float("inf")
        self._is_asked = self._is_confirmed = self._has_left = False
        self._guard, self._ended = threading.Lock(), False
        client.on_socket_register_write = lambda _client, _data, _socket: self.wake()
        client.on_socket_unregister_write = lambda _client, _data, _socket: None
        client.on_unsubscribe = lambda _client, _data, _number, _codes, _properties: self._confirm()
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{client.host}", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self, *, at_once: bool = False) -> None:
        """Disconnect and wait for the end; may be called from any thread but its own, once.

        The broker confirms first that it has read what was sent, in ``GOODBYE_S`` at most: Mosquitto drops what it has
        not read yet of a client that has closed its connection as soon as the next one of its name connects.
        ``at_once``: without this, as for a connection that may be dead.
        """
        self._deadline_s = time.monotonic() + GOODBYE_S
        self._is_confirmed = at_once
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        with self._guard:
            self._ended = True
            os.close(self._read_end)
            os.close(self._write_end)

    def wake(self) -> None:
        """Look at the connection at once; may be called from any thread."""
        if threading.current_thread() is self._thread:
            # It looks at the connection before it waits again.
            return
        # A full pipe has signals enough; one that was closed may be another file by now.
        with self._guard, suppress(BlockingIOError):
            if not self._ended:
                os.write(self._write_end, b"\0")

    def _run(self) -> None:
        pause_s = MIN_PAUSE_S
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                self._client.reconnect()
                self._serve()
            except (OSError, ssl.SSLError, ValueError) as error:
                self._failed(f"the broker cannot be reached ({_describe(error)})")
            if time.monotonic() - began_s > MAX_PAUSE_S:
                pause_s = MIN_PAUSE_S
            # Clients of one broker do not all come back in the same moment.
            self._stopping.wait(pause_s * (0.5 + random.random()))  # noqa: S311 - spreads load, no secret
            pause_s = min(MAX_PAUSE_S, pause_s * 2)

    def _serve(self) -> None:
        """Read and write until the connection ends."""
        client, connection = self._client, self._client.socket()
        if connection is None:
            return
        next_tick_s = time.monotonic() + TICK_S
        with selectors.DefaultSelector() as selector, closing(connection):
            selector.register(self._read_end, selectors.EVENT_READ)
            selector.register(connection, selectors.EVENT_READ)
            while client.socket() is connection and time.monotonic() < self._deadline_s:
                if self._stopping.is_set():
                    self._leave()
                self._watch(selector, connection)
                ready = {key.fileobj: events for key, events in selector.select(TICK_S)}
                if self._read_end in ready:
                    os.read(self._read_end, 4096)
                events = ready.get(connection, 0)
                if events & selectors.EVENT_READ:
                    goes_on = self._read(connection)
                    self._pause()
                    if not goes_on:
                        return
                if client.want_write() and client.loop_write() is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return
                if time.monotonic() >= next_tick_s:
                    next_tick_s = time.monotonic() + TICK_S
                    client.loop_misc()

    def _leave(self) -> None:
        """Disconnect, after the broker has confirmed that it has read what was sent; called again until it has."""
        client = self._client
        if self._has_left:
            return
        if client.is_connected() and not (self._is_asked or self._is_confirmed or self._is_held()):
            self._is_asked = True
            client.unsubscribe(NOTHING)
        elif self._is_confirmed or not self._is_asked:
            self._has_left = True
            client.disconnect()

    def _confirm(self) -> None:
        """Note that the broker has read everything: there is no other UNSUBSCRIBE."""
        self._is_confirmed = True

    def _watch(self, selector: selectors.BaseSelector, connection: SocketLike) -> None:
        """Wait for what the connection is to do now: with nothing to write and no room to read, for nothing."""
        reads = self._is_asked or not self._is_held()
        wanted = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if self._client.want_write() else 0)
        if connection not in selector.get_map():
            if wanted:
                selector.register(connection, wanted)
        elif wanted:
            selector.modify(connection, wanted)
        else:
            selector.unregister(connection)

    def _read(self, connection: object) -> bool:
        """Read what has arrived; return whether the connection goes on."""
        while True:
            if self._client.loop_read() is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                return False
            # What TLS has decrypted already is no longer seen at the socket.
            if self._client.socket() is not connection:
                return False
            if not isinstance(connection, ssl.SSLSocket) or not connection.pending():
                return True


def _describe(error: BaseException) -> str:
    return str(getattr(error, "verify_message", "") or getattr(error, "strerror", "") or type(error).__name__)
