"""The environment of a benchmark: a new database, a configuration, the processes and the sandbox."""

from __future__ import annotations

import base64
import gc
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from wanesync.accounts import PORTAL
from wanesync.bench import BenchFailed
from wanesync.bench.measured_stand_in import MeasuredStandIn
from wanesync.bench.postgres_cluster import Cluster, temporary_cluster
from wanesync.bench.resource_usage import NICE
from wanesync.child_process import ChildFailed, ChildProcess, clean_environment
from wanesync.config.model import load
from wanesync.core.errors import ConfigError, DecryptionFailed
from wanesync.core.model import Side
from wanesync.sandbox.hubspot.settings import HubSpotSettings
from wanesync.sandbox.server import HUBSPOT_KEY, STRIPE_KEY, Options, Sandbox
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.wiring import open_database

HUBSPOT_SECRET, STRIPE_SECRET = "bench-client-secret", "whsec_bench"
PREPARE_S = 1_800.0
"""A customer whose event arrives during the listing is read again as bulk work: 30,000 of them take ten minutes."""
MAX_ATTEMPTS = 5
OWN_POSTGRES = "postgres"
"""As the database: a temporary Postgres of the benchmark."""
UNREACHABLE = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Environment:
    """A folder, an empty database, and the environment variables of every process.

    ``cluster``: the temporary Postgres, if there is one.
    """

    folder: Path
    database: str
    env: dict[str, str]
    cluster: Cluster | None = None

    def start(self, *arguments: str) -> ChildProcess:
        """Start a command that keeps running."""
        log = self.folder / f"{arguments[0]}-{len(list(self.folder.glob('*.log')))}.log"
        program = ChildProcess(arguments, self.env, log)
        os.setpriority(os.PRIO_PROCESS, program.pid, NICE)
        return program

    def run(self, *arguments: str) -> None:
        """Run a command to its end. Raises ChildFailed."""
        with self.start(*arguments) as program:
            program.finish(PREPARE_S)

    def run_with_retries(self, *arguments: str) -> None:
        """As ``run``, repeated while the database is busy: preparations are not measured."""
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                self.run(*arguments)
            except ChildFailed as error:
                if "is busy" not in str(error):
                    raise
            else:
                return
        self.run(*arguments)

    @contextmanager
    def serving(self, processes: int = 1) -> Iterator[tuple[ChildProcess, str]]:
        """Run ``wanesync serve``: the process and its address."""
        with self.start("serve", "--processes", str(processes)) as program:
            words = program.first_line().split()
            address = next((word for word in words if word.startswith("http://")), None)
            if address is None:
                raise BenchFailed("wanesync serve did not print its address")
            yield program, address


@contextmanager
def open_environment(database: str | None, **overrides: str) -> Iterator[Environment]:
    """An environment in a folder that is removed at the end.

    ``database``: a URL, None for an SQLite file in the folder, ``postgres`` for a temporary Postgres. ``overrides``:
    configuration keys such as ``hubspot__rate``. Raises ConfigError when the database is in use.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wanesync-bench-")))
        cluster = stack.enter_context(temporary_cluster()) if database == OWN_POSTGRES else None
        url = cluster.url if cluster else database or f"sqlite:{folder / 'bench.db'}"
        values = {
            "database": url,
            "hubspot__access_token": HUBSPOT_KEY,
            "hubspot__webhook_secret": HUBSPOT_SECRET,
            "hubspot__portal_id": str(HubSpotSettings().portal_id),
            "stripe__api_key": STRIPE_KEY,
            "hubspot__base_url": UNREACHABLE,
            "stripe__base_url": UNREACHABLE,
            "stripe__webhook_secret": STRIPE_SECRET,
            "network__allow_base_url": "true",
            "server__port": "0",
            "create__customers": "all",
            "create__contacts": "all",
            "log__level": "warning",
            "security__keys": "bnch:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        env = clean_environment()
        env |= {f"WANESYNC_{key.upper()}": value for key, value in (values | overrides).items()}
        # An empty file, so that a wanesync.toml in the current folder is not read.
        file = folder / "wanesync.toml"
        file.touch()
        env["WANESYNC_CONFIG"] = str(file)
        _check_unused(env)
        yield Environment(folder, url, env, cluster)


def _check_unused(env: dict[str, str]) -> None:
    in_use = ConfigError(["--database: the database is in use; a benchmark needs an empty database of its own"])
    try:
        store = open_database(load(None, env), migrate=True)
    except DecryptionFailed as error:
        # The key of the benchmark is new: what it cannot decrypt belongs to an installation.
        raise in_use from error
    try:
        with store.reading() as tx:
            if tx.settings.get(PORTAL) is not None:
                raise in_use
    finally:
        store.close()


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests per second, enforced by the sandbox and configured in wanesync, and the time of a request in ms."""

    hubspot: int = 15
    stripe: int = 100
    latency_ms: tuple[float, float] = (150, 400)


