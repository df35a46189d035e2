"""Masked values."""

from __future__ import annotations

import pytest

from wanesync.admin.security.masking import Kind, mask


@pytest.mark.parametrize(
    ("kind", "text", "masked"),
    [
        (Kind.EMAIL, "anna.smith@example.com", "a•••@e•••.com"),
        (Kind.EMAIL, "a@b", "•••@•••"),
        (Kind.EMAIL, "jo@ex.example.com", "•••@e•••.com"),
        (Kind.EMAIL, "ann@example.Anna Smith", "a•••@e•••"),
        (Kind.PHONE, "112", "•••"),
        (Kind.EMAIL, "no address", "n•••"),
        (Kind.PHONE, "+49 30 123456", "•••56"),
        (Kind.NAME, "Anna", "A•••"),
        (Kind.TEXT, "x", "•••"),
        (Kind.NAME, "Jo", "•••"),
        ("text", "  ", ""),
        ("email", "", ""),
    ],
)
def test_a_masked_value_can_be_told_from_another_and_not_read(kind: Kind | str, text: str, masked: str) -> None:
    assert mask(kind, text) == masked
