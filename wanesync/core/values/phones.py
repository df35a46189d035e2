"""Phone numbers: E.164 where the country is certain, anything else as typed (docs/correctness.md#phone-numbers).

The numbering plans are those of ``phonenumbers`` (Google's libphonenumber). It takes 30 ms to import and is imported on
first use only: most commands read no phone number.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from wanesync.core.values.characters import collapse, is_plain, remove_invisible

if TYPE_CHECKING:
    from phonenumbers.phonenumber import PhoneNumber

_MARKS = re.compile(r"[\s()\[\].\-/\u00b7\u2010-\u2015\u2212~]+")
"""What people write between digits."""
_E164 = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
"""ITU-T E.164: at most 15 digits; fewer than 7 are no full number."""
_USUAL = re.compile(r"\+[1-9][\d .()\-]+", re.ASCII)
"""One number with a country code and nothing else: it needs no closer look."""
_DIGITS = re.compile(r"\+\d+", re.ASCII)
_MAX_DIGITS = 15
_MAX_NATIONAL_DIGITS = 14
"""Digits of the longest national numbers (Austria), with trunk zero."""
_TWO_LOCAL = re.compile(r"\b\d{3}[-. ]\d{4}\b\D+\d{3}[-. ]\d{4}\b", re.ASCII)
"""Two numbers without area code: 555-0143 555-0144."""
MAX_EXTENSION_DIGITS = 9
_CANONICAL = re.compile(r"\+[1-9]\d{6,14}(x\d{1,9})?", re.ASCII)
_EXTENSION = re.compile(
    r"(?:;ext=|,{2,}|\s*[,;]?\s*\(?(?:extension|extn?|xtn?|x|#|durchwahl|dw|anexo|interno|int|poste|app(?:arat)?|доб)"
    r"[.:\s]*)\s*(\d{1,9})\s*[#)]?\s*\Z",
    re.ASCII | re.IGNORECASE,
)
_LABEL = re.compile(
    r"\A['\"=\s]*(?:(?:tel(?:efon|ephone)?|phone|fon|mob(?:ile?)?|cell|handy)\b[.:\s]*)?", re.IGNORECASE
)
"""What stands before a number: a word, or the apostrophe by which a spreadsheet keeps the plus."""
_BETWEEN_NUMBERS = re.compile(r"[,;|&\n\r]|\s[/\\+]\s|\s(?:or|and|oder|und|ou|et|y|o|e|u|od\.?)\s", re.IGNORECASE)
_TRUNK_ZERO = re.compile(r"[(\[]\s*0\s*[)\]]")
_LINES = re.compile(r"\d\s*/\s*\d{1,3}\Z")
"""``901820/21``: a second line, or an extension; as one number it would be another one."""
_MIN_DIGITS = 6
"""Digits from which a part of a text counts as a number of its own; area codes are shorter."""
_MIN_SHARED_DIGITS = {"": 7, "+": 9}
"""Digits from which what stands before a slash is a number and no area code, without and with a country code."""
_NANP = 1
"""Country code of the one plan in which letters are dialled (vanity numbers)."""
MAX_PHONE_CHARS = 250
"""A longer text is no number (libphonenumber's own bound): it stays as typed, and is not looked at any closer."""
_ROUNDS = 4
"""Trunk zeros that are dropped from the front of one number, at most."""


def read_phone(raw: str, country: str) -> str:
    """Return ``+493012345`` for ``+49 (0)30 12345``, ``+493012345x9`` with an extension, else the text, cleaned.

    ``country``: ISO code of the country whose national numbers are accepted; "" for none. What may be two numbers, a
    short code or no number at all stays as typed.
    """
    if len(raw) <= MAX_PHONE_CHARS:
        return _read_phone(raw, country)
    text = collapse(remove_invisible(raw)).strip()
    # Not cached: thousands of long texts would fill the memory.
    return text if len(text) > MAX_PHONE_CHARS else _read_phone.__wrapped__(raw, country)


@lru_cache(maxsize=8192)
def _read_phone(raw: str, country: str) -> str:
    if _USUAL.fullmatch(raw) and not _TRUNK_ZERO.search(raw):
        compact = _MARKS.sub("", raw)
        if _E164.fullmatch(compact) and not _may_hold_trunk_prefix(compact):
            return compact
    cleaned = _clean(raw)
    text = collapse(cleaned).strip()
    if not country and "+" not in text and "00" not in text:
        return text  # national, and no country to complete it
    if holds_several(cleaned):
        return text
    return _read_one(text, country) or text


def _clean(raw: str) -> str:
    if is_plain(raw):
        return raw
    text = remove_invisible(unicodedata.normalize("NFKC", remove_invisible(raw)))
    # Digits of any script as ASCII.
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def _read_one(text: str, country: str) -> str:
    """Return the canonical form of a text that holds one number, "" if it is not known."""
    main, extension = _split_extension(_LABEL.sub("", text))
    compact = _MARKS.sub("", main)
    if compact.startswith("00"):
        compact, main = "+" + compact[2:].lstrip("+"), main.replace("00", "+", 1)
    if not compact.isascii() or not (compact.startswith("+") or country):
        return ""
    is_number = compact.removeprefix("+").isdigit()
    number = _read_digits(compact, main, country) if is_number else _read_vanity(compact, country)
    return f"{number}{extension}" if number else ""


def _split_extension(text: str) -> tuple[str, str]:
    """Return the number and ``x9``, or "" without an extension."""
    found = _EXTENSION.search(text)
    if not found or sum(char.isdigit() for char in text[: found.start()]) < _MIN_DIGITS:
        return text, ""
    return text[: found.start()], f"x{found[1]}"


def _read_digits(compact: str, main: str, country: str) -> str:
    if not compact.startswith("+"):
        number = _parse_valid(compact, country)
        return _format(number) if number else ""
    if _TRUNK_ZERO.search(main):
        compact = _without_trunk_zero(compact, _MARKS.sub("", _TRUNK_ZERO.sub("", main)))
        if not _DIGITS.fullmatch(compact):
            return ""  # nothing but the zero: ``+ (0)`` is what a form leaves of an empty number
    for _ in range(_ROUNDS):
        if not _may_hold_trunk_prefix(compact):
            break
        number = _parse_possible(compact)
        shorter = _format(number) if number else compact
        if shorter == compact:
            break
        compact = shorter
    return compact if _E164.fullmatch(compact) else ""


def _without_trunk_zero(compact: str, without: str) -> str:
    """Return a number without its ``(0)``, except where the plan keeps it (Italy)."""
    if _may_hold_trunk_prefix(compact):
        return without
    return compact if _parse_valid(compact, "") else without


def _may_hold_trunk_prefix(compact: str) -> bool:
    """Return whether the digits after the country code begin as a trunk prefix does; most numbers do not.

    Otherwise libphonenumber would change nothing, and need twenty times as long to find out.
    """
    size, prefix = _plan_of(compact[1:4])
    return prefix is not None and prefix.match(compact, 1 + size) is not None


@cache
def _plan_of(digits: str) -> tuple[int, re.Pattern[str] | None]:
    """Return the length of the country code that three digits begin with, and what its plan's trunk prefixes match."""
    import phonenumbers  # noqa: PLC0415 - see above

    for size in (1, 2, 3):
        if int(digits[:size]) not in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            continue
        country_code = int(digits[:size])
        region = phonenumbers.region_code_for_country_code(country_code)
        metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)
        prefix = metadata.national_prefix_for_parsing if metadata else None
        return size, re.compile(prefix) if prefix else None
    return 0, None


