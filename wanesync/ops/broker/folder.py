"""The folder that ``wanesync broker-config`` writes: files, modes, owners, and the register of credentials.

``parts/ROLE`` holds what a part needs, and nothing of another; ``authority`` stays with the operator.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from wanesync.core.errors import ConfigError
from wanesync.core.roles import BUS_ROLES
from wanesync.folder_lock import lock_folder
from wanesync.ops.broker.access import OPERATOR
from wanesync.ops.broker.certificates import KeyPair
from wanesync.ops.broker.mosquitto import PROGRAM, Identity, Release

CONFIGURATION = "mosquitto.conf"
REGISTER = "register.json"
PRIVATE, GROUP, PUBLIC = 0o600, 0o640, 0o644
ROLES = (*map(str, BUS_ROLES), OPERATOR)
"""The roles that have credentials of the broker."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client proves itself with. ``number``: counted from 1 in each role; the user name is ``ROLE.number``."""

    role: str
    number: int
    serial: str = ""
    ends: str = ""

    @property
    def username(self) -> str:
        """The name that the broker has it under."""
        return f"{self.role}.{self.number}"


@dataclass(frozen=True, slots=True)
class Register:
    """What a broker's folder was made for, which credentials are good, and the serials of revoked certificates.

    ``given``: the server's certificate came from elsewhere. ``last``: role -> the highest number used so far.
    """

    release: Release
    identity: Identity
    hosts: tuple[str, ...]
    port: int
    user: str
    given: bool = False
    credentials: tuple[Credential, ...] = ()
    revoked: tuple[str, ...] = ()
    last: dict[str, int] = field(default_factory=dict)

    def of(self, role: str) -> tuple[Credential, ...]:
        """Return the good credentials of a role, the newest last."""
        return tuple(one for one in self.credentials if one.role == role)

    def add(self, made: Credential) -> Register:
        """Return the register with one more credential."""
        return replace(self, credentials=(*self.credentials, made), last={**self.last, made.role: made.number})

    def drop(self, gone: Credential) -> Register:
        """Return the register without a credential, its certificate among the revoked ones."""
        kept = tuple(one for one in self.credentials if one != gone)
        return replace(self, credentials=kept, revoked=(*self.revoked, *filter(None, (gone.serial,))))

    def as_text(self) -> str:
        """The register as its file holds it; nothing in it is secret."""
        return json.dumps(asdict(self), indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class BrokerFolder:
    """Where everything is. ``state``: what the broker itself writes; ``user``: that the broker runs as."""

    root: Path
    user: str = "mosquitto"

    @property
    def configuration(self) -> Path:
        """Mosquitto's configuration."""
        return self.root / CONFIGURATION

    @property
    def authority(self) -> KeyPair:
        """The authority of this broker. Raises ``ConfigError`` if it is not there."""
        return self.read_pair(self.root / "authority")

    @property
    def server(self) -> Path:
        """The folder of the broker's own certificate."""
        return self.root / "server"

    @property
    def client_authority(self) -> Path:
        """The certificate by which the broker knows clients."""
        return self.root / "clients-ca.pem"

    @property
    def revoked(self) -> Path:
        """The list of revoked certificates."""
        return self.root / "revoked.pem"

    @property
    def state(self) -> Path:
        """The folder that the broker writes into."""
        return self.root / "state"

    @property
    def dynamic_security(self) -> Path:
        """The file of the dynamic security plugin."""
        return self.state / "dynamic-security.json"

    @property
    def pid(self) -> Path:
        """The file of the broker's process id."""
        return self.state / "mosquitto.pid"

    def find_process(self) -> int | None:
        """Return the process id of the broker that runs with this folder, None if none does on this machine."""
        try:
            pid = int(self.pid.read_text())
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except (OSError, ValueError):
            return None
        return pid if name == PROGRAM else None

    def part(self, role: str) -> Path:
        """The folder of what a role needs."""
        return self.root / "parts" / role

    def changing(self) -> AbstractContextManager[None]:
        """Inside, no other command changes the register: one that had read it before would write it back as it was.

        Entering raises ``ConfigError``.
        """
        return lock_folder(self.root)

    def prepare(self) -> None:
        """Make the folders: the broker's group may pass, a part's folder is its own. Raises ``ConfigError``."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for folder, mode in ((self.root, 0o711), (self.root / "parts", 0o711), (self.root / "authority", 0o700)):
                folder.mkdir(exist_ok=True)
                folder.chmod(mode)
            for folder in (self.server, self.state):
                folder.mkdir(exist_ok=True)
                folder.chmod(0o750 if folder == self.server else 0o700)
            give_to(self.server, "root", self.user)
            give_to(self.state, self.user, self.user)
            for role in ROLES:
                self.part(role).mkdir(exist_ok=True)
                self.part(role).chmod(0o700)
                give_to(self.part(role), f"wanesync-{role}", f"wanesync-{role}")
        except OSError as error:
            raise ConfigError([f"{error.filename} cannot be made ({error.strerror}): name another folder"]) from error

    def write_private(self, path: Path, text: str) -> None:
        """Write what only the operator may read."""
        write_file(path, text, PRIVATE)

    def write_public(self, path: Path, text: str) -> None:
        """Write what is no secret and the broker reads."""
        write_file(path, text, PUBLIC)

    def write_for_broker(self, path: Path, text: str) -> None:
        """Write what only root and the broker may read."""
        write_file(path, text, GROUP, "root", self.user)

    def write_state(self, path: Path, text: str) -> None:
        """Write what the broker changes itself."""
        write_file(path, text, PRIVATE, self.user, self.user)

    def write_for_part(self, role: str, name: str, text: str) -> None:
        """Write what only a part may read: to its Unix user, where there is one."""
        write_file(self.part(role) / name, text, PRIVATE, f"wanesync-{role}", f"wanesync-{role}")

    def read_pair(self, folder: Path) -> KeyPair:
        """Return a certificate and its key. Raises ``ConfigError``."""
        try:
            return KeyPair((folder / "certificate.pem").read_text(), (folder / "key.pem").read_text())
        except OSError as error:
            raise ConfigError([f"{error.filename} cannot be read ({error.strerror}): {ADVICE}"]) from error

    def read_register(self) -> Register:
        """Return the register. Raises ``ConfigError`` where there is none."""
        try:
            data: dict[str, Any] = json.loads((self.root / REGISTER).read_text())
            credentials = tuple(Credential(**one) for one in data.pop("credentials"))
            release, identity = Release(data.pop("release")), Identity(data.pop("identity"))
            hosts, revoked = (tuple(data.pop(name)) for name in ("hosts", "revoked"))
            return Register(release, identity, hosts, credentials=credentials, revoked=revoked, **data)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError([f"{self.root} is no folder of a broker ({type(error).__name__}): {ADVICE}"]) from error

    def write_register(self, register: Register) -> None:
        """Write the register."""
        self.write_private(self.root / REGISTER, register.as_text())


ADVICE = "name the folder that wanesync broker-config wrote, as the user that ran it"


def write_file(path: Path, text: str, mode: int, owner: str = "", group: str = "") -> None:
    """Write a whole file in one step: a reader finds the old or the new one. Raises ``ConfigError``."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            # By its handle: a part's folder is its own, and it may put a link in the place of the name meanwhile.
            give_to(file.fileno(), owner, group)
            os.fchmod(file.fileno(), mode)
        beside.replace(path)
    except OSError as error:
        raise ConfigError([f"{path} cannot be written ({error.strerror}): name another folder"]) from error


def give_to(path: Path | int, owner: str, group: str) -> None:
    """Let a file, or what a handle leads to, belong to a user and a group that exist here; only root can do that."""
    if os.geteuid() == 0:
        os.chown(path, _user_id(owner), _group_id(group))


def find_closed(folder: Path, user: str) -> Path | None:
    """Return the first folder above this one through which a user may not pass; None for a user that is not here."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return None
    groups = os.getgrouplist(user, account.pw_gid)
    above = reversed(folder.absolute().parents)
    return next((one for one in above if not may_pass(one.stat(), account.pw_uid, groups)), None)


def may_pass(found: os.stat_result, uid: int, groups: Sequence[int]) -> bool:
    """Return whether a user of some groups may pass a folder."""
    if uid in (0, found.st_uid):
        return uid == 0 or bool(found.st_mode & stat.S_IXUSR)
    return bool(found.st_mode & (stat.S_IXGRP if found.st_gid in groups else stat.S_IXOTH))


def _user_id(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid if name else 0
    except KeyError:
        return 0


def _group_id(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid if name else 0
    except KeyError:
        return 0


def as_day(moment: datetime) -> str:
    """Return the day of a moment, as the register holds it."""
    return moment.strftime("%Y-%m-%d")
