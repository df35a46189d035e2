"""A plan file: one JSON document, a value a line, so that a million are written and read without being held.

It ends in a keyed digest of all that goes before it: an edited file is known as such before anything of it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wanesync.core.errors import ConfigError

LINKS, ITEMS, END, DIGEST = b'"links": [\n', b'"items": [\n', b"],\n", b'"digest": "'
NO_PLAN = "this is no plan of wanesync, or it was altered: make one with --plan-out"
ALTERED = "the plan was altered since it was saved, or belongs to another database: make it again with --plan-out"
Sign = Callable[[str], str]
"""The keyed hash of a text."""


class PlanWriter:
    """Writes head, links, items and digest, in this order, each value as JSON text without a line break."""

    def __init__(self, file: BinaryIO, sign: Sign) -> None:
        self._file, self._sign, self._hash = file, sign, hashlib.sha256()

    def head(self, text: str) -> None:
        """A JSON object."""
        self._write(text.removesuffix("}").encode() + b",\n")

    def links(self, texts: Iterable[str]) -> int:
        """How many there were."""
        return self._array(LINKS, texts)

    def items(self, texts: Iterable[str]) -> int:
        """How many there were."""
        return self._array(ITEMS, texts)

    def end(self) -> None:
        """The digest."""
        self._file.write(_last_lines(self._sign(self._hash.hexdigest())))

    def _array(self, opening: bytes, texts: Iterable[str]) -> int:
        self._write(opening)
        count, line = 0, b""
        for count, text in enumerate(texts, 1):  # noqa: B007 - counted for the caller
            if line:
                self._write(line + b",\n")
            line = text.encode()
        self._write((line + b"\n" if line else b"") + END)
        return count

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)


class PlanReader:
    """Reads a plan file from its beginning to its end: ``check`` first, then ``links``, then ``items``."""

    def __init__(self, file: BinaryIO, sign: Sign) -> None:
        self._file, self._sign = file, sign
        line = file.readline()
        if not line.endswith(b",\n"):
            raise ConfigError([NO_PLAN])
        self._first = line
        self.head = line.removesuffix(b",\n").decode("utf-8", "replace") + "}"

    def check(self) -> str:
        """The digest. Raises ``ConfigError`` when the file is not as it was saved."""
        found = hashlib.sha256(self._first)
        start = self._file.tell()
        for line in self._file:
            if line.startswith(DIGEST):
                break
            found.update(line)
        else:
            line = b""
        signed = self._sign(found.hexdigest())
        if line + self._file.read(len(ALTERED)) != _last_lines(signed):
            raise ConfigError([ALTERED])
        self._file.seek(start)
        return signed

    def links(self) -> Iterator[str]:
        """Texts of JSON values."""
        return self._array(LINKS)

    def items(self) -> Iterator[str]:
        """Texts of JSON values; the links must have been read."""
        return self._array(ITEMS)

    def _array(self, opening: bytes) -> Iterator[str]:
        if self._file.readline() != opening:
            raise ConfigError([NO_PLAN])
        while (line := self._file.readline()) != END:
            if not line:
                raise ConfigError([NO_PLAN])
            yield line.rstrip(b",\n").decode()


@contextmanager
def opened_plan(path: Path, sign: Sign) -> Iterator[PlanReader]:
    """A plan file to be read. Raises ``ConfigError``: it is not there, or no plan."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError([f"cannot read the plan {path}: {error.strerror}"]) from error
    with file:
        yield PlanReader(file, sign)


def _last_lines(signed: str) -> bytes:
    return DIGEST + f'{signed}"\n}}\n'.encode()
