"""One installation of the demo: a sandbox, a configuration, and the processes of wanesync between both stand-ins."""

from __future__ import annotations

import base64
import contextlib
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wanesync.child_process import ChildProcess, clean_environment
from wanesync.config.model import load
from wanesync.core.errors import VendorUnavailable
from wanesync.core.model import Side
from wanesync.core.setup.api_versions import HubSpotVersion
from wanesync.ops.status import Status, read_status
from wanesync.reconcile.compare import Report
from wanesync.sandbox.hubspot.settings import Tier
from wanesync.sandbox.process import SandboxProcess
from wanesync.sandbox.seed_data import SeedOptions
from wanesync.sandbox.server import Options
from wanesync.sandbox.traffic import Activity, ActivityKind, Traffic
from wanesync.store.database import Store
from wanesync.sync.runtime import Runtime
from wanesync.wiring import build_catch_up, build_reconcile, build_runtime, open_database

LATENCY_MS = (150, 400)  # of a request, as over the internet
STRIPE_LIMIT = 100  # requests per second, the live default; with the operations raised as Stripe does on request
RATE_PER_S = 3.0  # activities of users on each side
IDLE_S = 1.5  # seconds without any change that count as idle
MAX_SETTLE_S = 60.0
MAX_RECONCILE_S = 90.0
SOON_MS = 120_000
"""A job due later than this waits for something that has not happened yet."""

