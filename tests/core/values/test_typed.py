"""Typed values: every form of one value is one text, and texts that are different values stay different."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanesync.core.normalize import make_form
from wanesync.core.values.typed import TYPE_READERS, may_be_typed_form

FORMS = {
    "date": {
        "2026-01-31": ("2026-01-31T00:00:00Z", "2026-01-31T00:00:00.000Z", "2026-01-31T01:00+01:00", "1769817600000"),
        "1969-12-31": ("-86400000",),
        "0007-03-01": ("0007-03-01T00:00:00Z",),
    },
    "datetime": {
        "2026-01-01T00:00:00Z": (
            "2026-01-01T00:00:00.000Z", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01 00:00", "1767225600000",
            "2025-12-31T19:00:00-0500", "2026-01-01t00:00:00z",
        ),
        "2026-01-01T00:00:00.250Z": ("1767225600250", "2026-01-01T00:00:00.25Z", "2026-01-01T00:00:00.2504Z"),
        "0007-03-01T08:00:00Z": ("0007-03-01T08:00:00.000Z",),
    },
    "number": {
        "10.5": ("10.50", "+10.5", "010.5", "1.05e1", "105E-1"),
        "1000": ("1e3", "1000.", "1000.00"),
        "7": ("007",),
        "0": ("-0", "0.0", ".0", "-0.00"),
        "-0.5": ("-.5", "-0.50"),
        "12345678901234567890.1": ("12345678901234567890.10",),
    },
    "bool": {"true": ("TRUE", "True"), "false": ("FALSE",)},
    "choices": {"a;b": ("b;a", ";b;a", " b ; a;", "a;b;a"), "a": (";a", "a;a"), "": (";", " ; ")},
}  # fmt: skip
NO_VALUES = {
    "date": ("2026-01-31T08:00:00Z", "2026-13-01", "31.01.2026", "20260131", "2026-01", "1769817600001", "soon"),
    "datetime": ("2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z", "tomorrow", "9999999999999999", "999999999999999"),
    "number": ("1,000", "1_000", "ten", "1e400", "0x10", "NaN", "Infinity", "٣", "", "."),
    "bool": ("yes", "1", "0"),
}  # fmt: skip


@pytest.mark.parametrize("transform", list(FORMS))
def test_every_form_of_a_value_is_one_text(transform: str) -> None:
    form = make_form(transform)
    for value, others in FORMS[transform].items():
        for text in (value, *others):
            assert form.read_stripe(text) == form.read_hubspot([f" {text} "]) == value, text


@pytest.mark.parametrize("transform", list(NO_VALUES))
def test_a_text_that_is_no_value_of_the_type_stays_as_it_was_written(transform: str) -> None:
    form = make_form(transform)
    assert [form.read(text) for text in NO_VALUES[transform]] == list(NO_VALUES[transform])


@pytest.mark.parametrize("transform", list(FORMS))
def test_different_values_stay_different(transform: str) -> None:
    form = make_form(transform)
    assert len({form.key(form.read(value)) for value in FORMS[transform]}) == len(FORMS[transform])


ALPHABET = st.text(st.sampled_from("0123456789-+.:;eETZ trufalsb"), max_size=26)


@given(st.one_of(ALPHABET, st.integers(-(10**16), 10**16).map(str), st.datetimes().map(lambda at: at.isoformat())))
def test_reading_a_read_value_changes_nothing(text: str) -> None:
    for read in TYPE_READERS.values():
        assert read(read(text)) == read(text)


@pytest.mark.parametrize(("one", "other"), [("0123", "123"), ("10.50", "10.5"), ("TRUE", "true"), ("b;a", "a;b")])
def test_a_text_field_keeps_texts_apart(one: str, other: str) -> None:
    form = make_form("text")
    assert form.key(form.read(one)) != form.key(form.read(other))


def test_what_hubspot_makes_of_a_text_is_known_whatever_the_type() -> None:
    assert may_be_typed_form("2026-01-31", "1769817600000")
    assert may_be_typed_form("10.5", "10.50")
    assert not may_be_typed_form("", ";")
    assert not may_be_typed_form("10.5", "10.55")
    assert not may_be_typed_form("customer", "lead")
