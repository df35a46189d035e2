"""A broker with the written configuration, and a witness that may read and publish everything on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.hardened_broker import HardenedBroker, hardened_broker
from wanesync.bus.client import BusOptions

EVERYTHING = ("publishClientSend", "publishClientReceive", "subscribePattern")


@pytest.fixture(scope="session")
def broker() -> Iterator[HardenedBroker]:
    """A broker with passwords; what a test revokes on it no other test may use."""
    with hardened_broker() as started:
        yield started


@pytest.fixture(scope="session")
def witness(broker: HardenedBroker) -> BusOptions:
    """How a client connects that may do everything, so that it sees what the others may not."""
    rules = [{"acltype": kind, "topic": topic, "allow": True} for kind in EVERYTHING for topic in ("#", "$SYS/#")]
    with broker.opened.operate() as operator:
        operator.send(
            {"command": "createRole", "rolename": "witness", "acls": rules},
            {"command": "createClient", "username": "w", "password": "w", "roles": [{"rolename": "witness"}]},
        )
    return replace(broker.options("operator"), username="w", password="w", client_id="witness")
