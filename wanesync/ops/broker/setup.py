"""Writes everything a broker needs into one folder: configuration, certificates, roles, and what each part is given.

Run again it keeps the authority and all credentials, and writes the configuration and the rights of the roles anew.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from wanesync.core.errors import ConfigError
from wanesync.core.roles import Role
from wanesync.ops.broker.access import Client, describe_roles, make_document, make_password
from wanesync.ops.broker.certificates import (
    KeyPair,
    check_pair,
    make_authority,
    make_client,
    make_revocations,
    make_server,
    read_certificate,
)
from wanesync.ops.broker.folder import ROLES, BrokerFolder, Credential, Register, as_day
from wanesync.ops.broker.limits import BrokerLimits
from wanesync.ops.broker.mosquitto import BrokerFiles, BrokerOptions, Identity, Release, write_configuration

NAME_BYTES = 8
"""Random bytes of a queue process's name: another role that guessed its client id could take its session over."""


@dataclass(frozen=True, slots=True)
class GivenServer:
    """A server certificate from elsewhere, and the authority by which clients check it, PEM."""

    pair: KeyPair
    authority: str


@dataclass(frozen=True, slots=True)
class Issued:
    """A new credential, with what proves it."""

    credential: Credential
    client: Client
    pair: KeyPair | None = None


@dataclass(frozen=True, slots=True)
class BrokerSetup:
    """What a broker is to be. ``hosts``: the names and addresses it is called by, the first for the parts.

    ``at``: where the broker itself sees the folder, None: here.
    """

    release: Release
    identity: Identity
    hosts: Sequence[str]
    port: int
    bind: str
    user: str
    plugins: Path
    at: Path | None = None
    limits: BrokerLimits = field(default_factory=BrokerLimits)
    given: GivenServer | None = None


def write_locked(folder: BrokerFolder, setup: BrokerSetup, now: datetime) -> Register:
    """Do the same while no other command changes the folder. Raises ``ConfigError``."""
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([f"{error.filename} cannot be made ({error.strerror}): name another folder"]) from error
    with folder.changing():
        return write_broker(folder, setup, now)


def write_broker(folder: BrokerFolder, setup: BrokerSetup, now: datetime) -> Register:
    """Write or renew everything in a folder. Raises ``ConfigError``."""
    is_new = not (folder.root / "register.json").exists()
    register = _begin(setup) if is_new else _continue(folder.read_register(), setup)
    folder.prepare()
    _write_certificates(folder, setup, register, now, is_new=is_new)
    if is_new:
        register, clients = _make_clients(folder, register, now)
        folder.write_state(folder.dynamic_security, make_document(clients, setup.release))
    else:
        _renew_roles(folder, setup.release)
    folder.write_public(folder.configuration, write_configuration(_options(setup), _files(folder, setup)))
    for role in ROLES:
        folder.write_for_part(role, "bus.toml", describe_bus(folder, register, role))
    folder.write_register(register)
    return register


def _begin(setup: BrokerSetup) -> Register:
    given = setup.given is not None
    return Register(setup.release, setup.identity, tuple(setup.hosts), setup.port, setup.user, given)


def _continue(found: Register, setup: BrokerSetup) -> Register:
    if found.identity.has_certificate != setup.identity.has_certificate or (
        found.identity.has_password != setup.identity.has_password
    ):
        raise ConfigError(
            [f"this folder was made with --identity {found.identity}: give another folder for {setup.identity}"]
        )
    return replace(found, release=setup.release, hosts=tuple(setup.hosts), port=setup.port, user=setup.user)


