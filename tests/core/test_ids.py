"""Identifiers: they sort by the time they were made at."""

from __future__ import annotations

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import STEADY
from wanesync.core.ids import least_id, made_ms, make_id

TIMES = st.integers(1, (1 << 48) - 2)


@given(at_ms=TIMES, seed=st.integers(0, 1 << 32))
@STEADY
def test_an_id_is_a_uuid_of_version_7_that_carries_its_time(at_ms: int, seed: int) -> None:
    made = make_id(at_ms, random.Random(seed))
    assert (uuid.UUID(made).version, made_ms(made)) == (7, at_ms)


@given(at_ms=TIMES, seed=st.integers(0, 1 << 32))
@STEADY
def test_the_least_id_of_a_time_lies_between_the_ids_before_and_after_it(at_ms: int, seed: int) -> None:
    rng = random.Random(seed)
    assert make_id(at_ms - 1, rng) < least_id(at_ms) <= make_id(at_ms, rng)
