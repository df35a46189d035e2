"""What a vendor sends is checked once: length, U+0000, half characters, types, ids."""

from __future__ import annotations

import re

import pytest

from wanesync.adapters.checked_values import (
    MAX_ID_CHARS,
    MAX_VALUE_CHARS,
    InvalidElement,
    check_id,
    check_text,
    find_fault,
    find_faults,
    is_too_long,
)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("Łódź 👩‍🔬", ""),
        ("x" * MAX_VALUE_CHARS, ""),
        ("x" * (MAX_VALUE_CHARS + 1), "is longer than 65,536 characters"),
        ("a\0b", "holds U+0000"),
        ("half \ud83d", "holds half of a surrogate pair"),
    ],
)
def test_a_text_is_refused_for_a_reason_that_does_not_quote_it(value: str, fault: str) -> None:
    assert find_fault(value) == fault
    if not fault:
        assert check_text(value, "city") == value
        return
    with pytest.raises(InvalidElement, match=f"^city {re.escape(fault)}$"):
        check_text(value, "city")
    assert is_too_long(fault) == (fault.startswith("is longer"))


def test_only_the_texts_at_fault_are_named() -> None:
    assert find_faults({"city": "Ulm", "phone": "1"}) == {}
    found = find_faults({"city": "Ulm", "phone": "\0", "notes": "x" * (MAX_VALUE_CHARS + 1)})
    assert sorted(found) == ["notes", "phone"]
    # Together they are longer than one may be, and each for itself is not.
    assert find_faults({"a": "x" * MAX_VALUE_CHARS, "b": "y" * MAX_VALUE_CHARS}) == {}


@pytest.mark.parametrize("value", ["cus_1", 171000000004, "a" * MAX_ID_CHARS])
def test_an_id_is_a_text_or_a_number(value: object) -> None:
    assert check_id(value) == str(value)


@pytest.mark.parametrize("value", ["", None, True, "a b", "../x", "ü", "1\n", "a" * (MAX_ID_CHARS + 1), ["1"], {}])
def test_anything_else_is_no_id(value: object) -> None:
    with pytest.raises(InvalidElement, match="no usable record id"):
        check_id(value)


def test_an_id_of_another_kind_is_refused() -> None:
    assert check_id("cus_1", ("cus_",)) == "cus_1"
    with pytest.raises(InvalidElement, match="a record id of another kind"):
        check_id("evt_1", ("cus_",))