def _renew_roles(folder: BrokerFolder, release: Release) -> None:
    """Give the roles the rights of this version; the clients stay. Raises ``ConfigError`` while the broker runs."""
    try:
        document = json.loads(folder.dynamic_security.read_text())
        before = {role["rolename"]: sorted(map(_as_key, role["acls"])) for role in document["roles"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{folder.dynamic_security} cannot be used ({type(error).__name__}): restore it from a backup"
        raise ConfigError([problem]) from error
    roles = describe_roles(release)
    if before == {str(role["rolename"]): sorted(map(_as_key, role["acls"])) for role in roles}:
        return
    if folder.find_process() is not None:
        raise ConfigError(["the rights of the roles have changed: stop the broker, run this again, and start it"])
    folder.write_state(folder.dynamic_security, json.dumps({**document, "roles": roles}, indent=1))


def _as_key(rule: Mapping[str, object]) -> tuple[str, str, bool]:
    return str(rule["acltype"]), str(rule["topic"]), bool(rule["allow"])


def _write_certificates(
    folder: BrokerFolder, setup: BrokerSetup, register: Register, now: datetime, *, is_new: bool
) -> None:
    if is_new:
        made = make_authority(now)
        (folder.root / "authority").mkdir(exist_ok=True)
        folder.write_private(folder.root / "authority" / "key.pem", made.key)
        folder.write_public(folder.root / "authority" / "certificate.pem", made.certificate)
        folder.write_public(folder.client_authority, made.certificate)
        folder.write_public(folder.revoked, make_revocations(made, register.revoked, now))
    authority = folder.authority
    if setup.given is not None:
        check_pair(setup.given.pair, "--certificate and --key")
        write_server(folder, setup.given.pair, setup.given.authority)
    elif is_new or not _is_called(folder, setup.hosts):
        write_server(folder, make_server(authority, setup.hosts, now), authority.certificate)


def _is_called(folder: BrokerFolder, hosts: Sequence[str]) -> bool:
    try:
        found = read_certificate((folder.server / "certificate.pem").read_bytes())
    except OSError:
        return False
    return set(hosts) <= set(found.hosts)


def write_server(folder: BrokerFolder, pair: KeyPair, authority: str) -> None:
    """Write the broker's certificate, and give every part the authority by which it checks it."""
    folder.write_for_broker(folder.server / "key.pem", pair.key)
    folder.write_for_broker(folder.server / "certificate.pem", pair.certificate)
    for role in ROLES:
        folder.write_for_part(role, "ca.pem", authority)


def _make_clients(folder: BrokerFolder, register: Register, now: datetime) -> tuple[Register, list[Client]]:
    clients = []
    for role in ROLES:
        issued = issue(folder, register, role, now)
        write_issued(folder, issued)
        register = register.add(issued.credential)
        clients.append(issued.client)
    return register, clients


def issue(folder: BrokerFolder, register: Register, role: str, now: datetime) -> Issued:
    """Make the next credential of a role; nothing is written. Raises ``ConfigError``."""
    made = Credential(role, register.last.get(role, 0) + 1)
    client = Client(made.username, role, make_password() if register.identity.has_password else "")
    if not register.identity.has_certificate:
        return Issued(made, client)
    pair = make_client(folder.authority, made.username, now)
    facts = read_certificate(pair.certificate.encode())
    return Issued(replace(made, serial=facts.serial, ends=as_day(facts.ends)), client, pair)


def write_issued(folder: BrokerFolder, issued: Issued) -> None:
    """Write a credential into the folder of its part, in place of the one before."""
    role = issued.credential.role
    if issued.pair is not None:
        folder.write_for_part(role, "key.pem", issued.pair.key)
        folder.write_for_part(role, "certificate.pem", issued.pair.certificate)
    if issued.client.password:
        folder.write_for_part(role, "login", f"{issued.client.username}:{issued.client.password}\n")


def describe_bus(folder: BrokerFolder, register: Register, role: str) -> str:
    """Return the ``[bus]`` table of a part, which refers to the files beside it."""
    return "\n".join((*_bus_lines(folder.part(role).absolute(), register, role), ""))


def _bus_lines(part: Path, register: Register, role: str) -> Iterator[str]:
    yield "[bus]"
    yield f"url = {json.dumps(f'mqtts://{register.hosts[0]}:{register.port}')}"
    if role == Role.QUEUE:
        yield "# Each queue process has its own, and keeps it. No other role may guess it: docs/broker.md#client-ids."
        yield f"name = {json.dumps(_queue_name(part))}"
    yield f"ca = {json.dumps(str(part / 'ca.pem'))}"
    if register.identity.has_password:
        yield f"password = {json.dumps(f'file:{part}/login')}"
    if register.identity.has_certificate:
        yield f"certificate = {json.dumps(str(part / 'certificate.pem'))}"
        yield f"key = {json.dumps(str(part / 'key.pem'))}"


def _queue_name(part: Path) -> str:
    """Return the name that the file has already, or a new one."""
    try:
        lines = (part / "bus.toml").read_text().splitlines()
    except OSError:
        lines = []
    kept = next((line.partition("=")[2].strip() for line in lines if line.startswith("name =")), "")
    return str(json.loads(kept)) if kept else f"1-{secrets.token_hex(NAME_BYTES)}"


def _options(setup: BrokerSetup) -> BrokerOptions:
    return BrokerOptions(setup.release, setup.port, setup.bind, setup.identity, setup.user, setup.limits)


def _files(folder: BrokerFolder, setup: BrokerSetup) -> BrokerFiles:
    absolute = BrokerFolder(setup.at or folder.root.absolute(), folder.user)
    return BrokerFiles(
        authority=absolute.client_authority,
        certificate=absolute.server / "certificate.pem",
        key=absolute.server / "key.pem",
        revoked=absolute.revoked,
        state=absolute.state,
        dynamic_security=absolute.dynamic_security,
        pid=absolute.pid,
        plugins=setup.plugins,
    )
