"""``python -m tests.bench.pooled_burst [OPTIONS]``: ``wanesync bench burst`` on Postgres behind PgBouncer.

A temporary cluster, and a real PgBouncer in transaction mode in front of it; the options are those of the command.
"""

from __future__ import annotations

import subprocess
import sys

from tests.support.pgbouncer import pooled
from wanesync.bench.postgres_cluster import temporary_cluster


def main(options: list[str]) -> int:
    """Return the exit code of the command."""
    with temporary_cluster() as cluster, pooled(cluster.url) as url:
        command = [sys.executable, "-m", "wanesync", "bench", "burst", "--database", url, *options]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
