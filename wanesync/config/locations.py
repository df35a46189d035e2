"""Where each key of the configuration comes from: a line of the TOML file, or an environment variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from wanesync.config.references import KEY_BEGINNING

PREFIX = "WANESYNC_"

KeyPath = tuple[str | int, ...]
"""``("field", 0, "name")`` is the key ``name`` of the first ``[[field]]``."""

HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]")
KEY = re.compile(r"""\s*([\w."'-]+(?:\s*\.\s*[\w"'-]+)*)\s*=""")


class ConfigProblem(NamedTuple):
    """One mistake: its key, and what is wrong and what would be right (never a secret's value)."""

    path: KeyPath
    text: str


def variable_name(path: KeyPath) -> str:
    """Return the environment variable that overrides a key: ``WANESYNC_STRIPE__API_KEY``."""
    return PREFIX + "__".join(str(part) for part in path if isinstance(part, str)).upper()


def format_key(path: KeyPath) -> str:
    """Return a key as it is written in messages: ``stripe.rate``, ``field[2].owner`` (the second entry)."""
    text = ""
    for part in path:
        if isinstance(part, str) and KEY_BEGINNING.match(part):
            part = "***"  # noqa: PLW2901 - a secret in the place of a name
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass
class KeyLocations:
    """Locations of the keys. ``file``: name of the file. ``lines``: key -> line. ``variables``: key -> variable."""

    file: str = ""
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    variables: dict[KeyPath, str] = field(default_factory=dict)

    def describe(self, problem: ConfigProblem) -> str:
        """Return one line of an error message: location, key, mistake."""
        text = f"{self._locate(problem.path)}{format_key(problem.path)}: {problem.text}"
        return "\\n".join(text.splitlines())

    def sort_key(self, problem: ConfigProblem) -> tuple[int, str]:
        """Return the key that sorts problems by their line, those without a line last."""
        return (self._line(problem.path) or len(self.lines) + 1_000_000, format_key(problem.path))

    def _locate(self, path: KeyPath) -> str:
        variables = [self.variables[known] for known in _with_parents(path) if known in self.variables]
        if not variables and self._line(path):
            return f"{self.file}:{self._line(path)}: "
        variables += [name for known, name in self.variables.items() if known[: len(path)] == path]
        place = variables[0] if variables else self.file
        return f"{place}: " if place else ""

    def _line(self, path: KeyPath) -> int | None:
        return next((self.lines[known] for known in _with_parents(path) if known in self.lines), None)


def find_lines(text: str) -> dict[KeyPath, int]:
    """Return the first line of each table and key of a TOML text, which ``tomllib`` does not report."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := HEADER.match(line):
            table = _split(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                lines.setdefault(table, number)
                table = (*table, counts[table])
            lines.setdefault(table, number)
        elif key := KEY.match(line):
            lines.setdefault((*table, *_split(key[1])), number)
    return lines


def find_key(text: str, number: int) -> KeyPath:
    """Return the table or key that a line of a TOML text begins, with its table; empty where it begins none."""
    lines = text.splitlines()[:number]
    if not lines or HEADER.match(lines[-1]):
        header = HEADER.match(lines[-1]) if lines else None
        return _split(header[2]) if header else ()
    key = KEY.match(lines[-1])
    if key is None:
        return ()
    headers = [header for header in map(HEADER.match, lines) if header]
    if not headers:
        return _split(key[1])
    table = _split(headers[-1][2])
    same = sum(header[1] == "[[" and _split(header[2]) == table for header in headers)
    return (*table, *((same - 1,) if same else ()), *_split(key[1]))


def _split(dotted: str) -> KeyPath:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _with_parents(path: KeyPath) -> list[KeyPath]:
    return [path[:end] for end in range(len(path), 0, -1)]
