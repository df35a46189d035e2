"""What is counted, its labels, and quantiles."""

from __future__ import annotations

import pytest

from wanesync.core.operating.figures import (
    BOUNDS_MS,
    BUCKETS,
    LABELS,
    Amount,
    Figure,
    decode_labels,
    encode_labels,
    find_bucket,
    find_quantile_ms,
)


def _spread(*times_ms: float) -> tuple[int, ...]:
    buckets = [0] * BUCKETS
    for ms in times_ms:
        buckets[find_bucket(ms)] += 1
    return tuple(buckets)


def test_labels_are_read_back_as_they_were_written() -> None:
    text = encode_labels(Figure.VENDOR_REQUESTS, "stripe", "customers.create", "ok")
    assert decode_labels(text) == {"side": "stripe", "operation": "customers.create", "result": "ok"}
    assert set(LABELS) == set(Figure)


@pytest.mark.parametrize("value", ["ada@example.com", "Ada", "", "a,b", "a=b", "x" * 65])
def test_a_label_is_a_code_and_never_a_value(value: str) -> None:
    with pytest.raises(ValueError, match="no code"):
        encode_labels(Figure.EVENTS_STORED, value)


def test_a_label_too_many_or_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        encode_labels(Figure.EVENTS_STORED, "stripe", "ok")


def test_a_time_falls_into_the_bucket_whose_bound_it_does_not_exceed() -> None:
    assert [find_bucket(ms) for ms in (0, 1, 1.5, 30_000, 30_001, 10_000_000)] == [0, 0, 1, 14, 15, BUCKETS - 1]


def test_a_quantile_lies_within_the_bucket_of_its_time() -> None:
    buckets = _spread(*[3] * 50, *[80] * 45, *[4_000] * 4, 700_000)
    assert find_quantile_ms(buckets, 0.5) == 5.0
    assert find_quantile_ms(buckets, 0.25) == 3.5
    p95 = find_quantile_ms(buckets, 0.95)
    assert p95 is not None
    assert 50 < p95 <= 100
    assert find_quantile_ms(buckets, 1.0) == float(BOUNDS_MS[-1])
    assert find_quantile_ms(_spread(), 0.5) is None


def test_amounts_add_up() -> None:
    both = Amount(1, 3, _spread(3)) + Amount(2, 160, _spread(80, 80))
    assert (both.count, both.total_ms, both.buckets) == (3, 163, _spread(3, 80, 80))
    assert Amount(2) + Amount(3) == Amount(5)
    assert Amount() + both == both
    assert both.mean_ms == pytest.approx(163 / 3)
    assert Amount(5).mean_ms is None
