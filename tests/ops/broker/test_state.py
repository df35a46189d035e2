"""The state of a broker: what its register and the broker itself say, side by side."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.hardened_broker import HardenedBroker, hardened_broker
from wanesync.bus.broker_control import connect
from wanesync.core.roles import Role
from wanesync.ops.broker.certificates import utc_now
from wanesync.ops.broker.credentials import choose, open_broker, revoke, rotate
from wanesync.ops.broker.folder import ROLES, BrokerFolder
from wanesync.ops.broker.mosquitto import Identity, Release
from wanesync.ops.broker.setup import BrokerSetup, write_broker
from wanesync.ops.broker.state import list_certificates, read_state


@pytest.mark.slow
def test_a_running_broker_is_well_until_something_is_not_as_its_register_says() -> None:
    with hardened_broker(Identity.BOTH) as broker:
        state = read_state(broker.opened, utc_now())
        assert (state.runs, list(state.alarms), state.revoked) == (True, [], 0)
        assert [one.username for one in state.credentials] == [f"{role}.1" for role in ROLES]
        assert all(one.accepted and one.newest and one.ends for one in state.credentials)
        rotate(broker.opened, Role.QUEUE, utc_now())
        revoke(broker.opened, choose(broker.opened.register, Role.ADMIN, old=False), utc_now())
        with broker.opened.operate() as operator:
            operator.send(
                {"command": "deleteClient", "username": "stripe-worker.1"},
                {"command": "createClient", "username": "x.1", "password": "x", "roles": [{"rolename": "queue"}]},
            )
        state = read_state(broker.opened, utc_now())
        assert {one.username: one.newest for one in state.credentials if one.role == Role.QUEUE} == {
            "queue.1": False,
            "queue.2": True,
        }
        assert list(state.alarms) == [
            "stripe-worker.1 is not accepted: wanesync broker rotate stripe-worker",
            "x.1 is accepted and not in the register: delete it with mosquitto_ctrl",
            "admin has no credential: wanesync broker rotate admin",
        ]
        (broker.files.server / "certificate.pem").write_text((broker.files.client_authority).read_text())
        assert "the broker shows another certificate than" in read_state(broker.opened, utc_now()).alarms[-1]


def test_a_broker_that_does_not_run_and_certificates_that_end_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wanesync.bus.broker_control.ANSWER_S", 0.1)
    setup = BrokerSetup(Release.V2_0, Identity.BOTH, ("localhost",), 1, "127.0.0.1", "mosquitto", tmp_path)
    write_broker(BrokerFolder(tmp_path), setup, utc_now())
    broker = open_broker(tmp_path, connect)
    state = read_state(broker, utc_now() + timedelta(days=351))
    first, *ending = state.alarms
    assert first.startswith("localhost:1: the broker ")
    assert not state.runs
    assert {one.accepted for one in state.credentials} == {None}
    assert len(ending) == 1 + len(ROLES)
    assert ending[0].endswith(f"in 13 days: wanesync broker rotate server --dir {tmp_path}")
    assert state.as_json()["release"] == "2.0"
    assert len(list_certificates(broker)) == 2 + len(ROLES)


@pytest.mark.slow
def test_the_hardened_broker_of_the_tests_is_the_written_one(tmp_path: Path) -> None:
    """No test broker has a setting of its own."""
    broker = HardenedBroker(tmp_path)
    assert broker.files.configuration.read_text().startswith("# Written by wanesync broker-config")
