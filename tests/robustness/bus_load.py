"""The bus under load and under kills of its broker: ``python -m tests.robustness.bus_load RUN``, ``--help`` lists all.

Each run starts a Mosquitto, a database and the parts of its own, plays the vendor, which repeats what was not answered
with 2xx, and compares at the end what was answered with what is stored. Exit code 1 if anything is lost or doubled.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.support.bus_parts import (
    BUS_KEY,
    accept_contact,
    await_ready,
    connected,
    file_store,
    listening,
    make_door,
    make_queue,
    running_queue,
)
from tests.support.mosquitto import Mosquitto, running
from wanesync import log
from wanesync.bus import topics
from wanesync.bus.client import BusUnavailable
from wanesync.bus.door import BusDoor
from wanesync.bus.queue_process import HEARTBEAT_S
from wanesync.cli.context import set_on_stop_signals
from wanesync.core.model import Side
from wanesync.store.database import Store, open_store

REPEAT_S = 2.0
"""After this the vendor that is played repeats a webhook; the real ones wait for minutes."""
RUN_LIMIT_S = 900


@dataclass
class Traffic:
    """A vendor: posts each contact until it is answered. ``doors``: a webhook goes to one of them, in turn."""

    doors: Sequence[BusDoor]
    answered: set[int] = field(default_factory=set)
    refused: int = 0
    new: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def post(self, contact_id: int) -> None:
        """Post one contact until it is answered with 2xx."""
        deadline = time.monotonic() + RUN_LIMIT_S
        while time.monotonic() < deadline:
            began = time.perf_counter()
            try:
                new = accept_contact(self.doors[contact_id % len(self.doors)], contact_id)
            except BusUnavailable:
                with self._guard:
                    self.refused += 1
                time.sleep(REPEAT_S)
            else:
                with self._guard:
                    self.latencies_ms.append((time.perf_counter() - began) * 1000)
                    self.answered.add(contact_id)
                    self.new += new
                return
        raise TimeoutError(f"contact {contact_id} was never stored")

    def post_all(self, number: int, threads: int, rate: float = 0) -> None:
        """Post contacts 1 to ``number``, ``threads`` at a time, at most ``rate`` a second (0: as fast as it goes)."""
        began = time.monotonic()

        def post(position: int) -> None:
            if rate:
                time.sleep(max(0.0, began + position / rate - time.monotonic()))
            self.post(position + 1)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(post, range(number)))


@dataclass(frozen=True)
class Result:
    """What one run shows. ``doubled``: events that are stored more than once, or counted as new more than once."""

    name: str
    answered: int
    lost: int
    doubled: int
    refused: int
    p50_ms: float
    p99_ms: float
    seconds: float
    remarks: str = ""

    @property
    def is_right(self) -> bool:
        return not self.lost and not self.doubled

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.answered:,} answered in {self.seconds:.1f} s, {self.lost} lost, "
            f"{self.doubled} doubled, "
            f"{self.refused} refused and repeated; handler p50 {self.p50_ms:.0f} ms, p99 {self.p99_ms:.0f} ms"
            f"{self.remarks}"
        )


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of them lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def stored_contacts(store: Store) -> list[int]:
    """The contacts of all stored events, one entry an event."""
    with closing(sqlite3.connect(store.url_label.removeprefix("sqlite:"))) as database:
        return [int(row[0]) for row in database.execute("SELECT record_id FROM events")]


def judge(name: str, traffic: Traffic, store: Store, began: float, remarks: str = "") -> Result:
    """Compare what was answered with what is stored."""
    stored = stored_contacts(store)
    return Result(
        name,
        len(traffic.answered),
        len(traffic.answered - set(stored)),
        len(stored) - len(set(stored)) + max(0, traffic.new - len(stored)),
        traffic.refused,
        quantile(traffic.latencies_ms, 0.5),
        quantile(traffic.latencies_ms, 0.99),
        time.monotonic() - began,
        remarks,
    )


class QueueChild:
    """A queue process that can be killed."""

    def __init__(self, url: str, database: str, name: str) -> None:
        self._command = [sys.executable, "-m", "tests.robustness.bus_load", "queue", "--queue", url, database, name]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until both of its sides are connected."""
        keys = os.environ | {"WANESYNC_TEST_BUS_KEY": BUS_KEY}
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=keys)
        assert self._process.stdout is not None
        while (line := self._process.stdout.readline()) != "ready\n":
            assert line, "the queue process ended"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            assert self._process.stdout is not None
            self._process.stdout.close()


def run_queue(url: str, database: str, name: str) -> None:
    """Be a queue process until SIGTERM."""
    log.configure("error", sys.stderr)
    store = open_store(database)
    process = make_queue(url, store, name)
    stopping = set_on_stop_signals()

    def stop() -> None:
        stopping.wait()
        process.stopping.set()

    def announce() -> None:
        await_ready(process)
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    threading.Thread(target=stop, daemon=True).start()
    threading.Thread(target=announce).start()
    process.run()
    store.close()


@dataclass
class Parts:
    """A broker, a database, queue processes and connected doors."""

    broker: Mosquitto
    store: Store
    queues: list[QueueChild]
    doors: list[BusDoor]


@contextmanager
def parts(folder: Path, doors: int = 1, queues: int = 1, *, apart: bool = True) -> Iterator[Parts]:
    """Everything a run needs. ``apart``: the queue is in processes of its own, and not in threads of this one."""
    with ExitStack() as stack:
        broker = stack.enter_context(running(folder / "broker"))
        store = stack.enter_context(file_store(folder))
        children = [QueueChild(broker.url, store.url_label, f"queue{n}") for n in range(queues)] if apart else []
        for child in children:
            child.start()
            stack.callback(child.stop)
        if not apart:
            stack.enter_context(running_queue(make_queue(broker.url, store)))
        made = [make_door(broker.url, instance=str(number)) for number in range(doors)]
        yield Parts(broker, store, children, [stack.enter_context(connected(door)) for door in made])


