"""What ``broker-config`` writes, without a broker: a second run keeps every credential."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from wanesync.bus.client import split_login
from wanesync.config.model import load
from wanesync.core.errors import ConfigError
from wanesync.ops.broker.certificates import KeyPair, make_authority, make_server, read_certificate, utc_now
from wanesync.ops.broker.folder import ROLES, BrokerFolder
from wanesync.ops.broker.mosquitto import Identity, Release
from wanesync.ops.broker.setup import BrokerSetup, GivenServer, write_broker

SETUP = BrokerSetup(
    Release.V2_0, Identity.PASSWORD, ("localhost", "127.0.0.1"), 8883, "127.0.0.1", "mosquitto", Path("/lib")
)
NOW = utc_now()


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_each_part_has_what_it_needs_and_no_secret_stands_elsewhere(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path)
    register = write_broker(folder, SETUP, NOW)
    assert [one.username for one in register.credentials] == [f"{role}.1" for role in ROLES]
    written = contents(tmp_path)
    passwords = {role: written[f"parts/{role}/login"].strip().partition(":")[2] for role in ROLES}
    assert len(set(passwords.values())) == len(ROLES)
    assert all(len(password) == 43 for password in passwords.values())
    for role, password in passwords.items():
        assert [name for name, text in written.items() if password in text] == [f"parts/{role}/login"]


@pytest.mark.parametrize("identity", Identity)
def test_the_bus_table_of_a_part_is_read_by_its_configuration(tmp_path: Path, identity: Identity) -> None:
    folder = BrokerFolder(tmp_path / "broker")
    write_broker(folder, replace(SETUP, identity=identity), NOW)
    for role in ROLES[:-1]:
        part = folder.part(role)
        file = tmp_path / "wanesync.toml"
        file.write_text((part / "bus.toml").read_text() + '[create]\ncustomers = "all"\ncontacts = "all"\n')
        bus = load(file, {}, {"bus.password"}).bus
        assert bus.url == "mqtts://localhost:8883"
        assert (bus.certificate is not None) == identity.has_certificate
        if identity.has_password:
            assert bus.password is not None
            username, password = split_login("", bus.password.get_secret_value())
            assert (username, len(password)) == (f"{role}.1", 43)
        else:
            assert bus.password is None


def test_a_queue_process_has_a_name_that_cannot_be_guessed_and_keeps_it(tmp_path: Path) -> None:
    names = []
    for number in (1, 1, 2):
        folder = BrokerFolder(tmp_path / str(number))
        write_broker(folder, SETUP, NOW)
        names.append(tomllib.loads((folder.part("queue") / "bus.toml").read_text())["bus"]["name"])
    assert names[0] == names[1] != names[2]
    assert len(names[0]) >= 16


def test_a_second_run_keeps_credentials_and_authority_and_takes_what_was_changed(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path)
    write_broker(folder, SETUP, NOW)
    before = contents(tmp_path)
    write_broker(folder, SETUP, NOW)
    assert contents(tmp_path) == before
    write_broker(folder, replace(SETUP, hosts=("bus.example.com",), port=9999), NOW)
    after = contents(tmp_path)
    changed = {name for name, text in after.items() if before[name] != text}
    buses = {f"parts/{role}/bus.toml" for role in ROLES}
    assert changed == {"mosquitto.conf", "register.json", "server/certificate.pem", "server/key.pem"} | buses
    assert read_certificate(after["server/certificate.pem"].encode()).hosts == ("bus.example.com",)
    with pytest.raises(ConfigError, match="was made with --identity password"):
        write_broker(folder, replace(SETUP, identity=Identity.CERTIFICATE), NOW)


def test_a_second_run_gives_roles_the_rights_of_this_version(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path)
    write_broker(folder, SETUP, NOW)
    kept = json.loads(folder.dynamic_security.read_text())
    changed = {**kept, "roles": [], "clients": kept["clients"][:3]}
    folder.dynamic_security.write_text(json.dumps(changed))
    write_broker(folder, SETUP, NOW)
    found = json.loads(folder.dynamic_security.read_text())
    assert found == {**kept, "clients": kept["clients"][:3]}


def test_a_broker_in_a_container_sees_the_folder_elsewhere(tmp_path: Path) -> None:
    write_broker(BrokerFolder(tmp_path), replace(SETUP, at=Path("/etc/mosquitto")), NOW)
    text = (tmp_path / "mosquitto.conf").read_text()
    assert "keyfile /etc/mosquitto/server/key.pem" in text
    assert str(tmp_path) not in text


def test_a_server_certificate_from_elsewhere_is_used_and_its_authority_given_to_the_parts(tmp_path: Path) -> None:
    authority = make_authority(NOW)
    pair = make_server(authority, ["bus.example.com"], NOW)
    given = GivenServer(pair, authority.certificate)
    folder = BrokerFolder(tmp_path)
    assert write_broker(folder, replace(SETUP, given=given), NOW).given
    assert (folder.server / "certificate.pem").read_text() == pair.certificate
    assert (folder.part("queue") / "ca.pem").read_text() == authority.certificate
    assert folder.client_authority.read_text() != authority.certificate
    wrong = GivenServer(KeyPair(pair.certificate, authority.key), authority.certificate)
    with pytest.raises(ConfigError, match="--certificate and --key: the key is not"):
        write_broker(folder, replace(SETUP, given=wrong), NOW)
