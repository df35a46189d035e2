"""``serve``, ``worker``, ``up``: the programs that keep running until SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer

from wanesync.accounts import find_pinned
from wanesync.cli.context import ConfigFile, opened_store, read_logged_config
from wanesync.config.model import Config
from wanesync.core.model import Side
from wanesync.sync.runtime import Runtime
from wanesync.wiring import (
    build_retention_task,
    build_routine_tasks,
    build_runtime,
    build_web_server,
    build_worker,
    is_on_file,
)


class Which(StrEnum):
    """Whose lane a worker runs."""

    HUBSPOT = "hubspot"
    STRIPE = "stripe"
    ALL = "all"

    @property
    def sides(self) -> tuple[Side, ...]:
        """As sides."""
        return tuple(Side) if self is Which.ALL else (Side(self.value),)


WhichSide = Annotated[Which, typer.Option("--side", help="A process for one side needs only that side's key.")]


def serve(config_file: ConfigFile = None) -> None:
    """Receive webhooks. Holds the webhook secrets and no API key."""
    config = read_logged_config(config_file)
    stopping = set_on_stop_signals()
    with opened_store(config, migrate=is_on_file(config)) as store:
        server = build_web_server(config, store)
        server.start()
        _announce(server.url)
        try:
            server.beat_until(stopping)
        finally:
            server.stop()


def worker(side: WhichSide = Which.ALL, config_file: ConfigFile = None) -> None:
    """Process jobs: read what changed, write the other side. Any number of workers may run."""
    config = read_logged_config(config_file)
    stopping = set_on_stop_signals()
    with opened_store(config, migrate=is_on_file(config)) as store:
        runtime = build_runtime(config, store, side.sides, patient=True)
        print(f"wanesync worker {runtime.name}: {' and '.join(side.sides)}", flush=True)
        with _worker_thread(config, runtime, side.sides, stopping):
            stopping.wait()


def up(config_file: ConfigFile = None) -> None:
    """Run all in one process: webhooks, jobs, the first listing."""
    config = read_logged_config(config_file)
    stopping = set_on_stop_signals()
    with opened_store(config, migrate=True) as store:
        # Webhooks are not lost while a side is away; only at the very first start it must say whose they are.
        first = None if find_pinned(store) >= set(Side) else build_runtime(config, store, tuple(Side))
        server = build_web_server(config, store)
        server.start()
        _announce(server.url)
        try:
            runtime = first or build_runtime(config, store, tuple(Side), patient=True)
            with _worker_thread(config, runtime, tuple(Side), stopping, list_first=True):
                server.beat_until(stopping)
        finally:
            server.stop()


def set_on_stop_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. Main thread only."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    return stopping


def _announce(url: str) -> None:
    print(f"wanesync serves {url} (webhooks go to /webhooks/hubspot and /webhooks/stripe)", flush=True)


@contextmanager
def _worker_thread(
    config: Config, runtime: Runtime, sides: tuple[Side, ...], stopping: threading.Event, *, list_first: bool = False
) -> Iterator[None]:
    """A worker with its rounds of catch-up; asked to stop at the end, which takes at most 10 s."""
    work = build_worker(runtime, sides)
    routine_tasks = build_routine_tasks(config, runtime, sides, stopping, list_first=list_first)
    retention = build_retention_task(config, runtime.store)
    retention.stopping = stopping
    thread = _Guarded("worker", work.run, stopping)
    # A round may be waiting for an answer of a side; whatever it has not stored comes again.
    threading.Thread(target=routine_tasks.run, name="routine-tasks", daemon=True).start()
    threading.Thread(target=retention.run, name="retention", daemon=True).start()
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        work.stop()
        thread.join()
    if thread.failure is not None:
        raise thread.failure


class _Guarded(threading.Thread):
    """A thread whose end ends the program, with its error."""

    def __init__(self, name: str, work: Callable[[], None], stopping: threading.Event) -> None:
        super().__init__(name=name)
        self.failure: Exception | None = None
        self._work, self._stopping = work, stopping

    def run(self) -> None:
        """Work; at the end, however it comes, ask the program to stop."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - handed to the main thread
            self.failure = error
        finally:
            self._stopping.set()
