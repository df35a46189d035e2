"""The sandbox as a program: both stand-ins in one process, each on a port of 127.0.0.1.

``with Sandbox(Options()) as sandbox`` runs it in a thread of its own (tests, benches); ``serve``
keeps it running until the process is asked to stop (the command line).
"""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import uvicorn

from wanesync.sandbox import control, faults
from wanesync.sandbox.asgi import Face, HangUpProtocol, Latency
from wanesync.sandbox.control import Machine
from wanesync.sandbox.deliver import Courier
from wanesync.sandbox.errors import InvalidRequest
from wanesync.sandbox.hubspot.machine import HubSpotMachine, HubSpotSettings
from wanesync.sandbox.hubspot.settings import Tier
from wanesync.sandbox.seed_data import Crowd, seed
from wanesync.sandbox.stripe.machine import StripeMachine, StripeSettings
from wanesync.sandbox.wire import Request, Response, Side, WebhookTarget

HOST = "127.0.0.1"
HUBSPOT_KEY = "pat-na1-sandbox"
STRIPE_KEY = "sk_test_sandbox"
_START_S = 10.0
SWITCH_S = 0.001  # the thread that takes requests in must not wait for the others


@dataclass(frozen=True, slots=True)
class Options:
    """How a sandbox starts.

    Port 0: any free one. ``latency_ms``: bounds of each request's time. ``*_limit``: requests per
    second admitted, None for the vendor's own (with a Stripe limit, the single operations have none of
    their own: Stripe lifts those on request). ``fault_profile``: a name in ``faults.PROFILES``.
    """

    hubspot_port: int = 0
    stripe_port: int = 0
    crowd: Crowd = field(default_factory=Crowd)
    latency_ms: tuple[float, float] = (0, 0)
    tier: Tier = "professional"
    fault_profile: str = "none"
    hubspot_limit: int | None = None
    stripe_limit: int | None = None

    def __post_init__(self) -> None:
        """Refuse a fault profile nobody knows (InvalidRequest)."""
        if self.fault_profile not in faults.PROFILES:
            raise InvalidRequest(f"no fault profile {self.fault_profile!r}: there are {', '.join(faults.PROFILES)}")


