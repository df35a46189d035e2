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
        if not obj:
            return b"{}"
        text = "\0".join(obj)
        if text.count("\0") >= len(obj):
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
        return f'{{"{quoted}"}}'.encode()


class _IntegersDumper(Dumper):
    oid = types["int8"].array_oid

    def dump(self, obj: _Integers) -> bytes:
        """Decimal numbers."""
        return f"{{{','.join(map(str, obj))}}}".encode()


class _BlobsDumper(Dumper):
    oid = types["bytea"].array_oid

    def dump(self, obj: _Blobs) -> bytes:
        """Hexadecimal digits, the backslash before them quoted."""
        return ('{"' + '","'.join("\\\\x" + item.hex() for item in obj) + '"}').encode() if obj else b"{}"


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
