"""The report of a benchmark: a table of figures and targets, and a JSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from wanesync.reconcile.atomic_file import check_place, write_atomically
from wanesync.terminal import make_console, make_table, print_rows

_BOUND = re.compile(r"(<=|>=|<) (\S+)(?: \+ (\d+) %)?(?: each)?")


def check_file(path: Path | None) -> Path | None:
    """Check that the file of an option can be written at the end. Raises ConfigError."""
    if path is not None:
        check_place(path)
    return path


def show(figures: Mapping[str, object], targets: Mapping[str, str]) -> None:
    """Print a row for each figure: its value, its target, and whether the target is met."""
    rows = []
    for name, value in figures.items():
        met = is_met(figures, name, targets[name]) if name in targets else None
        answer = "" if met is None else "yes" if met else "no"
        rows.append((name, _text(value), targets.get(name, ""), answer))
    print_rows(make_console(), make_table("Figure", ">BurstResult", "Target", "Met"), rows)


def write(path: Path | None, figures: Mapping[str, object]) -> None:
    """Write the figures as JSON if ``path`` is not None. Raises ConfigError."""
    if path is not None:
        write_text(path, json.dumps(figures, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file atomically. Raises ConfigError."""
    with write_atomically(path) as file:
        file.write(text.encode())


def is_met(figures: Mapping[str, object], name: str, target: str) -> bool | None:
    """Whether a figure meets its target: ``0``, ``True``, ``< 50``, ``>= 0.94``, ``<= bound_s + 10 %``.

    None when it is undecided: nothing was measured, or the target is for another size.
    """
    value = figures[name]
    values = value if isinstance(value, list) else [value]
    bound = _BOUND.fullmatch(target)
    if bound is None:
        return None if " " in target else all(str(one) == target or _number(one) == _number(target) for one in values)
    bound_value = _number(figures.get(bound[2], bound[2]))
    measured = [number for one in values if (number := _number(one)) is not None]
    if bound_value is None or not values or len(measured) < len(values):
        return None
    bound_value *= 1 + int(bound[3] or 0) / 100
    match bound[1]:
        case "<=":
            return max(measured) <= bound_value
        case ">=":
            return min(measured) >= bound_value
        case _:
            return max(measured) < bound_value


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name} {_text(inner)}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
