"""Values of people are masked by the kind of their field, and plain once they were revealed."""

from __future__ import annotations

from tests.support.core_builders import FIELDS
from wanesync.admin.personal_values import BLANK, ValueFormatter


def test_values_are_masked_by_their_kind() -> None:
    values = ValueFormatter.of(FIELDS)
    shown = {
        "email": ("ana@example.com", "a•••@e•••.com"),
        "phone": ("+33123456789", "•••89"),
        "name": ("Ana\x1fLopez", "A•••"),
        "city": ("Lyon", "L•••"),
        "name/firstname": ("Ana", "A•••"),
        "unknown": ("x", "•••"),
    }
    for field, (value, masked) in shown.items():
        assert values.show(field, value) == masked
    assert (values.show("city", ""), values.show_or_blank("city", "")) == ("", BLANK)


def test_revealed_values_are_plain() -> None:
    values = ValueFormatter.of(FIELDS, plain=True)
    assert values.show("name", "Ana\x1fLopez") == "Ana Lopez"
    assert values.show("email", "ana@example.com") == "ana@example.com"
