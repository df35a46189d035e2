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
@pytest.mark.parametrize("kind", ["chunks", "gzip"])
def test_a_gigabyte_is_refused_in_little_memory(address: str, side: str, kind: str) -> None:
    outcome, megabytes, _ = measure(side, kind, address)
    assert outcome == "unusable"
    assert megabytes < LIMIT_MB
