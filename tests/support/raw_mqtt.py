"""An MQTT 5 client that a test drives step by step, also to what no part of ours does: wills, retained messages."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from typing import Self

from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from wanesync.bus.client import BusOptions, make_tls_context, split_login

WAIT_S, LOOK_S = 20.0, 0.02
CONNECTED = "Success"
DISCONNECT_WITH_WILL = 0x04
"""MQTT 5, 3.14.2.1: the broker publishes the will."""


class RawClient:
    """One connection, not made again. ``will``: topic and content, published when ``die`` is called."""

    def __init__(self, options: BusOptions, *, will: tuple[str, bytes] | None = None, session_s: int = 0) -> None:
        self.received: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self.ended = threading.Event()
        self.reason = ""
        self._answers: queue.SimpleQueue[list[ReasonCode]] = queue.SimpleQueue()
        self._options, self._session_s = options, session_s
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            options.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self._client.max_inflight_messages_set(1_000)
        username, password = split_login(options.username, options.password)
        self._client.username_pw_set(username or None, password or None)
        self._client.tls_set_context(make_tls_context(options))
        if will is not None:
            self._client.will_set(will[0], will[1], qos=1)
        self._client.on_connect = lambda _c, _d, _f, code, _p: self._answers.put([code])
        self._client.on_subscribe = lambda _c, _d, _m, codes, _p: self._answers.put(codes)
        self._client.on_publish = lambda _c, _d, _m, code, _p: self._answers.put([code])
        self._client.on_message = self._on_message
        self._client.on_disconnect = self._on_disconnect

    def connect(self) -> str:
        """Connect: the broker's answer in words, "" where TLS fails. Raises ``SSLError`` for its certificate."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # as in wanesync.bus.client
        properties.SessionExpiryInterval = self._session_s
        host, port = self._options.address
        self._client.connect(host, port, clean_start=not self._session_s, properties=properties)
        self._client.loop_start()
        codes = self._next()
        return str(codes[0]) if codes else ""

    def close(self) -> None:
        """End the connection, if it stands."""
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Self:
        answer = self.connect()
        assert answer == CONNECTED, answer
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def die(self) -> None:
        """End the connection so that the broker publishes the will."""
        code = ReasonCode(PacketTypes.DISCONNECT, identifier=DISCONNECT_WITH_WILL)
        self._client.disconnect(reasoncode=code)
        self._client.loop_stop()

    def subscribe(self, topics: Sequence[str]) -> list[ReasonCode]:
        """Subscribe one after the other: a reason code each."""
        found = []
        for topic in topics:
            self._client.subscribe(topic, qos=1)
            found += self._next()
        return found

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> ReasonCode | None:
        """Publish once and wait: the broker's reason code, None if it ends the connection instead."""
        self._client.publish(topic, payload, qos=1, retain=retain)
        codes = self._next()
        return codes[0] if codes else None

    def drain(self, last: bytes) -> list[tuple[str, bytes]]:
        """Return what arrived before a message with this content, which has to be under way."""
        found = []
        while (one := self.received.get(timeout=WAIT_S))[1] != last:
            found.append(one)
        return found

    def _next(self) -> list[ReasonCode]:
        """Return the next answer of the broker, nothing if the connection ends instead."""
        deadline_s = time.monotonic() + WAIT_S
        while True:
            ended = self.ended.is_set()
            try:
                return self._answers.get(timeout=0 if ended else LOOK_S)
            except queue.Empty:
                if ended:
                    return []
                assert time.monotonic() < deadline_s, "the broker does not answer"

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.received.put((message.topic, bytes(message.payload)))

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, code: ReasonCode, _more: Properties | None
    ) -> None:
        self.reason = str(code)
        self.ended.set()
