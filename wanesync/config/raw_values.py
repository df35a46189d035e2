"""What stands in the configuration file itself, before references are resolved."""

from __future__ import annotations

import tomllib
from pathlib import Path

from wanesync.config.references import expand_home
from wanesync.core.errors import ConfigError


def read_raw_text(path: Path, section: str, key: str) -> str:
    """Return a text as it stands in the file, "" where there is none or the file cannot be read."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig")).get(section)
    except (OSError, ValueError):
        return ""
    value = table.get(key) if isinstance(table, dict) else None
    return value if isinstance(value, str) else ""


def find_named_file(path: Path, section: str, key: str) -> Path | None:
    """Return the file that a ``file:PATH`` reference names; a relative one begins at the configuration's folder."""
    scheme, _, name = read_raw_text(path, section, key).partition(":")
    try:
        return path.parent / expand_home(name, "file:") if scheme == "file" and name else None
    except ConfigError:
        return None
