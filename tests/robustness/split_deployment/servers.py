"""The two servers of the deployment: Debian's Postgres with TLS and passwords, and Mosquitto as our command has it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from tests.robustness.split_deployment.users import runs_as_root
from tests.support.certificates import Authority
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port
from wanesync.bench.postgres_cluster import SETTINGS
from wanesync.store.roles.matrix import Role

START_S = 60
SYSTEM_USER = "postgres"
ACCESS = "hostssl all all 127.0.0.1/32 scram-sha-256\n"
"""All of pg_hba.conf: over TLS and with a password, or not at all."""


def find_programs() -> Path:
    """The folder of the newest Postgres that Debian has installed; it speaks TLS."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    if not found:
        raise SystemExit("Postgres with TLS is missing: apt-get install postgresql")
    return found[-1]


@dataclass
class TlsPostgres:
    """One Postgres that is reached over TLS only, with a login and a password for each role."""

    folder: Path
    port: int = field(default_factory=free_port)
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def authority(self) -> Path:
        """The certificate by which clients check the server."""
        return self.folder / "Test-CA.pem"

    def address(self, user: str, authority: Path | None = None) -> str:
        """The address for a user, with its password."""
        return (
            f"postgresql://{user}:{self.passwords[user]}@localhost:{self.port}/wanesync"
            f"?sslmode=verify-full&sslrootcert={authority or self.authority}"
        )

    def login(self, role: Role, authority: Path) -> str:
        """The address for a role of wanesync."""
        return self.address(f"wanesync_{role}", authority)

    def create(self) -> None:
        """Create the files, start, and create the database."""
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.data.mkdir(mode=0o700)
        pair = Authority(self.folder).issue("localhost", stem="server")
        self.authority.chmod(0o644)
        self.passwords[SYSTEM_USER] = secrets.token_urlsafe(24)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(self.passwords[SYSTEM_USER])
        self._give(self.data, password, pair.key)
        self._run("initdb", f"--pgdata={self.data}", f"--username={SYSTEM_USER}", f"--pwfile={password}",
                  "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")  # fmt: skip
        password.unlink()
        (self.data / "pg_hba.conf").write_text(ACCESS)
        self._settings = [
            *(setting for setting in SETTINGS if not setting.startswith("listen_addresses")),
            "listen_addresses=127.0.0.1", f"port={self.port}", "unix_socket_directories=",
            "ssl=on", f"ssl_cert_file={pair.certificate}", f"ssl_key_file={pair.key}",
        ]  # fmt: skip
        self.start(database="postgres")
        self.run("CREATE DATABASE wanesync", database="postgres")

    def _give(self, *paths: Path) -> None:
        if runs_as_root():
            account = pwd.getpwnam(SYSTEM_USER)
            for path in paths:
                os.chown(path, account.pw_uid, account.pw_gid)

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [str(find_programs() / program), *arguments]

    def _run(self, program: str, *arguments: str) -> None:
        user = SYSTEM_USER if runs_as_root() else None
        done = subprocess.run(
            self._command(program, *arguments), check=False, cwd=self.folder, user=user, group=user,
            extra_groups=[] if user else None, capture_output=True, text=True, timeout=START_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, database: str = "wanesync") -> None:
        """Start it and wait until it answers; after a kill the processes it left behind must end first."""
        user = SYSTEM_USER if runs_as_root() else None
        options = [option for setting in self._settings for option in ("-c", setting)]
        deadline_s = time.monotonic() + START_S
        while True:
            if self._process is None or self._process.poll() is not None:
                with (self.folder / "log").open("ab") as log:
                    self._process = subprocess.Popen(
                        self._command("postgres", "-D", str(self.data), *options), cwd=self.folder, user=user,
                        group=user, extra_groups=[] if user else None, stdout=log, stderr=log,
                    )  # fmt: skip
            try:
                self.run("SELECT 1", database=database)
            except psycopg.OperationalError:
                assert time.monotonic() < deadline_s, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.1)
            else:
                return

    def run(self, statement: LiteralString, *names: str, database: str = "wanesync") -> None:
        """Run a statement as superuser."""
        address = self.address(SYSTEM_USER).replace("/wanesync?", f"/{database}?")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*names))

    def set_passwords(self) -> None:
        """Give each role a password of its own, as ``\\password`` of psql does: only its hash is sent."""
        for role in Role:
            name = f"wanesync_{role}"
            self.passwords[name] = secrets.token_urlsafe(24)
            with psycopg.connect(self.address(SYSTEM_USER), autocommit=True) as connection:
                hashed = connection.pgconn.encrypt_password(self.passwords[name].encode(), name.encode())
                statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(name), sql.Literal(hashed.decode())))

    def kill(self) -> None:
        """SIGKILL for the server."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(START_S)

    def stop(self) -> None:
        """End it and its connections."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(START_S)


class ConfiguredBroker(Mosquitto):
    """A Mosquitto with exactly the folder that ``wanesync broker-config`` wrote."""

    def __init__(self, folder: Path, port: int) -> None:
        if shutil.which("mosquitto") is None and not Path("/usr/sbin/mosquitto").exists():
            raise SystemExit("mosquitto is missing: apt-get install mosquitto")
        self.folder, self.port = folder, port
        self.url = f"mqtts://localhost:{port}"
        self._config = folder / "mosquitto.conf"
        self._process = None
