"""Certificates that OpenSSL accepts in its strict mode, and lists of revoked ones that replace the one before."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from wanesync.core.errors import ConfigError
from wanesync.ops.broker.certificates import (
    AUTHORITY_DAYS,
    LEAF_DAYS,
    KeyPair,
    check_pair,
    make_authority,
    make_client,
    make_revocations,
    make_server,
    read_certificate,
    utc_now,
)

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def test_a_server_certificate_has_its_names_and_a_client_certificate_its_user_name() -> None:
    authority = make_authority(NOW)
    server = read_certificate(make_server(authority, ["bus.example.com", "10.0.0.1"], NOW).certificate.encode())
    client = read_certificate(make_client(authority, "queue.2", NOW).certificate.encode())
    assert server.hosts == ("bus.example.com", "10.0.0.1")
    assert (client.name, client.hosts) == ("queue.2", ())
    assert client.ends == NOW + timedelta(days=LEAF_DAYS)
    assert client.serial != server.serial


def test_no_certificate_outlives_its_authority() -> None:
    authority = make_authority(NOW)
    late = NOW + timedelta(days=AUTHORITY_DAYS - 1)
    ends = read_certificate(make_client(authority, "queue.1", late).certificate.encode()).ends
    assert ends == NOW + timedelta(days=AUTHORITY_DAYS)


def test_a_strict_handshake_of_both_sides_succeeds(tmp_path: Path) -> None:
    now = utc_now()
    authority = make_authority(now)
    (tmp_path / "ca.pem").write_text(authority.certificate)
    for name, pair in {"s": make_server(authority, ["localhost"], now), "c": make_client(authority, "a", now)}.items():
        (tmp_path / f"{name}.pem").write_text(pair.certificate + pair.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context, name in ((server, "s"), (client, "c")):
        context.load_cert_chain(tmp_path / f"{name}.pem")
        context.load_verify_locations(tmp_path / "ca.pem")
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    server.verify_mode = ssl.CERT_REQUIRED
    here, there = socket.socketpair()
    subjects: list[object] = []

    def accept() -> None:
        with server.wrap_socket(there, server_side=True) as shown:
            subjects.append(shown.getpeercert())
            shown.sendall(b"!")

    thread = threading.Thread(target=accept)
    thread.start()
    with client.wrap_socket(here, server_hostname="localhost") as shown:
        assert shown.recv(1) == b"!"
    thread.join()
    assert "commonName" in str(subjects)


def test_a_list_of_revoked_certificates_is_newer_than_the_one_before_also_within_a_second() -> None:
    authority = make_authority(NOW)
    lists = [make_revocations(authority, [], NOW)]
    for serial in ("1f", "2e"):
        lists.append(make_revocations(authority, [serial], NOW, lists[-1].encode()))
    read = [x509.load_pem_x509_crl(one.encode()) for one in lists]
    times = [one.last_update_utc for one in read]
    assert times == sorted(set(times))
    assert times[-1] < NOW, "a list from the future is not taken"
    assert [one.serial_number for one in read[1]] == [0x1F]
    assert read[0].next_update_utc == NOW + timedelta(days=AUTHORITY_DAYS)


def test_a_key_of_another_certificate_and_text_that_is_none_are_refused() -> None:
    authority = make_authority(NOW)
    one, other = (make_server(authority, ["localhost"], NOW) for _ in range(2))
    check_pair(one, "it")
    with pytest.raises(ConfigError, match="it: the key is not that of the certificate"):
        check_pair(KeyPair(one.certificate, other.key), "it")
    with pytest.raises(ConfigError, match="it: is not a PEM certificate"):
        check_pair(KeyPair("nonsense", one.key), "it")


def test_a_given_authority_key_of_another_kind_is_refused() -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigError, match="is not one that wanesync broker-config made"):
        make_client(KeyPair(make_authority(NOW).certificate, key.decode()), "queue.1", NOW)
