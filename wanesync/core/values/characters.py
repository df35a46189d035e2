"""Characters that do not show, and one spelling for texts that mean the same (docs/correctness.md#equal-spellings)."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from functools import lru_cache

_NO_WIDTH = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters that are no blanks
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f"  # of no width, marks of direction
    "\u2800\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\ufdd0-\ufdef" + "".join(chr(plane * 0x10000 + 0xFFFE) + chr(plane * 0x10000 + 0xFFFF) for plane in range(17))
)
_JOINED = "\ufe00-\ufe0f\U000e0000-\U000e0fff"
"""Variation selectors and tags: they change how the character before them is drawn (an emoji, a flag)."""
_INVISIBLE = re.compile(f"[{_NO_WIDTH}{_JOINED}]+")
"""The characters that Unicode calls default ignorable or no characters, and controls (unicode.org/reports/tr44)."""
_EDGES = re.compile(rf"\A[\s{_NO_WIDTH}]+|[\s{_NO_WIDTH}]+\Z")
_PRINTABLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Those of no width that count as printable."""
_BLANKS = re.compile(r"\s+")
_DOMAIN_END = re.compile(r"[\s.]+\Z")
MAX_DOMAIN_CHARS = 253
"""RFC 1035; a longer text is no domain, and converting it would take long."""
MAX_CACHED_CHARS = 1_000
"""Longer texts are not kept in a cache (our choice): an address has at most 254."""
_ROUNDS = 4
"""Rounds after which a spelling is stable for every text: each either changes nothing or shortens what is left."""


def collapse(text: str) -> str:
    """Return a text with every run of blanks as one space."""
    # The only blank in a printable text is the space: most texts need no regular expression.
    return text if "  " not in text and text.isprintable() else _BLANKS.sub(" ", text)


def is_plain(text: str) -> bool:
    """Return whether a text is printable ASCII, which has one spelling only and nothing invisible."""
    return text.isascii() and text.isprintable()


def remove_invisible(text: str) -> str:
    """Return a text without controls, marks of direction and characters of no width."""
    return text if is_plain(text) else _INVISIBLE.sub("", text)


def trim(text: str) -> str:
    """Return a text in NFC without blanks and invisible characters around it; those inside may have a meaning."""
    if text.isascii() and text.isprintable():
        return text.strip()
    composed = unicodedata.normalize("NFC", text)
    if composed.isprintable():
        composed = composed.strip()
        if not composed or (composed[0] not in _PRINTABLE and composed[-1] not in _PRINTABLE):
            return composed
    return _EDGES.sub("", composed)


def comparable(text: str) -> str:
    """Return what two texts are compared by: NFC, nothing invisible, runs of blanks and line ends as one space."""
    if text.isascii() and text.isprintable():
        return (text if "  " not in text else _BLANKS.sub(" ", text)).strip()
    return collapse(unicodedata.normalize("NFC", _INVISIBLE.sub("", text))).strip()


# -- e-mail addresses


def clean_email(address: str) -> str:
    """Return an address as it is sent: without blanks around it and invisible characters, NFKC, lower case."""
    if is_plain(address):
        return address.strip().lower()
    # No address: thousands of long texts would fill the memory of the cache.
    return _clean_address(address) if len(address) <= MAX_CACHED_CHARS else _clean_address.__wrapped__(address)


@lru_cache(maxsize=4096)
def _clean_address(address: str) -> str:
    for _ in range(_ROUNDS):
        # Lower case may compose what upper case could not (J with caron), so it is normalised before and after.
        lower = unicodedata.normalize("NFKC", _INVISIBLE.sub("", address)).lower()
        cleaned = unicodedata.normalize("NFKC", _INVISIBLE.sub("", lower)).strip()
        if cleaned == address:
            break
        address = cleaned
    return address


def normalise_email(address: str) -> str:
    """Return an e-mail address as it is compared, hashed and looked up: cleaned, its domain in ASCII (IDNA)."""
    if address.isascii() and address.isprintable():
        cleaned = address.strip().lower()
        if "xn--" not in cleaned and cleaned[-1:] != ".":
            return cleaned  # the usual case
    cleaned = clean_email(address)
    return _with_ascii_domain(cleaned) if len(cleaned) <= MAX_CACHED_CHARS else _with_ascii_domain.__wrapped__(cleaned)


@lru_cache(maxsize=4096)
def _with_ascii_domain(address: str) -> str:
    import idna  # noqa: PLC0415 - 10 ms that most addresses do not need

    local, at, domain = address.rpartition("@")
    if not at or len(domain) > MAX_DOMAIN_CHARS:
        return address
    # Of a character that no domain may hold, the labels are converted as they are.
    with contextlib.suppress(UnicodeError):
        domain = idna.uts46_remap(domain, std3_rules=False)
    labels = _DOMAIN_END.sub("", domain).split(".")
    return clean_email(f"{local}@{'.'.join(map(_ascii_label, labels))}")


def _ascii_label(label: str) -> str:
    import idna  # noqa: PLC0415 - as above

    try:
        if label.startswith("xn--"):
            # Decoded first, so that a label that was encoded in another way has the same form.
            label = idna.ulabel(label)
        return label if label.isascii() else idna.alabel(label).decode()
    except UnicodeError:
        # Registered although IDNA 2008 does not allow it (emoji domains), or no domain at all.
        return label if label.isascii() else "xn--" + label.encode("punycode").decode()