def run_burst(folder: Path, number: int, rate: float, *, apart: bool = True) -> Result:
    """Webhooks at a steady rate, as in a burst: an answer comes after its commit, so its time bounds that of both."""
    with parts(folder, doors=2, apart=apart) as run:
        traffic, began = Traffic(run.doors), time.monotonic()
        traffic.post_all(number, 64, rate)
        return judge(f"burst at {rate:.0f}/s", traffic, run.store, began)


def run_queue_kills(folder: Path, number: int, kills: int, pause_s: float) -> Result:
    """Kill one of two queue processes again and again; it is back after half of the pause."""
    with parts(folder, doors=2, queues=2) as run:
        traffic, began, stopping = Traffic(run.doors), time.monotonic(), threading.Event()
        # Both must know of each other, so that their sessions are short.
        time.sleep(3 * HEARTBEAT_S)

        def kill() -> None:
            for turn in range(kills):
                child = run.queues[turn % 2]
                child.stop(signal.SIGKILL)
                if stopping.wait(pause_s / 2):
                    return
                child.start()
                if stopping.wait(pause_s / 2):
                    return

        killing = threading.Thread(target=kill)
        killing.start()
        traffic.post_all(number, 64, number / (kills * pause_s))
        stopping.set()
        killing.join()
        remarks = f", the longest {max(traffic.latencies_ms):.0f} ms; {kills} kills"
        return judge("kills of one of two queue processes", traffic, run.store, began, remarks)


def run_kills(folder: Path, number: int, kills: int, pause_s: float, *, wipe: bool, apart: bool = True) -> Result:
    """Kill the broker again and again while webhooks are on their way; ``wipe``: its disk is lost as well."""
    with parts(folder, doors=2, apart=apart) as run:
        broker, store = run.broker, run.store
        traffic, began, stopping, killed = Traffic(run.doors), time.monotonic(), threading.Event(), count()
        missing: list[int] = []

        def kill() -> None:
            while not stopping.wait(pause_s) and next(killed) < kills:
                broker.kill()
                if wipe:
                    broker.wipe()
                answered = set(traffic.answered)
                missing.append(len(answered - set(stored_contacts(store))))
                broker.start()

        killing = threading.Thread(target=kill)
        killing.start()
        traffic.post_all(number, 96, number / (kills * pause_s))
        stopping.set()
        killing.join()
        remarks = f"; {len(missing)} kills, {max(missing, default=0)} answered and not stored at any of them"
        return judge("kills of the broker" + (" and its disk" if wipe else ""), traffic, store, began, remarks)


def run_flood(folder: Path, flood: int, number: int, *, apart: bool = True) -> Result:
    """One role floods its own topic while the other side's webhooks come steadily."""
    with parts(folder, apart=apart) as run:
        sent = threading.Event()
        with listening(run.broker.url, name="flooder") as flooder:

            def send() -> None:
                for _ in range(flood):
                    while not _publish(flooder.client.publish):
                        time.sleep(0.01)
                sent.set()

            sending = threading.Thread(target=send)
            traffic, began = Traffic(run.doors), time.monotonic()
            sending.start()
            traffic.post_all(number, 8, 20)
            sending.join()
        return judge(f"flood of {flood:,} by the other side", traffic, run.store, began)


def _publish(publish: Callable[[str, bytes], None]) -> bool:
    try:
        publish(topics.incoming(Side.STRIPE), b"x" * 600)
    except BusUnavailable:
        return False
    return True


def run_handlers(folder: Path, handlers: int, *, apart: bool = True) -> Result:
    """So many handlers, each with a connection of its own, post one webhook at once, and then one more."""
    with parts(folder, doors=handlers, apart=apart) as run:
        traffic, began = Traffic(run.doors), time.monotonic()
        start = threading.Barrier(handlers)

        def post(contact_id: int) -> None:
            start.wait()
            traffic.post(contact_id)
            traffic.post(contact_id + handlers)

        with ThreadPoolExecutor(handlers) as pool:
            list(pool.map(post, range(1, handlers + 1)))
        return judge(f"{handlers:,} handlers at once", traffic, run.store, began)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one kind and print its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", choices=["burst", "kills", "wiped", "queues", "flood", "handlers", "queue"])
    parser.add_argument("--queue", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pause", type=float, default=2.5, help="seconds between two kills")
    parser.add_argument("--rate", type=float, default=170, help="webhooks a second of the burst")
    parser.add_argument("--flood", type=int, default=100_000)
    parser.add_argument("--handlers", type=int, default=1_000)
    given = parser.parse_args(arguments)
    if given.queue:
        run_queue(*given.queue)
        return 0
    with tempfile.TemporaryDirectory(prefix="wanesync-bus-") as name:
        folder = Path(name)
        runs: dict[str, Callable[[], Result]] = {
            "burst": lambda: run_burst(folder, given.messages, given.rate),
            "kills": lambda: run_kills(folder, given.messages, given.kills, given.pause, wipe=False),
            "wiped": lambda: run_kills(folder, given.messages, given.kills, given.pause, wipe=True),
            "queues": lambda: run_queue_kills(folder, given.messages, given.kills, given.pause),
            "flood": lambda: run_flood(folder, given.flood, min(given.messages, 400)),
            "handlers": lambda: run_handlers(folder, given.handlers),
        }
        result = runs[given.run]()
    sys.stdout.write(f"{result}\n")
    return 0 if result.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
