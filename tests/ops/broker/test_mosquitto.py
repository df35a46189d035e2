"""The configuration file of each release: options that it knows, and none that it lacks or has deprecated."""

from __future__ import annotations

import socket
import ssl
import warnings
from pathlib import Path

import pytest

from tests.support.hardened_broker import HardenedBroker
from tests.support.mosquitto import FOUND
from wanesync.core.errors import ConfigError
from wanesync.ops.broker.limits import BrokerLimits
from wanesync.ops.broker.mosquitto import (
    DYNAMIC_SECURITY,
    BrokerFiles,
    BrokerOptions,
    Identity,
    Release,
    detect_release,
    find_plugins,
    find_program,
    list_plugins,
    write_configuration,
)

FILES = BrokerFiles(*(Path("/b") / name for name in ("ca", "crt", "key", "crl", "state", "dynsec", "pid", "lib")))

BOTH = set(
    """allow_anonymous allow_zero_length_clientid cafile certfile ciphers crlfile keyfile listener log_dest log_type
    max_connections max_inflight_messages max_keepalive max_packet_size max_queued_bytes max_queued_messages persistence
    persistence_location persistent_client_expiration pid_file plugin_opt_config_file protocol queue_qos0_messages
    require_certificate retain_available set_tcp_nodelay sys_interval tls_version use_identity_as_username
    user""".split()
)
"""Options of mosquitto.conf(5), man pages of the tags v2.0.11 and v2.1.2 of github.com/eclipse-mosquitto/mosquitto."""
KNOWN = {
    # per_listener_settings is deprecated since 2.1; what 2.1 has instead of built-in saves is its plugin
    # (mosquitto.org/documentation/persistence/sqlite).
    Release.V2_0: BOTH | {"per_listener_settings", "plugin", "autosave_interval"},
    Release.V2_1: BOTH
    | {"global_plugin", "global_max_connections", "global_max_clients", "listener_allow_anonymous"}
    | {"accept_protocol_versions", "plugin_opt_sync", "plugin_opt_flush_period"},
}


def options(release: Release, identity: Identity = Identity.PASSWORD) -> BrokerOptions:
    return BrokerOptions(release, 8883, "0.0.0.0", identity, "mosquitto", BrokerLimits())


def lines_of(release: Release, identity: Identity = Identity.PASSWORD) -> list[str]:
    text = write_configuration(options(release, identity), FILES)
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("release", Release)
@pytest.mark.parametrize("identity", Identity)
def test_every_option_is_one_of_the_release_and_nobody_is_anonymous(release: Release, identity: Identity) -> None:
    lines = lines_of(release, identity)
    assert {line.split()[0] for line in lines} <= KNOWN[release]
    assert "allow_anonymous false" in lines
    assert "set_tcp_nodelay true" in lines
    assert not any(line.startswith(("password_file", "acl_file", "memory_limit")) for line in lines)
    assert sum(line.startswith("listener ") for line in lines) == 1


def test_2_1_persists_through_its_plugin_alone_and_2_0_by_saving_each_second() -> None:
    assert {"persistence true", "autosave_interval 1"} <= set(lines_of(Release.V2_0))
    assert {"persistence false", "plugin_opt_flush_period 1", "plugin_opt_sync full"} <= set(lines_of(Release.V2_1))


def test_plugin_options_follow_their_plugin() -> None:
    lines = lines_of(Release.V2_1)
    security = lines.index(f"global_plugin /b/lib/{DYNAMIC_SECURITY}")
    assert lines[security + 1] == "plugin_opt_config_file /b/dynsec"


def test_certificates_of_clients_are_asked_for_only_where_they_have_some() -> None:
    assert "require_certificate true" not in lines_of(Release.V2_0)
    both = lines_of(Release.V2_0, Identity.BOTH)
    assert {"require_certificate true", "crlfile /b/crl"} <= set(both)
    assert "use_identity_as_username true" not in both
    assert "use_identity_as_username true" in lines_of(Release.V2_0, Identity.CERTIFICATE)


def program(folder: Path, prints: str) -> Path:
    made = folder / "mosquitto"
    made.write_text(f"#!/bin/sh\necho '{prints}'\nexit 3\n")
    made.chmod(0o700)
    return made


@pytest.mark.parametrize(("version", "release"), [("2.0.11", Release.V2_0), ("2.1.2", Release.V2_1)])
def test_the_release_is_asked_of_the_program(tmp_path: Path, version: str, release: Release) -> None:
    assert detect_release(program(tmp_path, f"mosquitto version {version}")) is release


@pytest.mark.parametrize(
    ("prints", "problem"), [("mosquitto version 1.6.9", "only 2.0 and 2.1"), ("hello", "--version")]
)
def test_a_program_that_is_too_old_or_another_one_is_refused(tmp_path: Path, prints: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        detect_release(program(tmp_path, prints))


def test_a_missing_program_and_missing_plugins_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="apt-get install mosquitto, or give --version"):
        find_program(str(tmp_path / "mosquitto"))
    with pytest.raises(ConfigError, match="name it with --plugins"):
        find_plugins("nonsense.so")
    with pytest.raises(ConfigError, match="does not name its version"):
        detect_release(tmp_path)


@pytest.mark.slow
def test_the_installed_program_and_its_plugins_are_found() -> None:
    release = detect_release(find_program(FOUND))
    assert (find_plugins(*list_plugins(release)) / DYNAMIC_SECURITY).is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("newest", "agreed"), [(ssl.TLSVersion.TLSv1_1, None), (ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (None, "TLSv1.3")]
)
def test_a_real_broker_speaks_tls_1_2_and_1_3_alone(
    broker: HardenedBroker, newest: ssl.TLSVersion | None, agreed: str | None
) -> None:
    context = ssl.create_default_context(cafile=broker.options("queue").ca)
    # So that it is the broker that refuses the old version, not this side.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        if newest is not None:
            context.maximum_version = newest
    with socket.create_connection(("127.0.0.1", broker.port)) as plain:
        if agreed is None:
            with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
                context.wrap_socket(plain, server_hostname="localhost")
            return
        with context.wrap_socket(plain, server_hostname="localhost") as shown:
            assert shown.version() == agreed
            name, *_ = shown.cipher() or ("",)
            assert "GCM" in name or "CHACHA20" in name


@pytest.mark.slow
def test_a_real_broker_answers_nothing_without_tls(broker: HardenedBroker) -> None:
    connect = bytes.fromhex("101000044d5154540502003c000003746f6d")
    with socket.create_connection(("127.0.0.1", broker.port)) as plain:
        plain.sendall(connect)
        try:
            answer = plain.recv(64)
        except ConnectionResetError:
            answer = b""
    assert answer[:1] in (b"", b"\x15"), "closed, or a TLS alert"
