"""Arrays as parameters of Postgres: psycopg's own, which take any nested list, cost a multiple of the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.postgres import types

from wanesync.store.queries import Texts, Value


class _Integers(list[int]):
    """Integers that become a ``bigint[]``."""


class _Blobs(list[bytes]):
    """Bytes that become a ``bytea[]``."""


class _TextsDumper(Dumper):
    oid = types["text"].array_oid

    def dump(self, obj: Texts) -> bytes:
        """Each item quoted. Raises psycopg.DataError for a NUL, as for a single string."""
        return _quote_texts(obj)


class _IntegersDumper(Dumper):
    oid = types["int8"].array_oid

    def dump(self, obj: _Integers) -> bytes:
        """Decimal numbers."""
        return _join_integers(obj)


class _BlobsDumper(Dumper):
    oid = types["bytea"].array_oid

    def dump(self, obj: _Blobs) -> bytes:
        """Hexadecimal digits, the backslash before them quoted."""
        return _quote_blobs(obj)


def _quote_texts(texts: Sequence[str]) -> bytes:
    if not texts:
        return b"{}"
    text = "\0".join(texts)
    if text.count("\0") >= len(texts):
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
    return f'{{"{quoted}"}}'.encode()


def _join_integers(numbers: Sequence[int]) -> bytes:
    if len(numbers) == 1:
        return b"{%d}" % numbers[0]
    return f"{{{','.join(map(str, numbers))}}}".encode()


def _quote_blobs(blobs: Sequence[bytes]) -> bytes:
    return ('{"' + '","'.join("\\\\x" + item.hex() for item in blobs) + '"}').encode() if blobs else b"{}"


def as_text(value: object) -> bytes:
    """A string, a number or a list of values of one type in Postgres's text format. Raises psycopg.DataError."""
    if isinstance(value, list):
        first = value[0] if value else 0
        if isinstance(first, str):
            return _quote_texts(value)
        return _quote_blobs(value) if isinstance(first, bytes) else _join_integers(value)
    if isinstance(value, str):
        if "\0" in value:
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        return value.encode()
    return b"%d" % value if isinstance(value, int) else b"{}"


def make_array(values: Sequence[Value]) -> list[str] | list[int] | list[bytes] | list[Value]:
    """Values of one type as a parameter."""
    if texts := [value for value in values if isinstance(value, str)]:
        array: list[str] | list[int] | list[bytes] = Texts(texts)
    elif numbers := [int(value) for value in values if isinstance(value, int)]:
        array = _Integers(numbers)
    else:
        array = _Blobs(value for value in values if isinstance(value, bytes))
    # Of another type, or of several: psycopg finds out, and refuses what is none.
    return array if len(array) == len(values) else [*values]


def register_arrays(context: AdaptContext) -> None:
    """Let a connection take these arrays."""
    for array, dumper in ((Texts, _TextsDumper), (_Integers, _IntegersDumper), (_Blobs, _BlobsDumper)):
        context.adapters.register_dumper(array, dumper)
