"""What a bench measured: beside what is wanted of it, and in a file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from wanesync.reconcile.atomic_file import check_place, write_atomically
from wanesync.terminal import make_console, make_table, print_rows

_BOUND = re.compile(r"(<=|>=|<) (\S+)(?: \+ (\d+) %)?(?: each)?")


def check_file(path: Path | None) -> Path | None:
    """An option's file, which is written when the bench is over. Raises ConfigError when it cannot be made there."""
    if path is not None:
        check_place(path)
    return path


def show(figures: Mapping[str, object], targets: Mapping[str, str]) -> None:
    """A line for each figure: what is wanted of it, and whether it is met."""
    rows = []
    for name, value in figures.items():
        met = is_met(figures, name, targets[name]) if name in targets else None
        said = "" if met is None else "yes" if met else "no"
        rows.append((name, _text(value), targets.get(name, ""), said))
    print_rows(make_console(), make_table("Figure", ">Measured", "Wanted", "Met"), rows)


def write(path: Path | None, figures: Mapping[str, object]) -> None:
    """The figures as JSON, if a file is wanted. Raises ConfigError."""
    if path is not None:
        write_text(path, json.dumps(figures, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """A whole file. Raises ConfigError."""
    with write_atomically(path) as file:
        file.write(text.encode())


def is_met(figures: Mapping[str, object], name: str, wanted: str) -> bool | None:
    """Whether a figure is as wanted: ``0``, ``True``, ``< 50``, ``>= 0.94``, ``<= bound_s + 10 %``.

    None where that cannot be said: nothing was measured, or what is wanted is meant for another size.
    """
    value = figures[name]
    values = value if isinstance(value, list) else [value]
    bound = _BOUND.fullmatch(wanted)
    if bound is None:
        return None if " " in wanted else all(str(one) == wanted or _number(one) == _number(wanted) for one in values)
    most = _number(figures.get(bound[2], bound[2]))
    measured = [number for one in values if (number := _number(one)) is not None]
    if most is None or not values or len(measured) < len(values):
        return None
    most *= 1 + int(bound[3] or 0) / 100
    match bound[1]:
        case "<=":
            return max(measured) <= most
        case ">=":
            return min(measured) >= most
        case _:
            return max(measured) < most


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name} {_text(inner)}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
