"""The example configuration: every key with its meaning and default. ``wanesync init`` writes it as a start."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

NAME = "config.example.toml"


def read_example() -> str:
    """The text of ``config.example.toml``, which a wheel has beside this module and the source tree at its top."""
    packaged = resources.files("wanesync.config").joinpath(NAME)
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / NAME).read_text(encoding="utf-8")
