"""A real PgBouncer in transaction mode in front of a server on a Unix socket. ``make test`` installs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.support.ports import free_port

DEADLINE_S = 20
CONFIG = """\
[databases]
{name} = host={host} dbname={name} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 5000
ignore_startup_parameters = extra_float_digits
logfile = {folder}/pgbouncer.log
"""


@contextmanager
def pooled(url: str, size: int = 20) -> Iterator[str]:
    """The address of PgBouncer in front of the database of ``url``, with ``size`` connections to its server."""
    program = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if program is None:
        raise SystemExit("pgbouncer is missing: make pgbouncer")
    parts = urlsplit(url)
    host, name = parse_qs(parts.query)["host"][0], parts.path.removeprefix("/")
    with tempfile.TemporaryDirectory(prefix="pgb") as made:
        folder, port = Path(made), free_port()
        folder.chmod(0o777)
        file = folder / "pgbouncer.ini"
        file.write_text(CONFIG.format(host=host, name=name, port=port, size=size, folder=folder))
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        with subprocess.Popen([program, "-q", *user, str(file)]) as process:
            try:
                _wait_for(port)
                yield f"postgresql://postgres@127.0.0.1:{port}/{name}"
            finally:
                process.terminate()


def _wait_for(port: int) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)
        else:
            return
