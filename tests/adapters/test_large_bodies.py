"""Of large bodies only few are collected at once, in memory that is used again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from urllib3.exceptions import HTTPError

from wanesync.adapters import large_bodies
from wanesync.adapters.large_bodies import LARGE_BODIES, MAX_HEAD_BYTES, SMALL_BYTES, BodyCollector, TooLarge

LIMIT = 10 * SMALL_BYTES


def collect(*pieces: bytes, limit: int = LIMIT) -> bytes:
    with closing(BodyCollector(limit)) as body:
        for piece in pieces:
            body.add(piece)
        return bytes(body)


@pytest.mark.parametrize("size", [0, 1, SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1, 3 * SMALL_BYTES + 7, LIMIT])
def test_a_body_is_what_its_pieces_were(size: int) -> None:
    whole = bytes(number % 251 for number in range(size))
    assert collect(*(whole[at : at + 5_000] for at in range(0, size, 5_000))) == whole


def test_nothing_of_an_earlier_body_is_left_in_a_later_one() -> None:
    collect(b"a" * LIMIT)
    assert collect(b"b" * (SMALL_BYTES + 1)) == b"b" * (SMALL_BYTES + 1)


@pytest.mark.parametrize("limit", [1_000, LIMIT])
def test_a_body_that_is_too_large_shows_its_beginning(limit: int) -> None:
    with pytest.raises(TooLarge) as caught:
        collect(b"begins", *(b"x" * 1_000 for _ in range(limit // 1_000 + 1)), limit=limit)
    assert caught.value.head.startswith(b"begins")
    assert len(caught.value.head) <= MAX_HEAD_BYTES


def test_large_bodies_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [BodyCollector(LIMIT) for _ in range(LARGE_BODIES + 1)]
    for body in bodies[:-1]:
        body.add(b"x" * (SMALL_BYTES + 1))
    with monkeypatch.context() as patched:
        patched.setattr(large_bodies, "MAX_WAIT_S", 0)
        with pytest.raises(HTTPError, match="too many large answers at once"):
            bodies[-1].add(b"x" * (SMALL_BYTES + 1))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bodies[-1].add, b"y" * (SMALL_BYTES + 1))
        bodies[0].close()
        waiting.result(10)
    assert bytes(bodies[-1]) == b"y" * (SMALL_BYTES + 1)
    for body in bodies:
        body.close()


def test_a_small_body_waits_for_none() -> None:
    held = [BodyCollector(LIMIT) for _ in range(LARGE_BODIES)]
    for body in held:
        body.add(b"x" * (SMALL_BYTES + 1))
    assert collect(b"y" * SMALL_BYTES) == b"y" * SMALL_BYTES
    for body in held:
        body.close()
