"""Personal values that stand nowhere else, and every spelling in which bytes may hold them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

LETTERS = "bcdfghjklmnpqrstvwxz"
WORD, DIGITS = "qxzvkwjq", "493097531"
"""What every planted text begins with, and every number: where a value stands one of them does, in any spelling."""
_ZEROS = re.compile(rb"\0{64,}")


def word(number: int) -> str:
    """A word that stands nowhere else, and holds the number."""
    found = WORD
    for _ in range(8):
        number, at = divmod(number * 7 + 3, len(LETTERS))
        found += LETTERS[at] + "ae"[at % 2]
    return found


def plant(number: int) -> dict[str, str]:
    """The five values of one person."""
    return {
        "email": f"{word(number)}@{word(number + 5_000)}.example",
        "name": word(number + 10_000).title(),
        "city": word(number + 20_000).title(),
        "street": f"{word(number + 30_000).title()} {number}",
        "phone": f"+{DIGITS}{number:03d}",
    }


def spell(value: str) -> Iterator[bytes]:
    """The bytes of a value as files may hold it, in each case of its letters."""
    for text in {value, value.lower(), value.upper(), value.title()}:
        yield from spell_exactly(text)


def spell_exactly(text: str) -> Iterator[bytes]:
    """The bytes of a text: UTF-8 and 16, escaped for URLs and JSON, hexadecimal, and base64 wherever it begins."""
    plain = text.encode()
    escaped = json.dumps(text)[1:-1]
    yield from {plain, text.encode("utf-16-le"), quote(text, safe="").encode(), quote_plus(text).encode()}
    yield from {escaped.encode(), escaped.replace("/", r"\/").encode()}
    yield from spell_bytes(plain)


def spell_bytes(content: bytes) -> Iterator[bytes]:
    """Bytes as they are, hexadecimal, and in the three forms that base64 has of them within a longer text."""
    yield from {content, content.hex().encode(), content.hex().upper().encode()}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + content + b"\0\0")
        # Only the characters that no neighbour has a part in.
        whole = coded[-(-8 * shift // 6) : 8 * (shift + len(content)) // 6]
        yield from {whole, whole.translate(bytes.maketrans(b"+/", b"-_"))}


def spell_markers() -> dict[bytes, str]:
    """Every spelling of what all planted personal values begin with -> that beginning."""
    return {spelling: value for value in (WORD, DIGITS) for spelling in spell(value)}


def find_planted(contents: Iterable[tuple[str, bytes]], wanted: Mapping[bytes, str]) -> list[tuple[str, str]]:
    """Where which values stand; a content that was there before is passed over."""
    seen: set[int] = set()
    found = []
    for where, content in contents:
        # Databases are made of templates, and their logs of empty space.
        packed = _ZEROS.sub(b"\0", content)
        if (digest := hash(packed)) not in seen:
            seen.add(digest)
            found += [(where, value) for spelling, value in wanted.items() if spelling in packed]
    return found
