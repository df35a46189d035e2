"""Reading JSON of others: no value raises, whatever its type."""

from __future__ import annotations

from json import JSONDecodeError

import pytest
from hypothesis import given

from tests.support.json_strategies import JSON
from wanesync.adapters.json_values import MAX_MS, epoch_ms, mapping, parse, rows, text, texts, whole


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", "a"), (None, ""), (True, "true"), (False, "false"), (7, "7"), (1.5, "1.5"), ([1], ""), ({"a": 1}, "")],
)
def test_text_of_scalars(value: object, expected: str) -> None:
    assert text(value) == expected
    assert texts({"key": value}) == {"key": expected}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("12", 12), (12, 12), ("-1", None), ("1.0", None), (True, None), ("9" * 20, None), ("٣", None), (None, None)],
)
def test_whole_numbers(value: object, expected: int | None) -> None:
    assert whole(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-02T03:04:05.678Z", 1_767_323_045_678),
        ("2026-01-02T03:04:05.678", 1_767_323_045_678),
        (1_767_323_045_678, 1_767_323_045_678),
        ("1767323045678", 1_767_323_045_678),
        (MAX_MS + 1, 0),
        ("9999-12-31T23:59:59-23:59", 0),
        (-1, 0),
        ("yesterday", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_times_in_both_forms(value: object, expected: int) -> None:
    assert epoch_ms(value) == expected


@given(JSON)
def test_nothing_raises(value: object) -> None:
    for read in (mapping, rows, text, texts, whole, epoch_ms):
        read(value)


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"\xff"])
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(JSONDecodeError):
        parse(body)
