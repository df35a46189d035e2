"""Signed Stripe webhooks into Postgres: ``wanesync serve`` beside Stripe's sync-engine, in turns, on one machine.

    npm install --prefix .peer @stripe/sync-engine@1.0.32
    .venv/bin/python -m tests.bench.door --peer .peer --specification spec3.json

Both store each event durably before they answer 200, both behind the same client over the same number of connections,
each in a database of its own on one server. ``--specification``: Stripe's OpenAPI document, from which the peer makes
its tables; without it the peer fetches it. Without ``--peer`` only ``wanesync serve`` is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from wanesync.bench.environment import OWN_POSTGRES, STRIPE_SECRET, Environment, open_environment
from wanesync.bench.figures import describe_machine
from wanesync.bench.resource_usage import NICE
from wanesync.core.setup.api_versions import STRIPE_VERSION

FOLDER = Path(__file__).parent
RUN_S = 300
WARM_UP = 300


@dataclass(slots=True)
class Door:
    """One door under measurement: its address, its processes, and posts a second of each run by connections."""

    name: str
    address: str
    pid: int
    database_pid: int
    per_s: dict[int, list[float]] = field(default_factory=dict)
    p99_ms: dict[int, list[float]] = field(default_factory=dict)
    cpu_ms: dict[int, list[float]] = field(default_factory=dict)
    database_cpu_ms: dict[int, list[float]] = field(default_factory=dict)

    def run(self, connections: int, posts: int, first: int) -> None:
        """Send a number of webhooks and keep the figures."""
        before_s, database_before_s = _read_cpu_s(self.pid), _read_cpu_s(self.database_pid)
        figures = _send(self.address, connections, posts, first)
        self.per_s.setdefault(connections, []).append(figures["per_s"])
        self.p99_ms.setdefault(connections, []).append(figures["p99_ms"])
        cpu_ms = (_read_cpu_s(self.pid) - before_s) * 1000 / posts
        self.cpu_ms.setdefault(connections, []).append(round(cpu_ms, 3))
        cpu_ms = (_read_cpu_s(self.database_pid) - database_before_s) * 1000 / posts
        self.database_cpu_ms.setdefault(connections, []).append(round(cpu_ms, 3))


def _send(address: str, connections: int, posts: int, first: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.door.load", address, "--secret", STRIPE_SECRET]
    command += ["--version", STRIPE_VERSION, "--posts", str(posts), "--first", str(first)]
    command += ["--connections", str(connections)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=RUN_S).stdout
    figures: dict[str, float] = json.loads(output)
    if figures["refused"]:
        raise SystemExit(f"{address} refused {figures['refused']} of {posts} webhooks")
    return figures


def _read_cpu_s(pid: int) -> float:
    """CPU time of a process and of its children, those that have ended included (proc(5))."""
    ticks = 0
    for task in [pid, *_children(pid)]:
        fields = Path(f"/proc/{task}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _database_pid(environment: Environment) -> int:
    """The process whose children serve the connections of the temporary Postgres; this one for a file."""
    if environment.cluster is None:
        return os.getpid()
    return int((environment.cluster.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text(encoding="utf-8").split()]
    return found


@contextmanager
def _serve(environment: Environment, processes: int) -> Iterator[Door]:
    with environment.serving(processes) as (program, address):
        yield Door(
            f"wanesync serve, {processes} process(es)",
            f"{address}/webhooks/stripe",
            program.pid,
            _database_pid(environment),
        )


@contextmanager
def _run_peer(environment: Environment, modules: Path, specification: Path | None) -> Iterator[Door]:
    assert environment.cluster is not None
    # Its driver wants a host in the address, too.
    url = environment.cluster.url.replace("@/", "@localhost/").replace("/postgres?", "/peer?")
    env = dict(os.environ, DATABASE_URL=url, SECRET=STRIPE_SECRET, MODULES=str(modules.resolve()))
    if specification:
        env["SPECIFICATION"] = str(specification.resolve())
    command = ["node", str(FOLDER / "peer.mjs")]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # As every program under measurement.
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        try:
            port = process.stdout.readline().strip()
            if not port:
                raise SystemExit("the peer did not start: see its message above")
            yield Door("sync-engine", f"http://127.0.0.1:{port}/", process.pid, _database_pid(environment))
        finally:
            process.kill()


def compare(doors: Sequence[Door], posts: int, rounds: int, connections: Sequence[int]) -> None:
    """Measure every door in turns."""
    numbers = count(0, 10 * (posts + WARM_UP))
    for one in doors:
        _send(one.address, 16, WARM_UP, next(numbers))
    for _ in range(rounds):
        for number in connections:
            for one in doors:
                one.run(number, posts, next(numbers))


def show(doors: Sequence[Door], connections: Sequence[int]) -> list[dict[str, object]]:
    """Return a row per door and number of connections: medians, extremes, and the ratio to the last door."""
    rows: list[dict[str, object]] = []
    for number in connections:
        for one in doors:
            ratios = [mine / peer for mine, peer in zip(one.per_s[number], doors[-1].per_s[number], strict=True)]
            rows.append(
                {
                    "door": one.name,
                    "connections": number,
                    "per_s": statistics.median(one.per_s[number]),
                    "per_s_from_to": [min(one.per_s[number]), max(one.per_s[number])],
                    "p99_ms": statistics.median(one.p99_ms[number]),
                    "cpu_ms_per_post": statistics.median(one.cpu_ms[number]),
                    "database_cpu_ms_per_post": statistics.median(one.database_cpu_ms[number]),
                    "times_the_peer": round(statistics.median(ratios), 2),
                    "times_the_peer_from_to": [round(min(ratios), 2), round(max(ratios), 2)],
                }
            )
    return rows


def main() -> None:
    """Measure what the command line asks for; prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="folder with node_modules/@stripe/sync-engine")
    parser.add_argument("--specification", type=Path, help="Stripe's OpenAPI document (spec3.json)")
    parser.add_argument("--posts", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sqlite", action="store_true", help="also wanesync serve on an SQLite file")
    given = parser.parse_args()
    connections = (1, 16)
    with ExitStack() as stack:
        environment = stack.enter_context(open_environment(OWN_POSTGRES))
        doors = [stack.enter_context(_serve(environment, number)) for number in (1, 2)]
        if given.sqlite:
            doors.insert(0, stack.enter_context(_serve(stack.enter_context(open_environment(None)), 1)))
            doors[0].name += ", SQLite"
        if given.peer:
            _create_database(environment)
            doors.append(stack.enter_context(_run_peer(environment, given.peer, given.specification)))
        compare(doors, given.posts, given.rounds, connections)
        result = {"rows": show(doors, connections), "machine": describe_machine(environment.database)}
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def _create_database(environment: Environment) -> None:
    from wanesync.bench.postgres_session import connect  # noqa: PLC0415 - needs psycopg

    with connect(environment.database) as session:
        session.execute("CREATE DATABASE peer")


if __name__ == "__main__":
    main()
