"""Text that is no TOML: where, and what would be right, in the words of a person who writes a configuration."""

from __future__ import annotations

import re
import tomllib

from wanesync.config.locations import find_key, find_lines, format_key
from wanesync.core.errors import ConfigError

MAX_BYTES = 4 << 20
"""Far above any configuration: a larger file is a mistake."""
MAX_PARTS = 16
"""Most names with dots between them that a key may have; the configuration needs three."""
_PLACE = re.compile(r"\(at line (\d+), column \d+\)$")
_OPEN_QUOTE = 'Expected "\'"'
_LITERAL = re.compile(r"""(?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*')*'[^']*\Z""")
"""A line whose last single quote is not closed, and is neither in other quotes nor in a comment."""
# What the parser of Python says begins with one of these (docs.python.org/3/library/tomllib.html names no codes).
_TEXTS = (
    ("Illegal character '\\n'", "the quote is not closed on its line"),
    ("Illegal character '\\r'", "the quote is not closed on its line"),
    ("Illegal character", "holds a character that must be written as an escape, such as \\u0009"),
    ("Found invalid character", "holds a control character: remove it"),
    ("Unterminated string", "the quote is not closed"),
    ("Invalid value", "is no value: text stands in quotes, numbers and true or false without"),
    ("Invalid date", "is no date or time that exists"),
    ("Cannot overwrite a value", "is set twice: keep one of them"),
    ("Cannot declare", "this table stands twice: put its keys together under one heading"),
    ("Cannot", "is set both as a value and as a table: keep one of them"),
    ("Duplicate inline table key", "is set twice: keep one of them"),
    ("Expected newline", "more stands on the line than one key = value; behind it only a comment (#) may follow"),
    ("Expected '='", "an equals sign is missing: key = value"),
    ("Expected \"'''\"", "the quote is not closed"),
    (_OPEN_QUOTE, "the quote is not closed on its line"),
    ("Expected", "a bracket of the heading is missing: [table], or [[field]] for one of several"),
    ("Invalid statement", "is neither a heading such as [stripe], nor key = value, nor a comment (#)"),
    ("Invalid initial character", "is neither a heading such as [stripe], nor key = value, nor a comment (#)"),
    ("Unclosed array", "the list has no closing bracket"),
    ("Unclosed inline table", "the braces are not closed"),
    ("Unescaped", "a backslash in text is written twice"),
    ("Invalid hex", "a backslash in text is written twice"),
    ("Escaped character", "a backslash in text is written twice"),
)
DEFAULT = "is not TOML: correct the line"


def decode(data: bytes, name: str) -> str:
    """Return the text of a file; a byte order mark is left out. Raises ConfigError for anything but UTF-8."""
    if len(data) > MAX_BYTES:
        raise ConfigError(
            [f"{name}: is larger than {MAX_BYTES >> 20} MB, so it is no configuration: name another file"]
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{name}:{line}: is not UTF-8 text: save the file as UTF-8"]) from None


def parse(text: str, name: str) -> dict[str, object]:
    """Return the tables of a text. Raises ConfigError that names the line, its key and what would be right."""
    for key, line in find_lines(text).items():
        if len(key) > MAX_PARTS:
            raise ConfigError([f"{name}:{line}: a name has more than {MAX_PARTS} parts between dots: correct the line"])
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError([f"{name}: has too many brackets within brackets: correct that line"]) from None
    except ValueError as error:
        # Python refuses a number of thousands of digits with a plain ValueError.
        # Not chained: the parser's words may repeat a part of a line, which may hold a secret.
        raise ConfigError([explain(text, name, str(error))]) from None


def explain(text: str, name: str, said: str) -> str:
    """Return one line about a mistake; ``said``: what Python's parser says of it."""
    place = _PLACE.search(said)
    line = int(place[1]) if place else max(1, text.rstrip().count("\n") + 1)
    mistake = next((ours for begins, ours in _TEXTS if said.startswith(begins)), DEFAULT)
    if said.startswith(_OPEN_QUOTE):
        # The parser looks for the other quote up to the end of the file.
        line = _find_open_quote(text) or line
    key = find_key(text, line)
    return f"{name}:{line}: " + (f"{format_key(key)}: " if key else "") + mistake


def _find_open_quote(text: str) -> int:
    """Return the first line whose single quote is not closed on it, 0 if there is none."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if _LITERAL.fullmatch(line)), 0)
