"""Certificates of a broker: an authority of its own, server and client certificates, a list of revoked ones.

Everything is PEM text. Keys are P-256, as all TLS 1.2 and 1.3 clients take them (RFC 8446, 9.1).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wanesync.core.errors import ConfigError

AUTHORITY_DAYS = 3650
"""Ten years: Mosquitto takes another authority at a restart only, so it is not to be a yearly event (our choice)."""
LEAF_DAYS = 365
"""A year for servers and clients: renewed by one command, without a restart (our choice)."""
BACKDATED = timedelta(hours=1)
"""How far a beginning lies back, for machines whose clock is behind."""
ONE_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says: common name, serial number (hexadecimal), end of its validity, names of a server."""

    name: str
    serial: str
    ends: datetime
    hosts: tuple[str, ...] = ()


def read_certificate(pem: bytes) -> CertificateFacts:
    """Return what the first certificate of ``pem`` says. Raises ``ValueError`` if it is none."""
    found = x509.load_pem_x509_certificate(pem)
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    return CertificateFacts(name, f"{found.serial_number:x}", found.not_valid_after_utc, _read_hosts(found))


def _read_hosts(found: x509.Certificate) -> tuple[str, ...]:
    try:
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names, addresses = (alternatives.get_values_for_type(kind) for kind in (x509.DNSName, x509.IPAddress))
    return (*names, *map(str, addresses))


def make_authority(now: datetime) -> KeyPair:
    """Return a certificate authority for one broker; it signs no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wanesync broker authority")])
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        _begin(name, name, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _as_pem(made, key)


def make_server(authority: KeyPair, hosts: Sequence[str], now: datetime) -> KeyPair:
    """Return the certificate of a broker that clients call by one of ``hosts``, names or addresses."""
    names = x509.SubjectAlternativeName([_as_general_name(host) for host in hosts])
    return _make_leaf(authority, hosts[0], ExtendedKeyUsageOID.SERVER_AUTH, names, now)


def make_client(authority: KeyPair, username: str, now: datetime) -> KeyPair:
    """Return the certificate of a client, whose common name is its user name."""
    return _make_leaf(authority, username, ExtendedKeyUsageOID.CLIENT_AUTH, None, now)


def make_revocations(authority: KeyPair, serials: Sequence[str], now: datetime, previous: bytes | None = None) -> str:
    """Return the list of revoked certificates, newer than ``previous``: OpenSSL prefers the newest that it has.

    It ends with the authority: while it is out of date, a broker lets no client in.
    """
    key, issuer = _load(authority)
    began = now - BACKDATED
    if previous is not None:
        began = max(began, x509.load_pem_x509_crl(previous).last_update_utc + ONE_SECOND)
    builder = x509.CertificateRevocationListBuilder(issuer.subject, began, issuer.not_valid_after_utc)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder(int(serial, 16), began)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def check_pair(pair: KeyPair, what: str) -> None:
    """Raise ``ConfigError`` unless ``pair`` is a certificate with its own key."""
    try:
        key = load_pem_private_key(pair.key.encode(), None)
        found = x509.load_pem_x509_certificate(pair.certificate.encode())
    except (ValueError, TypeError) as error:
        raise ConfigError([f"{what}: is not a PEM certificate with a PEM key without a password: {error}"]) from None
    if key.public_key() != found.public_key():
        raise ConfigError([f"{what}: the key is not that of the certificate: give the two that belong together"])


def _make_leaf(
    authority: KeyPair,
    name: str,
    purpose: x509.ObjectIdentifier,
    alternatives: x509.SubjectAlternativeName | None,
    now: datetime,
) -> KeyPair:
    signer, issuer = _load(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=False,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    days = min(LEAF_DAYS, (issuer.not_valid_after_utc - now).days)
    builder = (
        _begin(subject, issuer.subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    return _as_pem(builder.sign(signer, hashes.SHA256()), key)


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer, subject, key, x509.random_serial_number(), now - BACKDATED, now + timedelta(days=days)
    )


def _load(authority: KeyPair) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = load_pem_private_key(authority.key.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(["the key of the authority is not one that wanesync broker-config made"])
    return key, x509.load_pem_x509_certificate(authority.certificate.encode())


def _as_pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return KeyPair(certificate.public_bytes(Encoding.PEM).decode(), private.decode())


def _as_general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)
