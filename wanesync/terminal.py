"""What commands print: tables and lines on standard output, progress on standard error, values masked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from wanesync.output import UNSAFE, clean

DEFAULT_COLUMNS = 100
"""Characters a line may have where no terminal reports its width."""
MAX_PIPED_COLUMNS = 250
"""Widest cell of a row that is one line in a pipe (our choice): every row of a table is padded to its widest one."""
MAX_WORD_COLUMNS = 60
"""Longest word for which a column is widened (our choice); an address has 30 characters as a rule."""
WIDE_COLUMNS = 170
"""Characters of a line of a list with ids and reasons that goes to a file or to another program."""

JSON_VERSION = 1
"""Raised when a key of a ``--json`` document is renamed, removed or changes its meaning; new keys do not raise it."""

Advance = Callable[[int], None]
"""Moves a progress bar on by some steps."""


# -- output


class SafeConsole(Console):
    """A console that shows unsafe characters of whatever it prints as their escapes; its own codes pass."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as ``Console`` does."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Raise it: Rich would end the program with 1, which stands for differences."""
        raise BrokenPipeError


def make_console(*, error: bool = False) -> Console:
    """Return a console on standard output or standard error; without a terminal: plain lines of at most 100 columns."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else DEFAULT_COLUMNS
    # No emoji: a source such as ``field:phone:`` would be shown as a picture of a telephone.
    return SafeConsole(file=stream, width=width, highlight=False, emoji=False, soft_wrap=not stream.isatty())


def make_wide_console() -> Console:
    """Return a console for lists whose lines are long."""
    screen = make_console()
    if not screen.is_terminal:
        screen.width = WIDE_COLUMNS
    return screen


def print_json(document: Mapping[str, object]) -> None:
    """Print the one JSON document of a command, with the version of its keys in front (docs/json.md)."""
    print(encode_json({"version": JSON_VERSION, **document}, sys.stdout, indent=2))


def encode_json(value: object, stream: TextIO, *, indent: int | None = None) -> str:
    """Return JSON text for a stream; what is unsafe, or not in the stream's encoding, as JSON escapes."""
    in_unicode = (stream.encoding or "utf-8").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=not in_unicode, indent=indent, default=str)
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class FittedTable(Table):
    """A table that breaks no word. Where it does not fit a terminal it shows each row as lines of label and value.

    Without a terminal a row is one line, however long, so that other programs find it whole; only very long cells wrap.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render as a table of the widths that fit, or as blocks."""
        widths = [self._measure(console, number) for number in range(len(self.columns))]
        if sum(most for _, most in widths) <= options.max_width - self._spaces:
            yield from super().__rich_console__(console, options)
            return
        least = sum(needed for needed, _ in widths)
        if console.is_terminal:
            if least > options.max_width - self._spaces:
                self.padding = 0
            if least > options.max_width - self._spaces:
                yield from self._show_blocks()
                return
        else:
            widths = [(max(needed, min(most, MAX_PIPED_COLUMNS)), most) for needed, most in widths]
            least = sum(needed for needed, _ in widths)
        room = max(options.max_width - self._spaces, least)
        for column, width in zip(self.columns, _share_out(widths, room), strict=True):
            column.width = width
        total = room + self._spaces
        yield from super().__rich_console__(console, options.update(width=total, max_width=total))

    @property
    def _spaces(self) -> int:
        """Columns of the screen between and beside those of the table."""
        return self._extra_width + sum(self._get_padding_width(number) for number in range(len(self.columns)))

    def _measure(self, console: Console, number: int) -> tuple[int, int]:
        """Return the width a column needs so that no word is broken, and that of its longest cell."""
        column = self.columns[number]
        texts = [console.render_str(cell).plain for cell in (column.header, *column.cells) if isinstance(cell, str)]
        whole = max((cell_len(line) for text in texts for line in text.splitlines()), default=0)
        word = max((cell_len(word) for text in texts for word in text.split()), default=0)
        return (whole if column.no_wrap else min(word, MAX_WORD_COLUMNS)), whole

    def _show_blocks(self) -> RenderResult:
        if self.title:
            yield Text.from_markup(str(self.title), style="bold")
        for number in range(self.row_count):
            block = Table.grid(padding=(0, 2, 0, 0))
            block.add_column(no_wrap=True)
            block.add_column(overflow="fold")
            for column, cell in zip(self.columns, self._cells_of(number), strict=True):
                block.add_row(column.header, cell)
            yield block
            yield Text("")

    def _cells_of(self, number: int) -> list[RenderableType]:
        return [[*column.cells][number] for column in self.columns]


