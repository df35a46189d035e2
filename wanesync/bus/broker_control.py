"""Commands to Mosquitto's dynamic security plugin over its control topic, as the broker's operator.

Protocol: mosquitto.org/documentation/dynamic-security, "Commands": a JSON list is published, a JSON list comes back.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from wanesync.bus.client import BusClient, BusOptions, Message
from wanesync.bus.topics import COMMAND_ANSWERS, COMMANDS
from wanesync.core.errors import WanesyncError

ANSWER_S = 5.0
"""Seconds to wait for the broker: it answers a command within milliseconds (our choice)."""
LOOK_S = 0.05
"""Seconds between two looks at why a connection does not stand yet (our choice)."""
REFUSES = "the broker refuses"
"""How the client's reason begins when waiting longer does not help."""


class BrokerUnavailable(WanesyncError):
    """The broker cannot be reached, or does not answer."""

    exit_code = 4


class BrokerRefused(WanesyncError):
    """The broker refuses the credential or a command."""


class BrokerControl:
    """A connected operator. Made by ``connect``."""

    def __init__(self, client: BusClient, arrived: queue.SimpleQueue[bytes]) -> None:
        self._client = client
        self._arrived = arrived

    def send(self, *commands: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
        """Send commands in order: the ``data`` of each answer. Raises ``BrokerRefused``, ``BrokerUnavailable``."""
        self._client.publish(COMMANDS, json.dumps({"commands": commands}).encode())
        answers: list[Mapping[str, object]] = []
        while len(answers) < len(commands):
            try:
                answers += json.loads(self._arrived.get(timeout=ANSWER_S))["responses"]
            except queue.Empty:
                raise BrokerUnavailable("the broker did not answer a command: see its log") from None
        for answer in answers:
            if "error" in answer:
                raise BrokerRefused(f"the broker refused {answer.get('command')}: {answer['error']}")
        return [_data(answer) for answer in answers]


@contextmanager
def connect(options: BusOptions) -> Iterator[BrokerControl]:
    """Connect as the operator. Raises ``BrokerUnavailable``, ``BrokerRefused``, ``ConfigError``."""
    arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def receive(message: Message) -> None:
        arrived.put(message.payload)

    client = BusClient(options, (COMMAND_ANSWERS,), receive)
    client.start()
    try:
        _wait_until_ready(client)
        yield BrokerControl(client, arrived)
    finally:
        with suppress(OSError):
            client.stop()


def _wait_until_ready(client: BusClient) -> None:
    deadline_s = time.monotonic() + ANSWER_S
    while not client.wait_ready(LOOK_S):
        host, port = client.options.address
        if client.trouble.startswith(REFUSES):
            raise BrokerRefused(f"{host}:{port}: {client.trouble}")
        if time.monotonic() > deadline_s:
            raise BrokerUnavailable(f"{host}:{port}: {client.trouble}")


def _data(answer: Mapping[str, object]) -> Mapping[str, object]:
    found = answer.get("data", {})
    return found if isinstance(found, dict) else {}
