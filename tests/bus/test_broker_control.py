"""The operator's commands at a real broker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.hardened_broker import hardened_broker
from tests.support.ports import free_port
from wanesync.bus.broker_control import BrokerRefused, BrokerUnavailable, connect
from wanesync.bus.client import BusOptions
from wanesync.core.roles import Role


@pytest.mark.slow
def test_commands_are_answered_in_order_and_a_refusal_is_an_error() -> None:
    with hardened_broker() as broker:
        with connect(broker.options("operator")) as operator:
            listed, one = operator.send({"command": "listRoles"}, {"command": "getClient", "username": "queue.1"})
            assert listed["totalCount"] == 7
            assert one["client"]
            with pytest.raises(BrokerRefused, match="refused getClient: Client not found"):
                operator.send({"command": "getClient", "username": "nonesuch"})
            assert operator.send({"command": "getDefaultACLAccess"})
        with (
            pytest.raises(BrokerRefused, match="Not authorized"),
            connect(replace(broker.options("operator"), password="operator.1:wrong")),
        ):
            pass
        with (
            pytest.raises(BrokerRefused, match=r"refuses to let us read \$CONTROL"),
            connect(broker.options(Role.QUEUE)),
        ):
            pass


def test_a_broker_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wanesync.bus.broker_control.ANSWER_S", 0.2)
    port = free_port()
    with (
        pytest.raises(BrokerUnavailable, match=f"127.0.0.1:{port}: the broker"),
        connect(BusOptions(f"mqtt://127.0.0.1:{port}", "operator-1")),
    ):
        pass
