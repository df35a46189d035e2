"""A gigabyte of an answer, packed or not, takes less than 200 MB of memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.robustness.large_answers import LIMIT_MB, SIDES, measure, pack, serving


@pytest.fixture(scope="module", name="address")
def serve() -> Iterator[str]:
    pack()
    with serving() as address:
        yield address


@pytest.mark.case(38)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", ["chunks", "gzip", "behind"])
def test_a_gigabyte_is_refused_in_little_memory(address: str, side: str, kind: str) -> None:
    outcome, megabytes, _ = measure(side, kind, address)
    assert outcome == ("no_answer" if kind == "behind" else "unusable")
    assert megabytes < LIMIT_MB


@pytest.mark.parametrize("side", SIDES)
def test_many_at_once_take_no_more(address: str, side: str) -> None:
    """The calls of a worker have no more memory than one of them, or a broken gateway would end it."""
    outcome, megabytes, _ = measure(side, "length", address, calls=40)
    assert outcome == "unusable"
    assert megabytes < LIMIT_MB
