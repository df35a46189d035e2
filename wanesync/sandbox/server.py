"""The sandbox as a server: both stand-ins in one process, each on a port of 127.0.0.1.

``with Sandbox(Options()) as sandbox`` runs it in a thread (tests, benchmarks); ``serve`` runs it until the process
gets a signal (the command line).
"""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO, TypeVar

import uvicorn

from wanesync.sandbox import control, faults
from wanesync.sandbox.asgi import ClosableProtocol, Latency, SandboxApp
from wanesync.sandbox.errors import InvalidRequest
from wanesync.sandbox.hubspot.machine import HubSpotMachine, HubSpotSettings
from wanesync.sandbox.hubspot.settings import Tier, WebhookShape
from wanesync.sandbox.recorder import Recorder
from wanesync.sandbox.seed_data import SeedOptions, seed_records
from wanesync.sandbox.stand_in import Request, Response, Side, StandIn, WebhookTarget
from wanesync.sandbox.stripe.machine import StripeMachine, StripeSettings
from wanesync.sandbox.webhook_sender import WebhookSender

HOST = "127.0.0.1"
HUBSPOT_KEY = "pat-na1-sandbox"
STRIPE_KEY = "sk_test_sandbox"
RESTRICTED_KEY = "rk_test_sandbox"
STOP_POLL_S = 0.5
_START_S = 10.0  # longest wait for the server thread
_SWITCH_S = 0.001  # the thread that admits requests must not wait for the others (the default is 0.005)
_BACKLOG = 512  # connections that wait to be accepted: many workers connect at once


AnswerT = TypeVar("AnswerT", Response, Response | None)


@dataclass(frozen=True, slots=True)
class Options:
    """How a sandbox starts.

    Port 0: any free one. ``seed``: the records to begin with. ``latency_ms``: bounds of the time of each request.
    ``*_limit``: admitted requests per second, None for the vendor's own. With a Stripe limit, single operations have
    no limit of their own: Stripe lifts those on request. ``fault_profile``: a name in ``faults.PROFILES``.
    ``*_webhooks``: the address and the signing secret of webhooks from the start; the first records send none.
    ``hubspot_scopes``: of the announced token; ``stripe_permissions``: the announced key is a restricted one with
    these; None: all. ``webhook_shape``: ``contact`` (legacy subscriptions) or ``object`` (project apps). ``record``: a
    file to which every request and its answer are written.
    """

    hubspot_port: int = 0
    stripe_port: int = 0
    seed: SeedOptions = field(default_factory=SeedOptions)
    latency_ms: tuple[float, float] = (0, 0)
    tier: Tier = "professional"
    fault_profile: str = "none"
    hubspot_limit: int | None = None
    stripe_limit: int | None = None
    hubspot_webhooks: tuple[str, str] | None = None
    stripe_webhooks: tuple[str, str] | None = None
    hubspot_scopes: tuple[str, ...] | None = None
    stripe_permissions: tuple[str, ...] | None = None
    webhook_shape: WebhookShape = "contact"
    record: str = ""

    def __post_init__(self) -> None:
        """Refuse an unknown fault profile (InvalidRequest)."""
        if self.fault_profile not in faults.PROFILES:
            raise InvalidRequest(f"no fault profile {self.fault_profile!r}: there are {', '.join(faults.PROFILES)}")


