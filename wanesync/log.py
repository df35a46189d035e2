"""Logs: one JSON object per line (keys ``event level ts logger`` and those of the caller), or text on a terminal.

Values that look like a secret or an address are masked in every record, also in those of libraries. Of an unexpected
error its type and the places in the code are written, not its message, which may quote a value.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import TextIO

import orjson
import structlog

from wanesync.crash_output import format_crash
from wanesync.output import UNSAFE, fit_to_terminal

MASK = "***"
QUIET = ("hubspot", "stripe", "urllib3", "httpx", "httpcore", "mangum")
SILENT = ("uvicorn",)
"""Its warnings are about requests that are none: anything that reaches the door could fill the log with them."""

SECRET_KEY = re.compile(
    r"(?:^|[_.-])(?:secrets?|tokens?|passwords?|authorization|signature|cookies?|api_?keys?|e?mails?|phones?|payloads?)$",
    re.IGNORECASE,
)
SECRET_VALUES = re.compile(
    r"\bpat-[a-z0-9]+-[A-Za-z0-9-]+"  # HubSpot private app token
    r"|\b(?:sk|rk|pk)_(?:live|test)_\w+|\bwhsec_\w+"  # Stripe keys and webhook secrets
    r"|(?<=\bBearer )\S+|(?<=\bBasic )\S+"
    r"|(?<=://)[^/\s@:]*:[^/\s]*(?=@)"  # user and password of an address; a password may hold an @
    r"|(?<![\w+])\+\d[\d ().\-/]{5,18}\d"  # international phone number
    r"|\(?\b\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b",  # national phone number with marks
    re.IGNORECASE,
)
WORD = re.compile(r"[^\s<>\"'(),;:=]+")
"""What an e-mail address cannot reach beyond."""
ADDRESS_MARK = re.compile(r"@|%40")
ADDRESS_END = re.compile(r"[/&]")
MAX_CHARS = 10_000
"""Longer texts are cut before they are searched: no text of a log line is of use beyond that."""

Event = MutableMapping[str, object]


SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    structlog.stdlib.PositionalArgumentsFormatter(),
]
"""What is done with every record, of ours and of libraries, before it is written."""


def configure(level: str, stream: TextIO) -> None:
    """Write every record of ours and of our libraries to ``stream``, from ``level`` (``info`` …) up.

    JSON lines, unless ``stream`` is a terminal. May be called again: the last call applies.
    """
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=SHARED, processors=_output(stream)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.ERROR)


def make_json_formatter() -> logging.Formatter:
    """Return what makes of a record the line that ``configure`` writes: one JSON object, masked."""
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=SHARED, processors=_json_output())


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Mask values of sensitive keys, and secrets, e-mail addresses and phone numbers in any other value."""
    return {key: mask(key, value) for key, value in event.items()}


def mask(key: str, value: object) -> object:
    """Return ``value`` with sensitive parts masked at any depth; numbers and times are unchanged."""
    if isinstance(value, bytes | str):
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        return MASK if SECRET_KEY.search(key) else _mask_text(text)
    if isinstance(value, Mapping):
        return {name: mask(f"{key}.{name}", inner) for name, inner in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [mask(key, inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return mask(key, str(value))


def _mask_text(text: str) -> str:
    """Mask secrets, addresses and phone numbers, in time proportional to the length of the text."""
    kept = text
    if len(text) > MAX_CHARS:
        # The last word is dropped: what is left of a secret that was cut would not be recognised.
        kept = f"{text[:MAX_CHARS].rpartition(' ')[0]}… ({len(text):,} characters)"
    if ADDRESS_MARK.search(kept):
        kept = WORD.sub(_mask_address, kept)
    return SECRET_VALUES.sub(MASK, kept)


def _mask_address(found: re.Match[str]) -> str:
    """Mask a word that holds an e-mail address, up to what may follow it in a URL."""
    word = found[0]
    *_, last = [(0, 0), *(mark.span() for mark in ADDRESS_MARK.finditer(word))]
    if not last[1] or "." not in word[last[1] :]:
        return word
    end = ADDRESS_END.search(word, last[1])
    return MASK + (word[end.start() :] if end else "")


def _output(stream: TextIO) -> list[structlog.typing.Processor]:
    if stream.isatty():
        return [*_masked(), _flatten, partial(_render_for_terminal, stream)]
    return _json_output()


def _masked() -> list[structlog.typing.Processor]:
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.ExceptionRenderer(lambda raised: format_crash(raised[1])),
        redact,
    ]


def _json_output() -> list[structlog.typing.Processor]:
    return [*_masked(), _strip, structlog.processors.JSONRenderer(_dump)]


def _render_for_terminal(stream: TextIO, _logger: object, _method: str, event: Event) -> str:
    """Return a record as a line of words; one that is longer than the terminal is wide is continued further in."""
    at, level, text = (str(event.pop(name, "")) for name in ("ts", "level", "event"))
    event.pop("logger", None)
    rest = " ".join(f"{name}={value!r}" if " " in str(value) else f"{name}={value}" for name, value in event.items())
    # 2026-11-30T04:00:35.901063Z without its fraction.
    return fit_to_terminal(f"{at[:19]}Z {level}: {text} {rest}".rstrip(), stream)


def _dump(event: object, **_options: object) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Half a surrogate pair, or a number of more than 64 bits: the logging module would print it unmasked.
        return json.dumps(event, default=str)


def _strip(_logger: object, _method: str, event: Event) -> Event:
    """Remove terminal codes; line breaks are escaped by JSON."""
    return {key: _each_text(value, lambda text: UNSAFE.sub("", text)) for key, value in event.items()}


def _flatten(_logger: object, _method: str, event: Event) -> Event:
    """Remove terminal codes and line breaks."""
    return {key: _each_text(value, lambda text: " ".join(UNSAFE.sub("", text).split())) for key, value in event.items()}


def _each_text(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(str(key)): _each_text(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_each_text(inner, change) for inner in value]
    return value
