"""What commands show: tables and lines on standard output, progress on standard error, values masked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

WIDTH = 100
"""Columns where no terminal says how many it has."""
WIDE = 170
"""Columns of a list with ids and reasons that goes to a file or another program."""

Advance = Callable[[int], None]


def console(*, error: bool = False) -> Console:
    """A console for people; where there is no terminal, plain lines of at most 100 columns."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else WIDTH
    # Ids hold colons: ``field:phone:`` is no picture of a telephone.
    return Console(file=stream, width=width, highlight=False, emoji=False, soft_wrap=not stream.isatty())


def wide_console() -> Console:
    """A console for lists whose lines are long."""
    screen = console()
    if not screen.is_terminal:
        screen.width = WIDE
    return screen


def print_json(document: object) -> None:
    """The one JSON document of a command."""
    print(json.dumps(document, ensure_ascii=False, indent=2, default=str))


def table(*columns: str, title: str = "") -> Table:
    """An empty table in the one style of the house. Before a column's name: ``>`` sets it flush right, ``#`` says that
    it has ids, which must be copied whole: they keep one line where others fold.
    """
    made = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        made.add_column(name.lstrip(">#"), justify=justify, no_wrap=name.startswith("#"), overflow="fold")
    return made


def mask(value: str) -> str:
    """``jane@example.com`` as ``j***@e***``, anything else as its first letter and ``***``; a blank stays one."""
    if not value:
        return ""
    name, at, domain = value.partition("@")
    return f"{name[:1]}***@{domain[:1]}***" if at else f"{value[:1]}***"


def seconds(span_ms: float) -> str:
    """``45 s``, ``3 min``, ``2 h``, ``5 d``."""
    span_s = max(span_ms, 0) / 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if span_s >= 2 * size:
            return f"{span_s / size:.0f} {unit}"
    return f"{span_s:.0f} s"


def plural(count: int, noun: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


class Bars:
    """Progress bars; without a terminal nothing, or one line for each that ended (``told``)."""

    def __init__(self, progress: Progress, screen: Console, *, told: bool) -> None:
        self._progress, self._screen, self._told = progress, screen, told
        self._done: dict[str, int] = {}
        self._tasks: dict[str, TaskID] = {}

    def add(self, label: str, total: int | None = None) -> Advance:
        """A bar; calling the result moves it on. ``total`` None: not known."""
        task = self._progress.add_task(label, total=total)
        self._tasks[label], self._done[label] = task, 0

        def advance(steps: int) -> None:
            self._done[label] += steps
            self._progress.advance(task, steps)

        return advance

    def set(self, label: str, done: int, total: int) -> None:
        """Where a bar stands."""
        self._done[label] = done
        self._progress.update(self._tasks[label], completed=done, total=total)

    def end(self, label: str) -> None:
        """A bar whose total was not known is full."""
        done = self._done[label]
        self._progress.update(self._tasks[label], completed=done or 1, total=done or 1)
        if self._told and not self._screen.is_terminal:
            self._screen.print(f"{label}: {done:,}")


@contextmanager
def bars(screen: Console | None = None, *, told: bool = False) -> Iterator[Bars]:
    """Progress bars while the block lasts, on standard error unless a console is given.

    ``told``: where that is no terminal, a line for each bar that ended; else nothing at all, as cron wants it.
    """
    shown = screen or console(error=True)
    columns = TextColumn("{task.description:<34}"), BarColumn(36), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=shown, disable=not shown.is_terminal) as progress:
        yield Bars(progress, shown, told=told)


def print_rows(screen: Console, made: Table, rows: Sequence[Sequence[str]]) -> None:
    """Fill a table and print it; nothing at all without rows."""
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    if rows:
        screen.print(made)


def numbers(counts: Mapping[str, int]) -> str:
    """``3 sent, 1 waiting``; those that are 0 are left out."""
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n) or "none"
