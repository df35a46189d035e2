"""The memory of request bodies."""

from __future__ import annotations

import pytest

from wanesync.web.body_memory import SMALL_BODIES_BYTES, SMALL_BODY_BYTES, Body, BodyMemory, NoRoom

LARGE = 4 << 20


class Memory(BodyMemory):
    """Notes which bodies had to give way."""

    def __init__(self) -> None:
        super().__init__(LARGE)
        self.cancelled: list[int] = []
        self.bodies: list[Body] = []

    def take(self, size: int, *, whole: bool = False) -> Body:
        number = len(self.bodies)
        body = self.begin(lambda: self.cancelled.append(number))
        self.bodies.append(body)
        self.add(body, b"x" * size)
        if whole:
            self.complete(body)
        return body


def test_large_bodies_do_not_keep_the_usual_ones_out() -> None:
    memory = Memory()
    for _ in range(2):
        memory.take(LARGE, whole=True)
    small = memory.take(SMALL_BODY_BYTES)
    with pytest.raises(NoRoom):
        memory.add(small, b"x")
    memory.release(small)
    memory.take(SMALL_BODY_BYTES)
    memory.release(memory.bodies[0])
    memory.take(LARGE)
    assert memory.cancelled == []


def test_the_body_that_has_been_arriving_for_longest_gives_way() -> None:
    memory = Memory()
    first, *_ = [memory.take(SMALL_BODY_BYTES) for _ in range(SMALL_BODIES_BYTES // SMALL_BODY_BYTES)]
    fresh = memory.take(50_000, whole=True)
    assert memory.cancelled == [0]
    assert fresh.data == b"x" * 50_000
    with pytest.raises(NoRoom):
        memory.add(first, b"x")
    with pytest.raises(NoRoom):
        memory.complete(first)
    memory.release(first)
    memory.take(900_000)
    assert memory.cancelled == [0], "what was released once is not counted twice"
    memory.take(200_000)
    assert memory.cancelled == [0, 1]


def test_bodies_that_are_complete_do_not_give_way() -> None:
    memory = Memory()
    for _ in range(SMALL_BODIES_BYTES // SMALL_BODY_BYTES):
        memory.take(SMALL_BODY_BYTES, whole=True)
    with pytest.raises(NoRoom):
        memory.take(1)
    assert memory.cancelled == []
