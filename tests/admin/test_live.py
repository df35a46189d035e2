"""One reader serves every listener; streams are bounded and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from itertools import count

import pytest

from wanesync.admin import live
from wanesync.admin.live import LiveHub, TooManyListeners
from wanesync.core.errors import DatabaseUnavailable

QUICK = 0.01


def make_hub(sample: Callable[[], None] = lambda: None) -> LiveHub:
    return LiveHub(sample, interval_s=QUICK, idle_s=QUICK, keep_alive_s=QUICK)


async def next_event(stream: AsyncIterator[bytes]) -> bytes:
    """The next event that is not a comment and not the first line."""
    async for found in stream:
        if found.startswith(b"event:"):
            return found
    raise AssertionError("the stream ended")


def allowed() -> bool:
    return True


def test_a_topic_is_read_once_for_all_and_only_news_are_sent() -> None:
    numbers = count()
    reads: list[int] = []

    def read() -> Mapping[str, str]:
        reads.append(next(numbers))
        return {"fixed": "same", "moving": str(reads[-1])}

    async def run() -> None:
        hub = make_hub()
        async with hub.running():
            streams = [hub.stream("topic", read, f"visitor {at}", allowed) for at in range(5)]
            for stream in streams:
                assert await next_event(stream) == b"event: fixed\ndata: same\n\n"
            before = len(reads)
            seen = [await next_event(stream) for stream in streams]
            assert all(event.startswith(b"event: moving") for event in seen)
            while len(reads) < before + 3:
                assert (await next_event(streams[0])).startswith(b"event: moving"), "what stays the same is sent once"
            assert hub.listeners == 5
            for stream in streams:
                await stream.aclose()  # type: ignore[attr-defined] # an asynchronous generator
            assert hub.listeners == 0
            idle = len(reads)
            await asyncio.sleep(5 * QUICK)
            assert len(reads) <= idle + 1, "nothing is read without a listener"

    asyncio.run(run())


def test_a_stream_ends_with_its_session_and_with_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CHECK_S", 0.0)
    is_open = True

    async def run() -> None:
        nonlocal is_open
        hub = make_hub()
        async with hub.running():
            stream = hub.stream("topic", lambda: {"a": "1"}, "ada", lambda: is_open)
            await next_event(stream)
            is_open = False
            assert await next_event(stream) == b"event: ended\ndata: \n\n"
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            other = hub.stream("topic", lambda: {"a": "1"}, "ada", allowed)
            await next_event(other)
            await hub.close()
            assert [event async for event in other if event.startswith(b"event")] == []
        assert hub.listeners == 0

    asyncio.run(run())


def test_streams_are_bounded_for_each_visitor_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_OF_VISITOR", 2)
    monkeypatch.setattr(live, "MAX_LISTENERS", 3)

    async def run() -> None:
        hub = make_hub()
        async with hub.running():
            streams = [hub.stream("topic", lambda: {"a": "1"}, name, allowed) for name in ("ada", "ada", "bob")]
            for stream in streams:
                await next_event(stream)
            with pytest.raises(TooManyListeners, match="in this service"):
                hub.check_room("cleo")
            await streams[2].aclose()  # type: ignore[attr-defined] # an asynchronous generator
            with pytest.raises(TooManyListeners, match="by this user"):
                await anext(hub.stream("topic", dict, "ada", allowed))
            hub.check_room("bob")

    asyncio.run(run())


def test_a_database_that_is_away_ends_no_stream() -> None:
    reads = count()

    def read() -> Mapping[str, str]:
        if next(reads) == 1:
            raise DatabaseUnavailable("away")
        return {"a": "1"}

    async def run() -> None:
        hub = make_hub()
        async with hub.running(), aclosing(hub.stream("topic", read, "ada", allowed)) as stream:  # type: ignore[type-var] # an asynchronous generator
            found = [await next_event(stream) for _ in range(3)]
        assert found[0] == found[2] == b"event: a\ndata: 1\n\n", "it is sent again once it can be read"
        assert found[1].startswith(b"event: trouble\ndata: ")

    asyncio.run(run())


def test_samples_are_taken_while_no_page_is_open() -> None:
    async def run() -> bool:
        loop, taken = asyncio.get_running_loop(), asyncio.Event()

        def sample() -> None:
            loop.call_soon_threadsafe(taken.set)

        async with make_hub(sample).running():
            return await asyncio.wait_for(taken.wait(), 5)

    assert asyncio.run(run())
