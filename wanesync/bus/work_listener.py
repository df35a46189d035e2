"""A worker's half of the bus: it is woken when jobs are due or limits change, and reports how its jobs ended."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from wanesync.bus import topics
from wanesync.bus.client import BusClient, BusOptions, BusUnavailable, Message
from wanesync.bus.envelope import NotSealed, Seal
from wanesync.bus.messages import MAX_IDS, Done
from wanesync.bus.topics import ACTIONS, Control, Report
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.jobs import JobReport
from wanesync.core.model import Side

if TYPE_CHECKING:
    from wanesync.store.database import Store

EXPIRY_S = 30
"""How long the broker keeps a report."""

log = structlog.get_logger()


@dataclass(slots=True)
class WorkListener:
    """Connects the worker of one side to the bus.

    ``refresh``: has the worker read its limits again; called when they changed.
    """

    store: Store
    side: Side
    seal: Seal
    options: BusOptions
    refresh: Callable[[], None]
    client: BusClient = field(init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _is_refresh_due: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Make the client; it connects in ``start``."""
        wanted = [topics.work(self.side, action) for action in ACTIONS[self.side]]
        self.client = BusClient(
            self.options, casual=[*wanted, *topics.CONTROLS], receive=self._receive, connected=self.store.wake_workers
        )

    def start(self) -> None:
        """Begin to listen and to report."""
        self.store.report = self.report
        self.client.start()

    def stop(self) -> None:
        """End both."""
        self.client.stop()

    def _refresh(self) -> None:
        with self._turn:
            self._is_refresh_due.clear()
            try:
                self.refresh()
            except DatabaseUnavailable as error:
                log.warning("limits not read", reason=str(error))

    def report(self, reports: Sequence[JobReport]) -> None:
        """Publish how jobs ended; what cannot be sent now is left out."""
        if not self.client.is_ready:
            return
        groups: dict[Report, list[JobReport]] = defaultdict(list)
        for one in reports:
            if one.lane is self.side:
                groups[Report(one.ending)].append(one)
        try:
            for ending, group in groups.items():
                for start in range(0, len(group), MAX_IDS):
                    self._publish(topics.done(self.side, ending), Done.of(group[start : start + MAX_IDS]))
        except BusUnavailable as error:
            log.debug("report not sent", reason=str(error))

    def _publish(self, topic: str, message: Done) -> None:
        self.client.publish(topic, self.seal.seal(topic, message.encode()), expiry_s=EXPIRY_S)

    def _receive(self, message: Message) -> None:
        try:
            self.seal.open(message.topic, message.payload)
        except NotSealed as error:
            log.error("message dropped", topic=message.topic, reason=str(error))
            return
        if message.topic == topics.control(Control.LIMITS) and not self._is_refresh_due.is_set():
            # One thread reads, one more waits for its turn: any number of messages may come meanwhile.
            self._is_refresh_due.set()
            threading.Thread(target=self._refresh, name="refresh-limits", daemon=True).start()
        self.store.wake_workers()
