"""JSON that may hold half an emoji: vendors store and return lone surrogates, which strict encoders refuse."""

from __future__ import annotations

import json

import orjson


def write(value: object) -> bytes:
    """The JSON text of a value; lone surrogates become escapes, as vendors write them."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def read(body: bytes) -> object:
    """The value of a JSON text, escaped lone surrogates included. Raises ValueError."""
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = json.loads(body)
    return value
