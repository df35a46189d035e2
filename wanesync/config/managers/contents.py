"""The content of a secret as a manager or a command gives it: one text, or one field of a JSON document.

No message holds anything of the content but its length and the names of its fields.
"""

from __future__ import annotations

import json
import re

from wanesync.core.errors import ConfigError

MAX_SECRET_BYTES = 64 * 1024
"""The largest secret that any of the managers keeps (AWS: 65,536 bytes); a larger output of a command is a mistake."""
MAX_NAMED_FIELDS = 8
FIELD_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")
"""Names of fields that are shown: anything else might be a secret in the wrong place."""


def read_content(shown: str, content: bytes | str, field: str = "") -> str:
    """Return the secret of a content. ``shown``: the reference in messages. Raises ``ConfigError`` with one problem."""
    text = _decode(shown, content).strip("\r\n")
    if field:
        text = _select(shown, text, field)
    if not text.strip():
        raise ConfigError([f"{shown} is empty: store the value there"])
    if "\n" in text or "\r" in text:
        advice = "name a field of the JSON document with #FIELD" if text.lstrip().startswith("{") else "store one line"
        raise ConfigError([f"{shown} has several lines: {advice}"])
    if not field and _is_object(text):
        names = _name_fields(json.loads(text))
        raise ConfigError([f"{shown} is a JSON document: name the field with #FIELD ({names})"])
    return text


def _decode(shown: str, content: bytes | str) -> str:
    size = len(content) if isinstance(content, bytes) else len(content.encode(errors="surrogatepass"))
    if size > MAX_SECRET_BYTES:
        raise ConfigError([f"{shown} is larger than {MAX_SECRET_BYTES} bytes: it must hold one value"])
    try:
        text = content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError:
        # The cause would hold the bytes of the secret.
        text = "\0"
    if "\0" in text:
        raise ConfigError([f"{shown} is binary: store the value as text"])
    return text


def _select(shown: str, text: str, field: str) -> str:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # The cause would quote the secret.
        raise ConfigError([f"{shown} is no JSON document, so it has no field: leave #{field} out"]) from None
    if not isinstance(document, dict) or field not in document:
        named = f" (it has {_name_fields(document)})" if isinstance(document, dict) else ""
        raise ConfigError([f"{shown} has no such field{named}: correct what stands after #"])
    value = document[field]
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return json.dumps(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ConfigError([f"{shown} is neither a text nor a list of texts: store it as one"])
    return str(value).strip("\r\n")


def _is_object(text: str) -> bool:
    if not text.startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _name_fields(document: dict[str, object]) -> str:
    names = [name for name in document if FIELD_NAME.fullmatch(name)]
    more = ", …" if len(names) > MAX_NAMED_FIELDS or len(names) < len(document) else ""
    return f"{', '.join(names[:MAX_NAMED_FIELDS])}{more}" if names else "no field with a plain name"


def split_list(text: str) -> list[str]:
    """Return the texts of a JSON list, else the text alone: one secret may hold the old and the new value."""
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return [text]
        if isinstance(found, list) and found and all(isinstance(one, str) for one in found):
            return found
    return [text]