class Server(Protocol):
    """What a benchmark needs of the processes that receive webhooks."""

    def check(self) -> None:
        """Raise ChildFailed when one has ended."""
        ...

    def cpu_s(self) -> float:
        """Seconds of CPU so far."""
        ...


@dataclass(frozen=True, slots=True)
class Running:
    """A running installation after the first reconcile. ``killed_cpu_s``: CPU of the workers that were killed.

    ``server``: what receives webhooks, one process or several.
    """

    environment: Environment
    sandbox: Sandbox
    measured: dict[str, MeasuredStandIn]
    server: Server
    workers: list[ChildProcess]
    killed_cpu_s: list[float] = field(default_factory=list)

    def check(self) -> None:
        """Raise ChildFailed when a process has ended."""
        self.server.check()
        for program in self.workers:
            program.check()


@contextmanager
def run_everything(
    sandbox: Sandbox, database: str | None, limits: Limits, workers: int, **overrides: str
) -> Iterator[Running]:
    """Start the given sandbox, ``serve`` and worker processes, and reconcile once.

    ``overrides``: configuration keys such as ``hubspot__rate``.
    """
    per_s = {Side.HUBSPOT: limits.hubspot, Side.STRIPE: limits.stripe}
    measured = {str(side): MeasuredStandIn(sandbox.machines[side], rate) for side, rate in per_s.items()}
    sandbox.machines = measured
    with ExitStack() as stack:
        stack.enter_context(sandbox)
        rates = {"hubspot__rate": str(limits.hubspot), "stripe__rate": str(limits.stripe)}
        rates["stripe__operation_rate"] = rates["stripe__rate"]
        urls = {"hubspot__base_url": sandbox.hubspot_url, "stripe__base_url": sandbox.stripe_url}
        environment = stack.enter_context(open_environment(database, **rates, **urls, **overrides))
        environment.run("init", "--hubspot")
        server, address = stack.enter_context(environment.serving())
        sandbox.set_target(Side.HUBSPOT, WebhookTarget(f"{address}/webhooks/hubspot", HUBSPOT_SECRET))
        sandbox.set_target(Side.STRIPE, WebhookTarget(f"{address}/webhooks/stripe", STRIPE_SECRET))
        # The list is stopped at the end; a killed worker is replaced in it.
        started: list[ChildProcess] = []
        stack.callback(lambda: [program.stop() for program in started])
        started += [environment.start("worker") for _ in range(workers)]
        for worker in started:
            worker.first_line()
        environment.run_with_retries("reconcile", "--wait")
        for stand_in in measured.values():
            stand_in.webhook_ms.clear()
        # A collection of the whole heap stops this process, and requests then seem to arrive in bursts.
        stack.callback(gc.enable)
        gc.disable()
        yield Running(environment, sandbox, measured, server, started)


def build_sandbox(limits: Limits) -> Sandbox:
    """Build an empty sandbox with an Enterprise portal and exactly these limits.

    A creation sends no property changes of its own, so only the edits of the benchmark send any.
    """
    sandbox = Sandbox(
        Options(
            latency_ms=limits.latency_ms, tier="enterprise", hubspot_limit=limits.hubspot, stripe_limit=limits.stripe
        )
    )
    sandbox.hubspot.portal.settings = replace(sandbox.hubspot.portal.settings, emit_initial_changes=False)
    return sandbox
