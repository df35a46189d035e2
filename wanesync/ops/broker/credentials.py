"""Rotates and revokes credentials at a running broker, and shows which are good.

A credential has a user name of its own (``queue.2``), so that a role may have two while its processes change over.
With a certificate as identity, disabling a client at the plugin is not enough: it keeps its rights (mosquitto#2999,
measured on 2.0.11 and 2.1.2). So the certificate goes onto the list of revoked ones, which SIGHUP makes the broker
read, and the client is deleted, which disconnects it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from wanesync.bus.broker_control import BrokerControl, BrokerRefused, BrokerUnavailable
from wanesync.bus.client import BusOptions
from wanesync.core.errors import ConfigError, NotFound
from wanesync.ops.broker.access import OPERATOR
from wanesync.ops.broker.certificates import make_revocations, make_server
from wanesync.ops.broker.folder import ROLES, BrokerFolder, Credential, Register
from wanesync.ops.broker.setup import issue, write_issued, write_server

RELOADED_AFTER = 2
"""Answered commands after which a signal sent before them has been acted on: the broker handles signals at the end of
each turn of its only loop."""
ATTEMPTS = 3
"""How often a deletion is tried: Mosquitto 2.0.11 may drop the operator's connection although it deleted the client."""

Connect = Callable[[BusOptions], AbstractContextManager[BrokerControl]]


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker's folder with the way to its running process."""

    folder: BrokerFolder
    register: Register
    connect: Connect

    def operate(self) -> AbstractContextManager[BrokerControl]:
        """Connect as the operator. Raises ``BrokerUnavailable``, ``BrokerRefused``, ``ConfigError``."""
        return self.connect(options_of(self.folder, self.register, OPERATOR, f"{OPERATOR}-{os.getpid()}"))


def open_broker(root: Path, connect: Connect) -> Broker:
    """Return the broker of a folder. Raises ``ConfigError``."""
    register = BrokerFolder(root).read_register()
    return Broker(BrokerFolder(root, register.user), register, connect)


def options_of(folder: BrokerFolder, register: Register, role: str, client_id: str) -> BusOptions:
    """Return how a role connects, from the files of its part. Raises ``ConfigError``."""
    part, identity = folder.part(role), register.identity
    try:
        login = (part / "login").read_text().strip() if identity.has_password else ""
    except OSError as error:
        raise ConfigError([f"{error.filename} cannot be read ({error.strerror}): run it as root"]) from error
    return BusOptions(
        url=f"mqtts://{register.hosts[0]}:{register.port}",
        client_id=client_id,
        password=login,
        ca=str(part / "ca.pem"),
        certificate=str(part / "certificate.pem") if identity.has_certificate else "",
        key=str(part / "key.pem") if identity.has_certificate else "",
    )


def rotate(broker: Broker, role: str, now: datetime) -> Register:
    """Give a role a further credential, at the broker and then in its part's folder; those it has stay good.

    Raises ``ConfigError``, ``BrokerUnavailable``, ``BrokerRefused``: nothing has changed, or a second call mends it.
    """
    _check_role(role)
    issued = issue(broker.folder, broker.register, role, now)
    register = broker.register.add(issued.credential)
    client = issued.client
    with broker.operate() as operator:
        broker.folder.write_register(register)
        command: dict[str, object] = {"username": client.username, "roles": [{"rolename": client.role}]}
        if client.password:
            command["password"] = client.password
        operator.send({"command": "createClient", **command})
    write_issued(broker.folder, issued)
    return register


def rotate_server(broker: Broker, now: datetime) -> None:
    """Give the broker a new certificate; connections that stand are not touched.

    Raises ``ConfigError``: it came from elsewhere, or the broker does not run here.
    """
    register, folder = broker.register, broker.folder
    if register.given:
        raise ConfigError(
            ["the broker's certificate came from elsewhere: renew it there, then wanesync broker-config again"]
        )
    pair = make_server(folder.authority, register.hosts, now)
    write_server(folder, pair, folder.authority.certificate)
    reload_broker(folder)


def revoke(broker: Broker, credentials: Sequence[Credential], now: datetime) -> Register:
    """Take credentials back: their connections end, and none comes back.

    Raises ``ConfigError``, ``BrokerUnavailable``, ``BrokerRefused``: a second call goes on where this one stopped.
    """
    register, folder = broker.register, broker.folder
    current = register.of(OPERATOR)[-1]
    if current in credentials:
        raise ConfigError([f"{current.username} is what this command works with: wanesync broker rotate {OPERATOR}"])
    with broker.operate() as operator:
        serials = [one.serial for one in credentials if one.serial]
        if serials:
            revoked = tuple(dict.fromkeys((*register.revoked, *serials)))
            folder.write_public(folder.revoked, _list_revoked(folder, revoked, now))
            folder.write_register(replace(register, revoked=revoked))
            reload_broker(folder)
            for _ in range(RELOADED_AFTER):
                operator.send({"command": "getDefaultACLAccess"})
    for one in credentials:
        _delete(broker, one)
        register = register.drop(one)
        folder.write_register(register)
    return register


def choose(register: Register, which: str, *, old: bool) -> tuple[Credential, ...]:
    """Return the credentials that ``which`` names: ``ROLE`` or ``ROLE.number``. ``old``: all but the newest.

    Raises ``NotFound``.
    """
    role, _, number = which.partition(".")
    _check_role(role)
    found = register.of(role)
    if number:
        found = tuple(one for one in found if str(one.number) == number)
    if old:
        found = found[:-1]
    if not found:
        raise NotFound(f"{which} has no {'older ' if old else ''}credential: see wanesync broker status")
    return found


def list_at_broker(broker: Broker) -> frozenset[str]:
    """Return the user names that the broker lets in. Raises ``BrokerUnavailable``, ``BrokerRefused``."""
    with broker.operate() as operator:
        (found,) = operator.send({"command": "listClients", "verbose": True, "count": -1, "offset": 0})
    clients = found.get("clients")
    return frozenset(
        str(one["username"])
        for one in (clients if isinstance(clients, list) else [])
        if isinstance(one, Mapping) and not one.get("disabled")
    )


def reload_broker(folder: BrokerFolder) -> None:
    """Let the broker read its certificates and the list of revoked ones again. Raises ``ConfigError``."""
    pid = folder.find_process()
    if pid is None:
        raise ConfigError([f"the broker of {folder.root} does not run on this machine: start it, then run this again"])
    try:
        os.kill(pid, signal.SIGHUP)
    except PermissionError as error:
        raise ConfigError([f"the broker belongs to another user (process {pid}): run it as root"]) from error


def _list_revoked(folder: BrokerFolder, serials: Sequence[str], now: datetime) -> str:
    return make_revocations(folder.authority, serials, now, folder.revoked.read_bytes())


def _delete(broker: Broker, one: Credential) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with broker.operate() as operator, suppress(BrokerRefused):
                # It is not there any more: what was wanted.
                operator.send({"command": "deleteClient", "username": one.username})
            return
        except BrokerUnavailable:
            if attempt == ATTEMPTS:
                raise


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise NotFound(f"{role} is no role of the broker: {', '.join(ROLES)}")
