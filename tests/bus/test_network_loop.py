"""The network thread of a client: what ends a connection, and what works beyond the numbers that select(2) takes."""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack

import pytest

from tests.support.bus_parts import listening
from tests.support.mosquitto import Mosquitto
from tests.support.scripted_broker import CONNECT, ScriptedBroker
from wanesync.bus.client import BusClient, BusOptions

WAIT_S = 20


@pytest.mark.slow
def test_a_socket_with_a_high_number_works(mosquitto: Mosquitto) -> None:
    """A handler has thousands of connections, and the broker's may be made again after them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4_096)), hard))
    with ExitStack() as stack:
        while (number := os.dup(0)) < 1_100:
            stack.callback(os.close, number)
        stack.callback(os.close, number)
        with listening(mosquitto.url, "a") as one, listening(mosquitto.url, name="two") as two:
            two.client.publish("a", b"x" * 300_000)
            one.await_count(1)
    assert len(one.messages[0].payload) == 300_000


def test_a_broker_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wanesync.bus.client.KEEPALIVE_S", 1)
    broker = ScriptedBroker()
    client = BusClient(BusOptions(broker.url, "one"), ["a"])
    client.start()
    try:
        assert [broker.await_packet(CONNECT).kind for _ in range(2)] == [CONNECT, CONNECT], "it connected again"
    finally:
        client.stop()
        broker.close()


def test_what_cannot_be_reached_is_named_and_its_end_takes_no_time() -> None:
    client = BusClient(BusOptions("mqtt://127.0.0.1:9", "one"))
    client.start()
    with client._ready:
        assert client._ready.wait_for(lambda: "cannot be reached" in client.trouble, WAIT_S)
    assert client.trouble == "the broker cannot be reached (Connection refused)"
    client.stop()
    client.stop()
