"""What every bench stands on: a fresh database, a configuration in the environment, the programs, the sandbox."""

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

from wanesync.bench import BenchFailed
from wanesync.bench.cost import NICE
from wanesync.bench.postgres_cluster import Cluster, throw_away
from wanesync.bench.stopwatch import Stopwatch
from wanesync.child_process import ChildFailed, ChildProcess, clean_environment
from wanesync.config.model import load
from wanesync.core.errors import ConfigError, DecryptionFailed
from wanesync.core.model import Side
from wanesync.sandbox.hubspot.settings import HubSpotSettings
from wanesync.sandbox.server import HUBSPOT_KEY, STRIPE_KEY, Options, Sandbox
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.wiring import PORTAL, open_state

HUBSPOT_SECRET, STRIPE_SECRET = "bench-client-secret", "whsec_bench"
# A customer whose event comes while it is listed is read once more, as bulk work: 30,000 of them take ten minutes.
PREPARE_S = 1_800.0
TRIES = 5
OWN_POSTGRES = "postgres"
"""Given as the database: a Postgres of the bench's own, started and thrown away."""
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Stage:
    """A folder, a database that holds nothing yet, and the environment every program gets.

    ``cluster``: the bench's own Postgres, where it was asked for.
    """

    folder: Path
    database: str
    env: dict[str, str]
    cluster: Cluster | None = None

    def start(self, *arguments: str) -> ChildProcess:
        """A program that keeps running."""
        log = self.folder / f"{arguments[0]}-{len(list(self.folder.glob('*.log')))}.log"
        program = ChildProcess(arguments, self.env, log)
        os.setpriority(os.PRIO_PROCESS, program.pid, NICE)
        return program

    def run(self, *arguments: str) -> None:
        """A program that ends by itself, well."""
        with self.start(*arguments) as program:
            program.finish(PREPARE_S)

    def run_patiently(self, *arguments: str) -> None:
        """As ``run``, and again where the database was busy: getting ready is not measured."""
        for _ in range(TRIES - 1):
            try:
                self.run(*arguments)
            except ChildFailed as error:
                if "is busy" not in str(error):
                    raise
            else:
                return
        self.run(*arguments)

    @contextmanager
    def serving(self) -> Iterator[tuple[ChildProcess, str]]:
        """``wanesync serve`` and its address."""
        with self.start("serve") as program:
            words = program.first_line().split()
            address = next((word for word in words if word.startswith("http://")), None)
            if address is None:
                raise BenchFailed("wanesync serve does not say where it listens")
            yield program, address


@contextmanager
def open_stage(database: str | None, **overrides: str) -> Iterator[Stage]:
    """A stage in a folder that is removed at the end; ``database`` None: an SQLite file there, ``postgres``: a
    throw-away Postgres.

    ``overrides``: configuration keys as ``hubspot__rate``. Raises ConfigError when the database is in use.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wanesync-bench-")))
        cluster = stack.enter_context(throw_away()) if database == OWN_POSTGRES else None
        url = cluster.url if cluster else database or f"sqlite:{folder / 'bench.db'}"
        values = {
            "database": url,
            "hubspot__access_token": HUBSPOT_KEY,
            "hubspot__webhook_secret": HUBSPOT_SECRET,
            "hubspot__portal_id": str(HubSpotSettings().portal_id),
            "stripe__api_key": STRIPE_KEY,
            "hubspot__base_url": NOWHERE,
            "stripe__base_url": NOWHERE,
            "stripe__webhook_secret": STRIPE_SECRET,
            "server__port": "0",
            "create__customers": "all",
            "create__contacts": "all",
            "log__level": "warning",
            "security__keys": "bnch:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        env = clean_environment()
        env |= {f"WANESYNC_{key.upper()}": value for key, value in (values | overrides).items()}
        # An empty file: whatever wanesync.toml stands where the bench is run is not meant.
        file = folder / "wanesync.toml"
        file.touch()
        env["WANESYNC_CONFIG"] = str(file)
        _check_unused(env)
        yield Stage(folder, url, env, cluster)


def _check_unused(env: dict[str, str]) -> None:
    in_use = ConfigError(["--database: holds a state already: a bench wants an empty database of its own"])
    try:
        store = open_state(load(None, env), migrate=True)
    except DecryptionFailed as error:
        # The bench's own key is new: what it cannot open is somebody's.
        raise in_use from error
    try:
        with store.reading() as tx:
            if tx.settings.get(PORTAL) is not None:
                raise in_use
    finally:
        store.close()


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests a second, as the sandbox enforces and the program is told, and each request's time in ms."""

    hubspot: int = 15
    stripe: int = 100
    latency_ms: tuple[float, float] = (150, 400)


@dataclass(frozen=True, slots=True)
class Running:
    """Everything runs, the first listing is done, nothing waits. ``gone_cpu_s``: of workers that were killed."""

    stage: Stage
    sandbox: Sandbox
    watches: dict[str, Stopwatch]
    server: ChildProcess
    workers: list[ChildProcess]
    gone_cpu_s: list[float] = field(default_factory=list)

    def check(self) -> None:
        """Raise ChildFailed when a program has ended."""
        for program in (self.server, *self.workers):
            program.check()


@contextmanager
def run_everything(
    sandbox: Sandbox, database: str | None, limits: Limits, workers: int, **overrides: str
) -> Iterator[Running]:
    """Start a sandbox that is set up but not started, the doors and ``workers`` worker processes.

    ``overrides``: configuration keys as ``hubspot__rate``.
    """
    per_s = {Side.HUBSPOT: limits.hubspot, Side.STRIPE: limits.stripe}
    watches = {str(side): Stopwatch(sandbox.machines[side], rate) for side, rate in per_s.items()}
    sandbox.machines = watches
    with ExitStack() as stack:
        stack.enter_context(sandbox)
        rates = {"hubspot__rate": str(limits.hubspot), "stripe__rate": str(limits.stripe)}
        urls = {"hubspot__base_url": sandbox.hubspot_url, "stripe__base_url": sandbox.stripe_url}
        stage = stack.enter_context(open_stage(database, **rates, **urls, **overrides))
        stage.run("init", "--hubspot")
        server, address = stack.enter_context(stage.serving())
        sandbox.set_target(Side.HUBSPOT, WebhookTarget(f"{address}/webhooks/hubspot", HUBSPOT_SECRET))
        sandbox.set_target(Side.STRIPE, WebhookTarget(f"{address}/webhooks/stripe", STRIPE_SECRET))
        # Stopped by this list, in which a killed worker is replaced by the next one.
        started: list[ChildProcess] = []
        stack.callback(lambda: [program.stop() for program in started])
        started += [stage.start("worker") for _ in range(workers)]
        for worker in started:
            worker.first_line()
        stage.run_patiently("reconcile", "--wait")
        for watch in watches.values():
            watch.answers_ms.clear()
        # What measures must not stand still: a collection of its whole heap makes requests seem to bunch.
        stack.callback(gc.enable)
        gc.disable()
        yield Running(stage, sandbox, watches, server, started)


def build_sandbox(limits: Limits) -> Sandbox:
    """An Enterprise portal and an account, empty, with exactly these limits.

    A creation sends no property changes of its own: the edits made beside it are the only ones.
    """
    sandbox = Sandbox(
        Options(
            latency_ms=limits.latency_ms, tier="enterprise", hubspot_limit=limits.hubspot, stripe_limit=limits.stripe
        )
    )
    sandbox.hubspot.portal.settings = replace(sandbox.hubspot.portal.settings, emit_initial_changes=False)
    return sandbox