def _share_out(widths: Sequence[tuple[int, int]], room: int) -> list[int]:
    """Return a width for each column between what it needs and its longest cell, which together take ``room``.

    A column of short texts stays on one line; the others share the rest in proportion to what they lack.
    """
    given = [needed for needed, _ in widths]
    left = room - sum(given)
    lacking = {number: most - needed for number, (needed, most) in enumerate(widths) if needed < most}
    for number in sorted(lacking, key=lambda one: lacking[one]):
        if lacking[number] > left // len(lacking):
            break
        given[number] += lacking[number]
        left -= lacking.pop(number)
    wanted = sum(lacking.values())
    for number, lack in lacking.items():
        given[number] += min(lack, left * lack // wanted)
    return given


def make_table(*columns: str, title: str = "") -> Table:
    """Return an empty table with these columns, in the style that all commands share.

    A leading ``>`` aligns a column to the right. A leading ``#`` marks a column of ids: it is never folded, so that an
    id can be copied whole.
    """
    made = FittedTable(
        title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in columns:
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        made.add_column(name.lstrip(">#"), justify=justify, no_wrap=name.startswith("#"), overflow="fold")
    return made


def print_rows(screen: Console, made: Table, rows: Sequence[Sequence[str]]) -> None:
    """Fill a table and print it; without rows print nothing."""
    for row in rows:
        made.add_row(*(escape(clean(cell)) for cell in row))
    if rows:
        screen.print(made)


# -- values as text


def mask(value: str) -> str:
    """Return ``j***@e***`` for ``jane@example.com``, the first letter and ``***`` for other values, "" for a blank."""
    if not value:
        return ""
    name, at, domain = value.partition("@")
    return f"{name[:1]}***@{domain[:1]}***" if at else f"{value[:1]}***"


def format_duration(span_ms: float) -> str:
    """Return a duration in its largest fitting unit: ``45 s``, ``3 min``, ``2 h``, ``5 d``."""
    span_s = max(span_ms, 0) / 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if span_s >= 2 * size:
            return f"{span_s / size:.0f} {unit}"
    return f"{span_s:.0f} s"


def pluralize(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 job``, ``2 jobs``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def format_counts(counts: Mapping[str, int]) -> str:
    """Return ``3 sent, 1 waiting`` for counts by name, without those that are 0; ``none`` if all are."""
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n) or "none"


# -- progress


class ProgressBars:
    """Several progress bars. Without a terminal nothing is shown; ``print_totals``: a line for each bar that ended."""

    def __init__(self, progress: Progress, screen: Console, *, print_totals: bool) -> None:
        self._progress, self._screen, self._print_totals = progress, screen, print_totals
        self._done: dict[str, int] = {}
        self._tasks: dict[str, TaskID] = {}

    def add(self, label: str, total: int | None = None) -> Advance:
        """Add a bar and return the function that moves it on. ``total`` None: not known."""
        task = self._progress.add_task(label, total=total)
        self._tasks[label], self._done[label] = task, 0

        def advance(steps: int) -> None:
            self._done[label] += steps
            self._progress.advance(task, steps)

        return advance

    @property
    def is_shown(self) -> bool:
        """Whether there is a terminal that shows them."""
        return self._screen.is_terminal

    def note(self, text: str) -> None:
        """Print a line above the bars, where they are shown. ``text``: our own."""
        if self.is_shown:
            self._progress.console.print(text, markup=False, highlight=False)

    def set(self, label: str, done: int, total: int | None) -> None:
        """Set how far a bar is. ``total`` None: not known."""
        self._done[label] = done
        self._progress.update(self._tasks[label], completed=done, total=total)

    def end(self, label: str) -> None:
        """Fill a bar whose total was not known."""
        done = self._done[label]
        self._progress.update(self._tasks[label], completed=done or 1, total=done or 1)
        if self._print_totals and not self._screen.is_terminal:
            self._screen.print(f"{label}: {done:,}")


@contextmanager
def progress_bars(screen: Console | None = None, *, print_totals: bool = False) -> Iterator[ProgressBars]:
    """Show progress bars while the block lasts, on standard error unless a console is given.

    Without a terminal nothing is printed, as cron needs it; with ``print_totals``, one line for each bar that ended.
    """
    shown = screen or make_console(error=True)
    columns = TextColumn("{task.description:<34}"), BarColumn(36), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=shown, disable=not shown.is_terminal) as progress:
        yield ProgressBars(progress, shown, print_totals=print_totals)
