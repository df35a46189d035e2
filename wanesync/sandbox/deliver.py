"""Carries the webhooks of one stand-in from its outbox to the receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

from wanesync.sandbox.http_client import Poster
from wanesync.sandbox.wire import Delivery, StandIn

_LONGEST_NAP_MS = 20
"""Edits ring no bell: the outbox is looked at this often."""


class Courier:
    """Takes what is due, has each POST under way at once, and reports each answer.

    How many may be in flight is the machine's own rule: it hands out no more than that.
    """

    def __init__(self, machine: StandIn, lock: AbstractContextManager[object], now_ms: Callable[[], int]) -> None:
        self._machine = machine
        self._lock = lock
        self._now_ms = now_ms
        self._poster = Poster()
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                with self._lock:
                    due = self._machine.take_deliveries(self._now_ms())
                    next_ms = self._machine.next_delivery_ms()
                for delivery in due:
                    task = asyncio.create_task(self._deliver(delivery))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
                nap_ms = _LONGEST_NAP_MS if next_ms is None else min(max(next_ms - self._now_ms(), 1), _LONGEST_NAP_MS)
                await asyncio.sleep(nap_ms / 1000)
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            await self._poster.close()

    async def _deliver(self, delivery: Delivery) -> None:
        status = await self._poster.post(delivery)
        with self._lock:
            self._machine.finish_delivery(delivery.id, status, self._now_ms())