def _read_vanity(compact: str, country: str) -> str:
    """Return the digits of letters that are dialled (1-800-FLOWERS), "" for any other text."""
    if not compact.removeprefix("+").isalnum() or not compact[-1].isalpha():
        return ""
    number = _parse_valid(compact, country)
    return _format(number) if number and number.country_code == _NANP else ""


def _parse(text: str, country: str) -> PhoneNumber | None:
    import phonenumbers  # noqa: PLC0415 - see above

    try:
        return phonenumbers.parse(text, country or None)
    except phonenumbers.NumberParseException:
        return None


def _format(number: PhoneNumber) -> str:
    import phonenumbers  # noqa: PLC0415 - see above

    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _parse_valid(text: str, country: str) -> PhoneNumber | None:
    import phonenumbers  # noqa: PLC0415 - see above

    number = _parse(text, country)
    return number if number is not None and phonenumbers.is_valid_number(number) else None


def _parse_possible(text: str) -> PhoneNumber | None:
    import phonenumbers  # noqa: PLC0415 - see above

    number = _parse(text, "")
    return number if number is not None and phonenumbers.is_possible_number(number) else None


# -- comparing, and what is no number


def phone_key(value: str) -> str:
    """Return what two numbers are compared by: their digits and extension, without the marks between them."""
    return _phone_key(value) if len(value) <= MAX_PHONE_CHARS else collapse(value).strip().casefold()


@lru_cache(maxsize=8192)
def _phone_key(value: str) -> str:
    if _CANONICAL.fullmatch(value):
        return value
    cleaned = _clean(value)
    if holds_several(cleaned):
        return collapse(cleaned).strip().casefold()
    main, extension = _split_extension(_LABEL.sub("", cleaned.strip()))
    return _MARKS.sub("", main).casefold() + extension


def shorten(value: str, limit: int) -> str | None:
    """Return a number in at most ``limit`` characters, without marks if need be; None if it would have to be cut."""
    if len(value) <= limit:
        return value
    if len(value) > MAX_PHONE_CHARS:
        return None
    main, extension = _split_extension(value)
    compact = _MARKS.sub("", main) + extension
    is_number = _MARKS.sub("", main).removeprefix("+").isdigit()
    return compact if is_number and len(compact) <= limit else None


def holds_several(value: str) -> bool:
    """Return whether a text holds more than one number, or a second line of one (``901820/21``)."""
    if _CANONICAL.fullmatch(value) or len(value) > MAX_PHONE_CHARS:
        return _count_digits(value) > _MAX_DIGITS + MAX_EXTENSION_DIGITS
    text, _ = _split_extension(value)
    digits = sum(char.isdigit() for char in text)
    # With a country code 2 more: a (0) or 00; or 3: 011, as the North American plan dials it.
    longest = _MAX_DIGITS + 2 if "+" in text or "00" in text else _MAX_NATIONAL_DIGITS
    longest = _MAX_DIGITS + 3 if text.lstrip(" (").startswith("011") else longest
    if digits > longest or text.count("+") > 1 or _TWO_LOCAL.search(text):
        return True
    if sum(_count_digits(part) >= _MIN_DIGITS for part in _BETWEEN_NUMBERS.split(text)) > 1:
        return True
    if "/" not in text:
        return False
    before, _, after = text.rpartition("/")
    if _LINES.search(text):
        return _count_digits(before) >= _MIN_SHARED_DIGITS["+" if text.lstrip(" (").startswith(("+", "00")) else ""]
    return _count_digits(before) > _MIN_DIGITS and _count_digits(after) > _MIN_DIGITS


def _count_digits(text: str) -> int:
    return sum(char.isdigit() for char in text)
