"""Live pages: one reader of the store for every listener of this process, over server-sent events.

A page listens to a topic, such as the overview of the last hour. While a topic has a listener, its ``read`` runs every
two seconds in a thread, one topic after the other, however many pages are open; each listener gets what changed. A
stream ends with the session it was opened in, after ``MAX_STREAM_S`` (the browser opens the next one), and when the
service stops.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from anyio import to_thread
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from wanesync.core.errors import DatabaseUnavailable, WanesyncError

INTERVAL_S = 2.0
"""How often a topic is read while a page listens to it."""
IDLE_S = 5.0
"""How often the samples of the queue are taken meanwhile, also while no page is open."""
MAX_LISTENERS, MAX_OF_VISITOR = 64, 8
"""Streams that may be open at a time, in all and of one visitor (our choice: a tab has one)."""
MAX_STREAM_S = 900.0
"""A stream ends after 15 min, so that one whose browser is gone does not stay (our choice)."""
CHECK_S = 10.0
"""How often it is looked whether the session of a stream still holds (our choice)."""
KEEP_ALIVE_S = 15.0
"""A stream without news sends a comment so often, which also shows whether the browser is still there."""
RETRY_MS = 3_000
"""How long the browser waits before it opens a stream again."""
ENDED, TROUBLE = "ended", "trouble"
"""Events of every topic: the session ended; the database cannot be read now, and why."""

ReadTopic = Callable[[], Mapping[str, str]]
"""Returns the newest events of a topic: name -> data. It runs in a thread."""
log = structlog.get_logger()


class TooManyListeners(WanesyncError):
    """As many live pages are open as may be."""

    def __init__(self, whose: str) -> None:
        super().__init__(f"too many live pages are open {whose}: close some, or reload this one later")


@dataclass(slots=True)
class _Topic:
    """What is read for some listeners. ``events``: name -> (version, data)."""

    read: ReadTopic
    listeners: int = 0
    versions: int = 0
    events: dict[str, tuple[int, str]] = field(default_factory=dict)

    def take(self, found: Mapping[str, str]) -> bool:
        """Keep what was read; return whether any of it is new."""
        before = {name: data for name, (_, data) in self.events.items()}
        for name, data in found.items():
            if before.get(name) != data:
                self.versions += 1
                self.events[name] = self.versions, data
        for name in [name for name in self.events if name not in found]:
            del self.events[name]
        return {name: data for name, (_, data) in self.events.items()} != before


class LiveHub:
    """The reader, and its listeners. Everything but ``read`` and ``sample`` runs in one event loop.

    ``sample``: called in a thread every ``idle_s`` or sooner, for what is kept over time.
    """

    def __init__(
        self,
        sample: Callable[[], None],
        *,
        interval_s: float = INTERVAL_S,
        idle_s: float = IDLE_S,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        self._sample = sample
        self._interval_s, self._idle_s, self._keep_alive_s = interval_s, idle_s, keep_alive_s
        self._topics: dict[str, _Topic] = {}
        self._of_visitor: Counter[str] = Counter()
        self._news = asyncio.Condition()
        self._joined = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closing = False

    @property
    def listeners(self) -> int:
        """Return how many streams are open."""
        return self._of_visitor.total()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the context lasts, read for the listeners; at its end their streams end."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._run(), name="live")
        try:
            yield
        finally:
            self._loop = None
            await self.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def end(self) -> None:
        """End every stream, from any thread: a server that stops waits for its connections."""
        self.closing = True
        if self._loop is not None and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self.close(), self._loop)

    async def close(self) -> None:
        """End every stream."""
        self.closing = True
        async with self._news:
            self._news.notify_all()

    def check_room(self, visitor: str) -> None:
        """Raise TooManyListeners where no further stream may be opened."""
        if self.listeners >= MAX_LISTENERS:
            raise TooManyListeners("in this service")
        if self._of_visitor[visitor] >= MAX_OF_VISITOR:
            raise TooManyListeners("by this user")

    async def stream(
        self, topic: str, read: ReadTopic, visitor: str, is_allowed: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """Yield the events of a topic, in the format of server-sent events, until the session ends.

        ``is_allowed``: whether it still holds; it runs in a thread. Raises TooManyListeners.
        """
        self.check_room(visitor)
        joined = self._topics.setdefault(topic, _Topic(read))
        joined.listeners += 1
        self._of_visitor[visitor] += 1
        self._joined.set()
        try:
            yield format_sse_event(retry=RETRY_MS)
            async for event in self._follow(joined, is_allowed):
                yield event
        finally:
            joined.listeners -= 1
            self._of_visitor[visitor] -= 1
            if not joined.listeners and self._topics.get(topic) is joined:
                del self._topics[topic]

    async def _follow(self, topic: _Topic, is_allowed: Callable[[], bool]) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        ends_s, checked_s = loop.time() + MAX_STREAM_S, loop.time()
        seen: dict[str, int] = {}
        while not self.closing and loop.time() < ends_s:
            if loop.time() - checked_s >= CHECK_S:
                checked_s = loop.time()
                if not await to_thread.run_sync(is_allowed):
                    yield format_sse_event(event=ENDED, data_str="")
                    return
            news = [
                (name, version, data) for name, (version, data) in topic.events.items() if seen.get(name) != version
            ]
            for name, version, data in news:
                seen[name] = version
                yield format_sse_event(event=name, data_str=data)
            if not news and not await self._wait(topic, seen):
                yield KEEPALIVE_COMMENT

    async def _wait(self, topic: _Topic, seen: Mapping[str, int]) -> bool:
        """Wait for news of a topic; False after a while without any."""

        def has_news() -> bool:
            return self.closing or any(seen.get(name) != version for name, (version, _) in topic.events.items())

        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(has_news), min(self._keep_alive_s, CHECK_S))
            except TimeoutError:
                return False
        return True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        sampled_s = -self._idle_s
        while not self.closing:
            self._joined.clear()
            if loop.time() - sampled_s >= self._idle_s - self._interval_s / 2:
                sampled_s = loop.time()
                await self._call(self._sample)
            for topic in [*self._topics.values()]:
                await self._refresh(topic)
            try:
                # A first listener does not wait for the next round.
                await asyncio.wait_for(self._joined.wait(), self._interval_s if self._topics else self._idle_s)
            except TimeoutError:
                continue

    async def _refresh(self, topic: _Topic) -> None:
        found = await self._call(topic.read)
        if topic.take(found or {}):
            async with self._news:
                self._news.notify_all()

    async def _call(self, work: Callable[[], Mapping[str, str] | None]) -> Mapping[str, str] | None:
        """Run something that reads; a failure ends no stream."""
        try:
            return await to_thread.run_sync(work)
        except DatabaseUnavailable as error:
            return {TROUBLE: str(error)}
        except Exception as error:
            log.exception("live_failed", error=type(error).__name__)
            return {TROUBLE: "this page cannot be read now: see the log of the admin service"}
