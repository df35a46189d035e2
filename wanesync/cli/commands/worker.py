"""``worker``: process jobs until SIGTERM or Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.alert_wiring import start_alerts
from wanesync.cli.context import (
    ConfigFile,
    end_if_stopping,
    read_logged_config,
    set_on_stop_signals,
    use_database,
    wait_until_stopping,
)
from wanesync.config.model import API_KEYS, BUS_SECRETS, Config
from wanesync.core.model import Side
from wanesync.ops.field_map import MapClaim
from wanesync.ops.writes import OFF, read_writes
from wanesync.output import print_line
from wanesync.store.database import Store
from wanesync.store.patience import Patience
from wanesync.sync.runtime import Runtime
from wanesync.wiring import (
    build_generation_marker,
    build_portal_check,
    build_retention_task,
    build_routine_tasks,
    build_runtime,
    build_secret_refresh,
    build_side_probe,
    build_worker,
    is_on_file,
)
from wanesync.worker.portal_check import begin_unchecked

if TYPE_CHECKING:
    from wanesync.bus.work_listener import WorkListener
    from wanesync.worker.worker import Worker


class Lanes(StrEnum):
    """Which lanes a worker runs."""

    HUBSPOT = "hubspot"
    STRIPE = "stripe"
    ALL = "all"

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides of the lanes."""
        return tuple(Side) if self is Lanes.ALL else (Side(self.value),)


WorkerLanes = Annotated[Lanes, typer.Option("--side", help="A process for one side needs only that side's key.")]


def worker(side: WorkerLanes = Lanes.ALL, config_file: ConfigFile = None) -> None:
    """Process jobs: read what changed, write the other side. Any number of workers can run."""
    on_bus = BUS_SECRETS if side is not Lanes.ALL else ()
    config = read_logged_config(config_file, [*(API_KEYS[one] for one in side.sides), *on_bus])
    stopping = set_on_stop_signals()
    patience = Patience(stopping)
    with use_database(config, migrate=is_on_file(config), patience=patience, logs_of="worker") as store:
        with store.patient(patience):
            end_if_stopping(stopping)
            runtime = build_runtime(config, store, side.sides, patient=True, claim=MapClaim.TAKE_OVER)
        print_line(f"wanesync worker {runtime.name}: {' and '.join(side.sides)}", flush=True)
        with store.patient(patience):
            say_if_writes_are_off(store)
        end_if_stopping(stopping)
        with run_worker(config, runtime, side.sides, stopping):
            wait_until_stopping(stopping)


def say_if_writes_are_off(store: Store) -> None:
    """Print how writing begins, if it did not yet."""
    if read_writes(store) == OFF:
        print_line("writes are off: nothing is written to either side before wanesync writes on", flush=True)


@contextmanager
def run_worker(
    config: Config, runtime: Runtime, sides: tuple[Side, ...], stopping: threading.Event, *, list_first: bool = False
) -> Iterator[None]:
    """Run a worker and its regular tasks in threads while the block lasts; stopping them takes at most 10 s.

    ``list_first``: do the first listing where it is missing. An error of the worker sets ``stopping`` and is raised at
    the end of the block.
    """
    work = build_worker(runtime, sides)
    routine_tasks = build_routine_tasks(config, runtime, sides, stopping, list_first=list_first)
    retention = build_retention_task(config, runtime.store)
    retention.stopping = stopping
    probe = build_side_probe(runtime, sides, stopping)
    marker = build_generation_marker(config, runtime.store, stopping)
    with runtime.store.patient(Patience(stopping)):
        runtime.store.run(begin_unchecked)
        # Before the first job: a restored database creates nothing that was created before.
        marker.check()
    thread = _StoppingThread("worker", work.run, stopping)
    # Daemons: they may be waiting for an answer of a side, and what they have not stored is read again next time.
    threading.Thread(target=routine_tasks.run, name="routine-tasks", daemon=True).start()
    threading.Thread(target=retention.run, name="retention", daemon=True).start()
    threading.Thread(target=marker.run, name="generation", daemon=True).start()
    threading.Thread(target=probe.run, name="side-probe", daemon=True).start()
    refresh = build_secret_refresh(config, runtime.store, f"worker {runtime.name}", stopping)
    threading.Thread(target=refresh.run, name="secret-refresh", daemon=True).start()
    alerts = start_alerts(config, runtime.store, stopping)
    if Side.HUBSPOT in sides:
        check = build_portal_check(config, runtime, stopping)
        threading.Thread(target=check.run, name="portal-check", daemon=True).start()
    listener = _listen(config, work, sides)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        work.stop()
        thread.join()
        alerts.stop()
        if listener is not None:
            listener.stop()
    if thread.failure is not None:
        raise thread.failure


def _listen(config: Config, work: Worker, sides: tuple[Side, ...]) -> WorkListener | None:
    """Begin to listen to the bus, where there is one and this process runs one side."""
    if config.bus.url is None:
        return None
    from wanesync.bus_wiring import build_work_listener  # noqa: PLC0415 - paho is an extra

    listener = build_work_listener(config, work, sides)
    if listener is not None:
        listener.start()
    return listener


class _StoppingThread(threading.Thread):
    """A thread that stops the program when it ends, and keeps its error."""

    def __init__(self, name: str, work: Callable[[], None], stopping: threading.Event) -> None:
        super().__init__(name=name)
        self.failure: Exception | None = None
        self._work, self._stopping = work, stopping

    def run(self) -> None:
        """Do the work; at its end, normal or not, stop the program."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            self.failure = error
        finally:
            self._stopping.set()
