"""Plain text on standard output and standard error: no character of a value can end a command or command a terminal."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import re
import shutil
import sys
import textwrap
from typing import TextIO

UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Characters a terminal may obey or that reverse the text around them (unicode.org/reports/tr9): all control characters
but the tab and the line feed, marks of direction, and halves of surrogate pairs, which no encoding has."""

OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
"""What the operating system reports when something cannot be written for want of room, or because a device fails."""


PLAIN_FORMS = {
    "–": "-", "—": "-", "…": "~", "→": ">", "←": "<", "↔": "=", "·": ".", "×": "x", "÷": "/", "≤": "<", "≥": ">",
    "✓": "+", "✔": "+", "✗": "x", "✘": "x", "─": "-", "‘": "'", "’": "'", "“": '"', "”": '"',
}  # fmt: skip
"""What stands for our own marks where the encoding lacks them: one character each, so that columns stay in line."""
REPLACE_PLAINLY = "wanesync-plain"


def _replace_plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN_FORMS.get(one, "?") for one in error.object[error.start : error.end]), error.end


codecs.register_error(REPLACE_PLAINLY, _replace_plainly)


def prepare_streams() -> None:
    """Let no character end a command: one that the encoding of a standard stream does not have is replaced.

    A closed stream (``>&-``) leads nowhere, so that no file that is opened later takes its number.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            _open_nowhere(number)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A stream that counts as seekable and is a pipe cannot be set; it keeps what Python chose.
            with contextlib.suppress(OSError):
                stream.reconfigure(errors=REPLACE_PLAINLY)


def _open_nowhere(number: int) -> None:
    """Let a number of an open file lead nowhere, in this process and those it starts."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
    os.set_inheritable(number, True)


def discard_output() -> None:
    """Send what cannot be written nowhere: Python writes it at its end, and would report that it cannot."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                _open_nowhere(stream.fileno())


def clean(text: str) -> str:
    """Return a text with its unsafe characters shown as escapes, as Python writes them."""
    return UNSAFE.sub(_escape, text) if UNSAFE.search(text) else text


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""First characters that make a spreadsheet run a cell as a formula (owasp.org/www-community/attacks/CSV_Injection)."""
INNER_FORMULA = re.compile(r"""([;\t\n][\s"]*)(?=[=+@\-＝＋－＠])""")
"""Where a spreadsheet that separates cells by semicolons, as German ones do, would begin a cell with a formula."""


def escape_formula(cell: str) -> str:
    """Return the text of a cell of a CSV file with an apostrophe before what a spreadsheet would run as a formula.

    Unsafe characters are shown as escapes.
    """
    cell = INNER_FORMULA.sub(r"\1'", clean(cell.replace("\r\n", "\n")))
    return f"'{cell}" if cell.startswith(FORMULA) or cell.lstrip().startswith(FORMULA) else cell


def print_line(text: str, *, error: bool = False, flush: bool = False) -> None:
    """Print text on standard output or standard error, unsafe characters escaped; on a terminal fitted to its width."""
    stream = sys.stderr if error else sys.stdout
    try:
        print(fit_to_terminal(clean(text), stream) if stream.isatty() else clean(text), file=stream, flush=flush)
    except OSError:
        if not error:
            raise
        # The reason why a command ends can be written nowhere: its exit code still says it.
        discard_output()


def fit_to_terminal(text: str, stream: TextIO) -> str:
    """Return the text in lines of the terminal's width that end between words, continued ones further in."""
    columns = _count_columns(stream)
    return "\n".join(
        textwrap.fill(
            line,
            columns,
            subsequent_indent=" " * (len(line) - len(line.lstrip()) + 2),
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
        )
        if len(line) > columns
        else line
        for line in text.split("\n")
    )


def _count_columns(stream: TextIO) -> int:
    try:
        own = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        own = 0
    return own or shutil.get_terminal_size().columns
