"""No altered or moved ciphertext is read; the campaign has 1,000 of rows and as many of messages."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.robustness.tampered_rows import CHANGES, play


@pytest.fixture(autouse=True)
def _handlers() -> object:
    """The logs of this test go elsewhere."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_no_tampered_ciphertext_is_read(tmp_path: Path) -> None:
    refused, wrong = play(90, 7, tmp_path)
    assert wrong == []
    assert all(refused[change.__name__] == 10 for change in CHANGES)
    assert all(refused[f"message: {change.__name__}"] == 10 for change in CHANGES)
