"""The limits carry the burst, whatever is set."""

from __future__ import annotations

import pytest

from tests.support.hardened_broker import hardened_broker
from tests.support.raw_mqtt import RawClient
from wanesync.bus.client import MAX_IN_FLIGHT
from wanesync.bus.envelope import OVERHEAD_BYTES
from wanesync.bus.topics import incoming
from wanesync.config.sections import Server
from wanesync.core.model import Side
from wanesync.core.roles import Role
from wanesync.ops.broker.limits import MAX_BODY_BYTES, SEAL_BYTES, BrokerLimits


def test_a_client_sends_no_more_at_once_than_the_broker_takes() -> None:
    assert BrokerLimits().in_flight >= MAX_IN_FLIGHT


def test_the_largest_body_that_serve_takes_fits_into_a_packet_sealed() -> None:
    assert Server().max_body_bytes == MAX_BODY_BYTES
    assert OVERHEAD_BYTES < SEAL_BYTES
    assert BrokerLimits(max_body_bytes=5_000).packet_bytes > 5_000 + OVERHEAD_BYTES


def test_a_reader_that_is_away_for_a_whole_burst_misses_nothing() -> None:
    assert BrokerLimits().queued == 100_000
    assert BrokerLimits().queued > 2 * 40_000


def test_each_client_may_hold_two_connections_during_a_rotation() -> None:
    assert BrokerLimits().connections == 2_100
    assert BrokerLimits(handlers=10).connections == 120


@pytest.mark.parametrize("body", [1024, 40 << 20, 200 << 20])
def test_at_least_two_of_the_largest_packets_fit_into_a_queue(body: int) -> None:
    limits = BrokerLimits(max_body_bytes=body)
    assert limits.queued_bytes >= 2 * limits.packet_bytes


@pytest.mark.slow
def test_a_real_broker_takes_the_largest_body_and_ends_the_connection_of_a_larger_one() -> None:
    with hardened_broker(limits=BrokerLimits(max_body_bytes=1024)) as broker:
        handler = broker.options(Role.STRIPE_HANDLER)
        with RawClient(handler) as client:
            assert client.publish(incoming(Side.STRIPE), b"x" * (1024 + OVERHEAD_BYTES)) is not None
            assert client.publish(incoming(Side.STRIPE), b"x" * (1024 + SEAL_BYTES)) is None
            assert client.ended.is_set()