CONFIG = """\
database = "{database}"
[hubspot]
access_token = "{hubspot_key}"
webhook_secret = "{hubspot_secret}"
base_url = "{hubspot_url}"
api_version = "{api_version}"
[stripe]
api_key = "{stripe_key}"
webhook_secret = "{stripe_secret}"
base_url = "{stripe_url}"
rate = 100
operation_rate = 100
[network]
allow_base_url = true
[server]
port = 0
[admin]
port = 0
[security]
keys = ["demo:{seal_key}"]
[purchases]
guest = "create"
[log]
level = "warning"
"""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The records to begin with; ``overlap`` people are on both sides. ``database`` "": a new SQLite file.

    ``api_version``: of HubSpot's paths; with a dated one webhooks have the shape that project apps get. ``record``: a
    folder for a file of each tier with all requests and answers, "" for none.
    """

    contacts: int = 500
    customers: int = 300
    overlap: int = 120
    database: str = ""
    api_version: HubSpotVersion = "v3"
    record: str = ""


@dataclass(slots=True)
class Installation:
    """A sandbox and wanesync beside it. ``tier``: of the HubSpot portal; ``folder``: for all files."""

    tier: Tier
    folder: Path
    options: DemoOptions
    sandbox: SandboxProcess = field(init=False)
    store: Store = field(init=False)
    runtime: Runtime = field(init=False)
    server: ChildProcess = field(init=False)
    worker: ChildProcess = field(init=False)
    traffic: Traffic | None = None
    _found: Report = field(init=False)
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    # -- start and stop

    def start(self) -> None:
        """Start the sandbox, ``serve`` and ``worker``. Raises WanesyncError, SandboxError."""
        seed = SeedOptions(self.options.contacts, self.options.customers, self.options.overlap)
        options = Options(
            seed=seed,
            latency_ms=LATENCY_MS,
            tier=self.tier,
            stripe_limit=STRIPE_LIMIT,
            webhook_shape="contact" if self.options.api_version == "v3" else "object",
            record=str(Path(self.options.record) / f"{self.tier}.jsonl") if self.options.record else "",
        )
        self.sandbox = self._open.enter_context(SandboxProcess(options))
        hubspot_secret, stripe_secret = secrets.token_hex(16), f"whsec_{secrets.token_hex(16)}"
        self._write_config(hubspot_secret, stripe_secret)
        config = load(self._config_file, {})
        self.store = open_database(config, migrate=True)
        self._open.callback(self.store.close)
        self.runtime = build_runtime(config, self.store, tuple(Side))
        build_catch_up(self.runtime).mark_start()
        self.server, self.worker = self._run("serve"), self._run("worker")
        self._open.callback(self._stop_children)
        self.runtime.hubspot.prepare(with_events=self.runtime.hubspot.can_define_events())
        url = next(word for word in self.server.first_line().split() if word.startswith("http"))
        doors = self.sandbox.control()
        for side, secret in ((Side.HUBSPOT, hubspot_secret), (Side.STRIPE, stripe_secret)):
            doors.set_webhooks(side, f"{url}/webhooks/{side}", secret)
        self.worker.first_line()

    def open_admin(self) -> list[str]:
        """Start the admin service; return its lines: its address, and the link by which the first user is made."""
        admin = self._run("admin")
        self._open.callback(admin.stop)
        return [admin.first_line(), admin.first_line()]

    def stop(self) -> None:
        """Stop every process."""
        self._open.close()

    def _stop_children(self) -> None:
        # The processes that run by then: the worker was replaced.
        for child in (self.server, self.worker):
            child.signal(signal.SIGTERM)
        for child in (self.server, self.worker):
            child.stop()

    @property
    def _config_file(self) -> Path:
        return self.folder / f"{self.tier}.toml"

    def _write_config(self, hubspot_secret: str, stripe_secret: str) -> None:
        text = CONFIG.format(
            database=self.options.database or f"sqlite:{self.folder / self.tier}.db",
            hubspot_key=self.sandbox.hubspot_key,
            hubspot_secret=hubspot_secret,
            hubspot_url=self.sandbox.hubspot_url,
            api_version=self.options.api_version,
            stripe_key=self.sandbox.stripe_key,
            stripe_secret=stripe_secret,
            stripe_url=self.sandbox.stripe_url,
            seal_key=base64.b64encode(secrets.token_bytes(32)).decode(),
        )
        self._config_file.touch(mode=0o600)
        self._config_file.write_text(text)

    def _run(self, command: str) -> ChildProcess:
        arguments = [command, "--config", str(self._config_file)]
        return ChildProcess(arguments, clean_environment(), self.folder / f"{self.tier}-{command}.log")

    # -- steps

    def compare(self, listed: Callable[[Side, int], None], compared: Callable[[int], None]) -> Report:
        """Compare both sides, as ``wanesync diff`` does."""
        self._found = build_reconcile(self.runtime).compare(listed, compared)
        return self._found

    def repair(self, progress: Callable[[int, int], None]) -> int:
        """Repair the differences, as ``wanesync reconcile --wait`` does; returns the number of jobs."""
        report = self._found
        run_id, jobs = build_reconcile(self.runtime).queue(report)
        for _ in _until(MAX_RECONCILE_S, "the reconcile did not end"):
            with self.store.reading() as tx:
                left = tx.jobs.run_pending(run_id)
            progress(jobs - left, jobs)
            if not left:
                break
        return jobs

    def run_traffic(self, duration_s: float, announce: Callable[[str], None]) -> None:
        """Run traffic on both sides with duplicated and reordered webhooks, and kill a worker meanwhile."""
        doors = self.sandbox.control()
        for side in Side:
            doors.set_faults(side, "webhooks")
        start_ms = _now_ms()
        self.traffic = traffic = Traffic(doors, seed=7, rate_per_s=RATE_PER_S, start_ms=start_ms)
        script = self._script(traffic, announce)
        pause = threading.Event()
        while (now_ms := _now_ms()) < start_ms + duration_s * 1000:
            traffic.advance(now_ms)
            while script and now_ms >= start_ms + script[0][0] * duration_s * 1000:
                script.pop(0)[1](now_ms)
            pause.wait(0.05)

    def keep_up(self, stopping: threading.Event) -> None:
        """Let users edit and buy until ``stopping`` is set."""
        doors = self.sandbox.control()
        traffic = Traffic(doors, seed=8, rate_per_s=RATE_PER_S, start_ms=_now_ms())
        while not stopping.wait(0.2):
            traffic.advance(_now_ms())

    def _script(self, traffic: Traffic, announce: Callable[[str], None]) -> list[tuple[float, Callable[[int], None]]]:
        """The scripted events, and their times as shares of the duration."""

        def edit_both(now_ms: int) -> None:
            for _ in range(3):
                traffic.do(ActivityKind.EDIT_BOTH, Side.HUBSPOT, now_ms)
            announce("3 people edited on both sides at the same time")

        def buy(now_ms: int) -> None:
            for kind in (ActivityKind.PURCHASE, ActivityKind.GUEST, ActivityKind.GUEST, ActivityKind.CREATE):
                traffic.do(kind, Side.STRIPE, now_ms)
            buyer = self.sandbox.control().records(Side.STRIPE)[0]["id"]
            self.sandbox.control().edit(Side.STRIPE, "purchase", buyer, {"amount": "3200", "currency": "jpy"})
            announce("a guest buys, and a customer pays in yen, a currency without cents")

        def replace_worker(_now_ms: int) -> None:
            killed = self.worker.pid
            self.worker.kill()
            self.worker = self._run("worker")
            announce(f"worker {killed} killed with SIGKILL while it works, {self.worker.pid} started")

        return [(0.15, edit_both), (0.3, buy), (0.45, replace_worker), (0.7, edit_both), (0.85, buy)]

    def settle(self) -> float:
        """Wait until everything is idle: the seconds it took. Raises VendorUnavailable after 60 s."""
        began = time.monotonic()
        idle_since, lengths = began, (-1, -1)
        for _ in _until(MAX_SETTLE_S, "the installation is not idle"):
            now = (len(self.journal(Side.HUBSPOT)), len(self.journal(Side.STRIPE)))
            if now != lengths or not self._is_idle():
                idle_since, lengths = time.monotonic(), now
            elif time.monotonic() - idle_since >= IDLE_S:
                break
        return max(0.0, time.monotonic() - began - IDLE_S)

    def _is_idle(self) -> bool:
        with self.store.reading() as tx:
            if any(row["running"] for row in tx.jobs.depth()):
                return False
            due = [tx.jobs.next_due_ms(side) for side in Side]
            if any(at_ms is not None and at_ms < tx.now_ms + SOON_MS for at_ms in due):
                return False
        return not any(counts["webhooks_waiting"] for counts in self.stats().values())

    # -- read

    @property
    def activities(self) -> list[Activity]:
        """The activities of users so far."""
        return list(self.traffic.activities) if self.traffic else []

    def overview(self) -> Status:
        """The status, as ``wanesync status`` reads it."""
        return read_status(self.store)

    def stats(self) -> dict[str, dict[str, object]]:
        """The counts of the sandbox."""
        return self.sandbox.control().stats()

    def journal(self, side: Side) -> list[dict[str, object]]:
        """Every committed change of a side."""
        return self.sandbox.control().journal(side)

    def records(self, side: Side) -> list[dict[str, str]]:
        """Every existing record of a side."""
        return self.sandbox.control().records(side)


def _until(limit_s: float, message: str) -> Iterator[None]:
    pause = threading.Event()
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        yield
        pause.wait(0.15)
    raise VendorUnavailable(f"{message} after {limit_s:g} s")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