def clock_ms() -> int:
    """The machine's clock: epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Sandbox:
    """Two stand-ins behind HTTP. Everything that touches a machine takes ``lock``.

    ``hubspot`` and ``stripe`` are the machines themselves: read them freely in a test that is alone
    with them, otherwise use ``edit``, ``stats`` and ``records`` here, which take the lock. ``planted``
    says who stood there first.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        crowd_seed = self.options.crowd.seed
        self.hubspot = _hubspot(self.options, random.Random(crowd_seed))  # noqa: S311 - made-up people, no secrets
        self.stripe = _stripe(self.options, random.Random(crowd_seed + 1))  # noqa: S311 - as above
        self.machines: Mapping[str, Machine] = {Side.HUBSPOT: self.hubspot, Side.STRIPE: self.stripe}
        self.lock = threading.RLock()
        self._latency = Latency(*self.options.latency_ms, random.Random(crowd_seed + 2))  # noqa: S311 - as above
        for machine in self.machines.values():
            machine.set_faults(faults.PROFILES[self.options.fault_profile])
        self.planted = seed(self.machines, self.options.crowd, clock_ms())
        self._sockets: dict[str, socket.socket] = {}
        self._sides: dict[int, str] = {}
        self._thread: threading.Thread | None = None
        self._server: uvicorn.Server | None = None

    @property
    def hubspot_url(self) -> str:
        """The root of the stand-in HubSpot."""
        return self.url(Side.HUBSPOT)

    @property
    def stripe_url(self) -> str:
        """The root of the stand-in Stripe."""
        return self.url(Side.STRIPE)

    def url(self, side: str) -> str:
        """The root of one stand-in. Known once the sandbox is started."""
        return f"http://{HOST}:{self._sockets[side].getsockname()[1]}"

    def edit(self, side: str, kind: str, record_id: str | None = None, values: Mapping[str, str] | None = None) -> str:
        """An edit by a person on one side, now: the record's id. Raises ValueError for a wrong one."""
        with self.lock:
            return self.machines[side].edit(kind, record_id, values or {}, clock_ms())

    def records(self, side: str) -> list[dict[str, str]]:
        """Every living record of one side in short form."""
        with self.lock:
            return self.machines[side].records()

    def stats(self) -> dict[str, Mapping[str, object]]:
        """What ``GET /_sandbox/stats`` answers."""
        with self.lock:
            return {str(side): machine.stats(clock_ms()) for side, machine in self.machines.items()}

    def set_target(self, side: str, target: WebhookTarget | None) -> None:
        """Where one side's webhooks go from now on."""
        with self.lock:
            self.machines[side].set_target(target)

    def start(self) -> None:
        """Open both ports and serve from a thread. Raises InvalidRequest when a port is taken."""
        # A collection of the whole crowd stops everything for a tenth of a second, and requests then seem to bunch.
        gc.freeze()
        gc.set_threshold(100_000, 50, 1_000)
        sys.setswitchinterval(SWITCH_S)
        self._sockets = _listen({Side.HUBSPOT: self.options.hubspot_port, Side.STRIPE: self.options.stripe_port})
        self._sides = {sock.getsockname()[1]: side for side, sock in self._sockets.items()}
        config = uvicorn.Config(
            Face(self._arrive, self._handle, self._latency),
            http=HangUpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # the machines set it; uvicorn's own is up to seconds old when cores are busy
            timeout_keep_alive=75,  # longer than the connection pools of the clients
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
            "stripe_key": STRIPE_KEY,
        }

    def stop(self) -> None:
        """Close both ports; requests under way are given a second."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        for sock in self._sockets.values():
            sock.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def _run(self, server: uvicorn.Server, ready: Future[None]) -> None:
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(self._serve(server, ready))

    async def _serve(self, server: uvicorn.Server, ready: Future[None]) -> None:
        couriers = [Courier(machine, self.lock, clock_ms) for machine in self.machines.values()]
        rounds = [asyncio.create_task(courier.run()) for courier in couriers]
        # The ports listen already, so a request that comes before the server's first turn just waits.
        ready.set_result(None)
        try:
            await server.serve(sockets=list(self._sockets.values()))
        finally:
            for task in rounds:
                task.cancel()
            await asyncio.gather(*rounds, return_exceptions=True)

    def _arrive(self, port: int, request: Request) -> Response | None:
        if request.path.startswith(control.ROOT):
            return None
        with self.lock:
            return self.machines[self._sides[port]].arrive(request, clock_ms())

    def _handle(self, port: int, request: Request) -> Response:
        side = self._sides[port]
        with self.lock:
            if request.path.startswith(control.ROOT):
                return control.answer(self.machines, side, request, clock_ms())
            return self.machines[side].handle(request, clock_ms())


def serve(options: Options, announce: Callable[[Sandbox], None]) -> None:
    """Run until SIGINT or SIGTERM; ``announce`` is called once both ports answer. Main thread only."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: asked.set())
    with Sandbox(options) as sandbox:
        announce(sandbox)
        asked.wait()


def _listen(ports: Mapping[Side, int]) -> dict[str, socket.socket]:
    opened: dict[str, socket.socket] = {}
    for side, port in ports.items():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        opened[side] = sock
        try:
            # A port whose old connections are still in TIME_WAIT may be taken again.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((HOST, port))
            sock.listen(512)
        except (OSError, OverflowError) as cause:
            for other in opened.values():
                other.close()
            raise InvalidRequest(f"port {port} for {side} cannot be opened ({cause}): choose another one") from cause
    return opened


def _hubspot(options: Options, rng: random.Random) -> HubSpotMachine:
    return HubSpotMachine(rng, HubSpotSettings(tier=options.tier, rate_per_s=options.hubspot_limit))


def _stripe(options: Options, rng: random.Random) -> StripeMachine:
    machine = StripeMachine(rng, StripeSettings())
    if options.stripe_limit is not None:
        machine.set_rate(options.stripe_limit)
    return machine
