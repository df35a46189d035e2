"""Rotation and revocation at a real broker, with each kind of identity: what is revoked is out and stays out."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest

from tests.support.hardened_broker import HardenedBroker, hardened_broker
from tests.support.raw_mqtt import CONNECTED, RawClient
from wanesync.bus.broker_control import BrokerControl, BrokerUnavailable
from wanesync.bus.client import BusOptions, make_tls_context
from wanesync.bus.topics import control, done
from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.roles import Role
from wanesync.ops.broker.certificates import utc_now
from wanesync.ops.broker.credentials import (
    Broker,
    choose,
    list_at_broker,
    open_broker,
    reload_broker,
    revoke,
    rotate,
    rotate_server,
)
from wanesync.ops.broker.folder import BrokerFolder, Credential, Register
from wanesync.ops.broker.mosquitto import Identity, Release
from wanesync.ops.health.certificates import read_served

ATTEMPTS = 3


@pytest.fixture(params=Identity)
def broker(request: pytest.FixtureRequest) -> Iterator[HardenedBroker]:
    """A broker of its own for each test that revokes, with each kind of identity."""
    with hardened_broker(request.param) as started:
        yield started


def kept(broker: HardenedBroker, role: str, folder: Path) -> BusOptions:
    """The credential that a role has now, in files that a rotation does not replace."""
    copy = folder / role
    shutil.copytree(broker.files.part(role), copy)
    given = broker.options(role, "old")
    certificate, key = (str(copy / Path(name).name) if name else "" for name in (given.certificate, given.key))
    return replace(given, ca=str(copy / "ca.pem"), certificate=certificate, key=key)


def comes_in(options: BusOptions) -> bool:
    """Whether a client may connect and is heard: a broker may take the connection and end it at once."""
    client = RawClient(options)
    try:
        return client.connect() == CONNECTED and client.publish(done("stripe", "done"), b"x") is not None
    finally:
        client.close()


def is_heard(client: RawClient) -> bool:
    """Whether a queue process may still publish."""
    code = client.publish(control("limits"), b"stands")
    return code is not None and not code.is_failure


@pytest.mark.slow
def test_a_rotation_ends_no_connection_and_a_revocation_ends_the_old_one(
    broker: HardenedBroker, tmp_path: Path
) -> None:
    old = kept(broker, Role.QUEUE, tmp_path)
    now = utc_now()
    with RawClient(old) as before:
        register = rotate(broker.opened, Role.QUEUE, now)
        assert [one.username for one in register.of(Role.QUEUE)] == ["queue.1", "queue.2"]
        with RawClient(broker.options(Role.QUEUE, "new")) as after:
            assert not before.ended.is_set()
            assert is_heard(before)
            assert is_heard(after)
            revoke(broker.opened, choose(register, Role.QUEUE, old=True), now)
            assert before.ended.wait(5)
            assert not any(comes_in(old) for _ in range(ATTEMPTS))
            assert not after.ended.is_set()
            assert is_heard(after)
    found = broker.files.read_register()
    assert [one.username for one in found.of(Role.QUEUE)] == ["queue.2"]
    assert len(found.revoked) == broker.setup.identity.has_certificate


@pytest.mark.slow
def test_a_revoked_role_stays_out_also_after_a_restart_until_it_gets_a_new_credential(
    broker: HardenedBroker, tmp_path: Path
) -> None:
    with RawClient(broker.options(Role.ADMIN)) as client, RawClient(broker.options(Role.QUEUE)) as other:
        revoke(broker.opened, choose(broker.opened.register, Role.ADMIN, old=False), utc_now())
        assert client.ended.wait(5)
        assert not other.ended.is_set()
    assert not any(comes_in(broker.options(Role.ADMIN)) for _ in range(ATTEMPTS))
    broker.stop()
    broker.start()
    assert not comes_in(broker.options(Role.ADMIN))
    rotate(broker.opened, Role.ADMIN, utc_now())
    assert comes_in(broker.options(Role.ADMIN))
    assert "admin.2" in list_at_broker(broker.opened)


@pytest.mark.slow
def test_the_operators_own_credential_is_rotated_and_the_one_in_use_is_not_revoked(
    broker: HardenedBroker,
) -> None:
    with pytest.raises(ConfigError, match="is what this command works with"):
        revoke(broker.opened, choose(broker.opened.register, "operator", old=False), utc_now())
    rotate(broker.opened, "operator", utc_now())
    revoke(broker.opened, choose(broker.opened.register, "operator.1", old=False), utc_now())
    assert "operator.1" not in list_at_broker(broker.opened)


@pytest.mark.slow
def test_a_new_server_certificate_is_shown_and_no_connection_ends(broker: HardenedBroker) -> None:
    before = read_served("localhost", broker.port)
    with RawClient(broker.options(Role.QUEUE)) as client:
        rotate_server(broker.opened, utc_now() + timedelta(hours=1))
        # A signal sent before two answered commands has been acted on.
        with broker.opened.operate() as operator:
            for _ in range(2):
                operator.send({"command": "getDefaultACLAccess"})
        after = read_served("localhost", broker.port)
        assert is_heard(client)
    assert before is not None
    assert after is not None
    assert before.serial != after.serial
    assert comes_in(broker.options(Role.QUEUE, "later"))


@pytest.mark.slow
def test_a_certificate_of_another_authority_and_none_at_all_are_refused(tmp_path: Path) -> None:
    with hardened_broker(Identity.CERTIFICATE) as broker, hardened_broker(Identity.CERTIFICATE) as stranger:
        foreign = stranger.options(Role.QUEUE)
        given = broker.options(Role.QUEUE)
        assert not comes_in(replace(given, certificate=foreign.certificate, key=foreign.key))
        assert not comes_in(replace(given, certificate="", key="", password="queue.1:x"))
        assert comes_in(given)
        distrusts = make_tls_context(replace(given, ca=foreign.ca))
        with socket.create_connection(given.address) as plain, pytest.raises(ssl.SSLCertVerificationError):
            distrusts.wrap_socket(plain, server_hostname="localhost")


REGISTER = Register(Release.V2_0, Identity.PASSWORD, ("localhost",), 1, "mosquitto")


def test_credentials_are_chosen_by_role_and_number() -> None:
    one, two = Credential("queue", 1), Credential("queue", 2)
    register = REGISTER.add(one).add(two)
    assert choose(register, "queue", old=False) == (one, two)
    assert choose(register, "queue", old=True) == (one,)
    assert choose(register, "queue.2", old=False) == (two,)
    for which, old, problem in (
        ("queue.3", False, "queue.3 has no credential"),
        ("queue.2", True, "has no older credential"),
        ("admin", False, "admin has no credential"),
        ("nonsense", False, "is no role of the broker: hubspot-handler"),
    ):
        with pytest.raises(NotFound, match=problem):
            choose(register, which, old=old)


class Unreachable:
    """A broker that does not answer the first times."""

    def __init__(self, failures: int) -> None:
        self.left, self.sent = failures, list[object]()

    def __call__(self, _options: BusOptions) -> AbstractContextManager[BrokerControl]:
        if self.left:
            self.left -= 1
            raise BrokerUnavailable("the broker did not answer a command: see its log")
        return self  # type: ignore[return-value]  # the part of it that is used

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def send(self, *commands: object) -> list[dict[str, object]]:
        self.sent += commands
        return [{} for _ in commands]


def written(folder: Path) -> tuple[BrokerFolder, Register]:
    made = BrokerFolder(folder)
    made.prepare()
    register = REGISTER.add(Credential("operator", 1)).add(Credential("queue", 1))
    made.write_for_part("operator", "login", "operator.1:x\n")
    made.write_register(register)
    return made, register


def test_a_rotation_that_does_not_reach_the_broker_changes_no_file(tmp_path: Path) -> None:
    folder, register = written(tmp_path)
    with pytest.raises(BrokerUnavailable):
        rotate(open_broker(tmp_path, Unreachable(1)), "queue", utc_now())
    assert folder.read_register() == register
    assert list(folder.part("queue").iterdir()) == []


def test_a_deletion_is_tried_again_where_the_broker_dropped_the_operator(tmp_path: Path) -> None:
    folder, register = written(tmp_path)
    flaky = Unreachable(2)
    connected = iter([Unreachable(0), flaky, flaky, flaky])

    def connect(options: BusOptions) -> AbstractContextManager[BrokerControl]:
        return next(connected)(options)

    broker = Broker(folder, register, connect)
    left = revoke(broker, register.of("queue"), utc_now())
    assert left.of("queue") == ()
    assert flaky.sent == [{"command": "deleteClient", "username": "queue.1"}]
    assert folder.read_register() == left


def test_a_signal_is_sent_to_no_other_process(tmp_path: Path) -> None:
    folder, _ = written(tmp_path)
    for text in (None, "nonsense", "1"):
        if text is not None:
            folder.pid.write_text(text)
        with pytest.raises(ConfigError, match="does not run on this machine"):
            reload_broker(folder)
    given = replace(REGISTER.add(Credential("operator", 1)), given=True)
    with pytest.raises(ConfigError, match="came from elsewhere"):
        rotate_server(Broker(folder, given, Unreachable(0)), utc_now())