def clock_ms() -> int:
    """The clock of this computer in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Sandbox:
    """Two stand-ins behind HTTP. Every access to a stand-in takes ``lock``.

    ``hubspot`` and ``stripe`` are the stand-ins themselves. Read them directly only when nothing else uses them;
    otherwise use ``edit``, ``stats`` and ``records`` here, which take the lock. ``seeded``: the ids of the first
    records.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        random_seed = self.options.seed.random_seed
        self.hubspot = _hubspot(self.options, random.Random(random_seed))  # noqa: S311 - made-up people, no secrets
        self.stripe = _stripe(self.options, random.Random(random_seed + 1))  # noqa: S311 - as above
        self.machines: Mapping[str, StandIn] = {Side.HUBSPOT: self.hubspot, Side.STRIPE: self.stripe}
        self.lock = threading.RLock()
        self._latency = Latency(*self.options.latency_ms, random.Random(random_seed + 2))  # noqa: S311 - as above
        for machine in self.machines.values():
            machine.set_faults(faults.PROFILES[self.options.fault_profile])
        self.stripe_key = STRIPE_KEY if self.options.stripe_permissions is None else RESTRICTED_KEY
        self._grant()
        self.seeded = seed_records(self.machines, self.options.seed, clock_ms())
        if self.options.hubspot_webhooks is not None:
            self.hubspot.set_target(WebhookTarget(*self.options.hubspot_webhooks))
        if self.options.stripe_webhooks is not None:
            self.stripe.set_target(WebhookTarget(*self.options.stripe_webhooks))
        self._sockets: dict[str, socket.socket] = {}
        self._sides: dict[int, str] = {}
        self._thread: threading.Thread | None = None
        self._server: uvicorn.Server | None = None
        self._record: TextIO | None = None

    @property
    def hubspot_url(self) -> str:
        """The root of the stand-in HubSpot."""
        return self.url(Side.HUBSPOT)

    @property
    def stripe_url(self) -> str:
        """The root of the stand-in Stripe."""
        return self.url(Side.STRIPE)

    def url(self, side: str) -> str:
        """The root of one stand-in; the sandbox must be started."""
        return f"http://{HOST}:{self._sockets[side].getsockname()[1]}"

    def edit(self, side: str, kind: str, record_id: str | None = None, values: Mapping[str, str] | None = None) -> str:
        """Edit one side now as a user does: the record id. Raises ValueError."""
        with self.lock:
            return self.machines[side].edit(kind, record_id, values or {}, clock_ms())

    def records(self, side: str) -> list[dict[str, str]]:
        """Every existing record of one side in short form."""
        with self.lock:
            return self.machines[side].records()

    def stats(self) -> dict[str, Mapping[str, object]]:
        """What ``GET /_sandbox/stats`` answers."""
        with self.lock:
            return {str(side): machine.stats(clock_ms()) for side, machine in self.machines.items()}

    def set_target(self, side: str, target: WebhookTarget | None) -> None:
        """Set where the webhooks of one side go from now on."""
        with self.lock:
            self.machines[side].set_target(target)

    def start(self) -> None:
        """Open both ports and serve from a thread. Raises InvalidRequest when a port is taken."""
        if self.options.record:
            self._record = _open_record(self.options.record)
        # A collection of the whole heap stops the process for 0.1 s, and requests then seem to arrive in bursts.
        gc.freeze()
        gc.set_threshold(100_000, 50, 1_000)
        sys.setswitchinterval(_SWITCH_S)
        self._sockets = _listen({Side.HUBSPOT: self.options.hubspot_port, Side.STRIPE: self.options.stripe_port})
        self._sides = {sock.getsockname()[1]: side for side, sock in self._sockets.items()}
        config = uvicorn.Config(
            SandboxApp(self._arrive, self._handle, self._latency),
            http=ClosableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # the stand-ins set it; uvicorn's is up to seconds old when the cores are busy
            timeout_keep_alive=75,  # seconds; longer than the connection pools of the clients
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(self._server, ready), name="sandbox", daemon=True)
        self._thread.start()
        ready.result(_START_S)

    def describe(self) -> dict[str, str]:
        """Both addresses and a key for each, as a program reads them from the sandbox's first line."""
        return {
            "hubspot_url": self.hubspot_url,
            "stripe_url": self.stripe_url,
            "hubspot_key": HUBSPOT_KEY,
            "stripe_key": self.stripe_key,
        }

    def _grant(self) -> None:
        try:
            if self.options.hubspot_scopes is not None:
                self.hubspot.set_grants(HUBSPOT_KEY, self.options.hubspot_scopes)
            if self.options.stripe_permissions is not None:
                self.stripe.set_grants(self.stripe_key, self.options.stripe_permissions)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error

    def stop(self) -> None:
        """Close both ports; open requests get one second."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        for sock in self._sockets.values():
            sock.close()
        if self._record is not None:
            self._record.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def _run(self, server: uvicorn.Server, ready: Future[None]) -> None:
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(self._serve(server, ready))

    async def _serve(self, server: uvicorn.Server, ready: Future[None]) -> None:
        senders = [WebhookSender(machine, self.lock, clock_ms) for machine in self.machines.values()]
        tasks = [asyncio.create_task(sender.run()) for sender in senders]
        # The ports listen already, so a request that arrives before the server runs only waits.
        ready.set_result(None)
        try:
            await server.serve(sockets=list(self._sockets.values()))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _arrive(self, port: int, request: Request) -> Response | None:
        if request.path.startswith(control.ROOT):
            return None
        side = self._sides[port]
        with self.lock:
            return self._note(side, request, self.machines[side].arrive(request, clock_ms()))

    def _handle(self, port: int, request: Request) -> Response:
        side = self._sides[port]
        with self.lock:
            if request.path.startswith(control.ROOT):
                return control.answer(self.machines, side, request, clock_ms())
            return self._note(side, request, self.machines[side].handle(request, clock_ms()))

    def _note(self, side: str, request: Request, response: AnswerT) -> AnswerT:
        if self._record is not None and response is not None:
            Recorder(self._record).add(side, request, response)
        return response


def serve(options: Options, announce: Callable[[Sandbox], None]) -> None:
    """Run until SIGINT or SIGTERM; ``announce`` is called once both ports answer. Main thread only."""
    # A handler may run while this thread holds the lock of an event in ``wait``, and would wait for it for ever.
    stopped: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: stopped.put(number))
    with Sandbox(options) as sandbox:
        announce(sandbox)
        # A signal that arrives right before the wait begins does not interrupt it: its handler runs after a time-out.
        while True:
            with suppress(queue.Empty):
                stopped.get(timeout=STOP_POLL_S)
                return


def _listen(ports: Mapping[Side, int]) -> dict[str, socket.socket]:
    opened: dict[str, socket.socket] = {}
    for side, port in ports.items():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        opened[side] = sock
        try:
            # Allow a port whose old connections are still in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((HOST, port))
            sock.listen(_BACKLOG)
        except (OSError, OverflowError) as cause:
            for other in opened.values():
                other.close()
            reason = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else str(cause)
            advice = f"end what uses it, or choose another one with --{side}-port"
            raise InvalidRequest(f"port {port} for {side} cannot be opened ({reason}): {advice}") from cause
    return opened


def _open_record(path: str) -> TextIO:
    try:
        return Path(path).open("w", encoding="utf-8")
    except OSError as cause:
        raise InvalidRequest(f"{path} cannot be written ({cause.strerror})") from cause


def _hubspot(options: Options, rng: random.Random) -> HubSpotMachine:
    settings = HubSpotSettings(tier=options.tier, rate_per_s=options.hubspot_limit, webhook_shape=options.webhook_shape)
    return HubSpotMachine(rng, settings)


def _stripe(options: Options, rng: random.Random) -> StripeMachine:
    machine = StripeMachine(rng, StripeSettings())
    if options.stripe_limit is not None:
        machine.set_rate(options.stripe_limit)
    return machine
