"""Log lines into the database: written in the background, so that no work waits for them or fails because of them.

``store_log_lines`` adds a handler beside the console's. It takes what the console gets, masked in the same way, into a
bounded queue; a thread writes the queue once a second. What is beyond the bounds is dropped and counted, and the number
is stored. A database that is unavailable costs lines, never work.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from wanesync import log
from wanesync.core.errors import DatabaseRefused, WanesyncError
from wanesync.store.tables.operating.log_lines import LogLine

if TYPE_CHECKING:
    from wanesync.store.codec import JSON
    from wanesync.store.database import Store

OWN = "wanesync"
"""Loggers of ours begin with this; what a library says may quote values that no pattern recognises."""
RECORD_KEYS = ("record_id", "record", "key", "link", "payment", "contact", "customer")
"""Keys of a line that name a record, link or payment; the first one that is there counts."""
CORRELATION_KEYS = ("correlation_id", "trace_id", "request_id", "run", "job")
"""Keys of a line that name what it belongs to; the first one that is there counts."""
REQUEST_ID = re.compile(r"\breq_[A-Za-z0-9]{6,}\b|\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")
"""A request id of Stripe, or a correlation id of HubSpot, within the text of an error."""
WRITE_INTERVAL_S = 1.0
"""How often the queue is written: a follower sees a line within about two seconds (our choice)."""
BATCH_LINES = 200
"""Lines of one transaction: it lasts a few milliseconds."""
MAX_WAITING = 2_000
"""Lines that wait for the database, of about 1 KB each; the newest ones beyond are dropped (our choice)."""
BURST_FACTOR = 10
"""A process may store so many times its lines a second at once."""
MAX_TEXT_CHARS = 1_000
MAX_CRASH_CHARS = 3_000
MAX_DATA_CHARS = 4_000
"""Longest text of a line, longest traceback, and longest line: longer ones are cut (our choice)."""
STOP_S = 2.0
"""How long the end of a process waits for its last lines."""
DROPPED = "log lines were not stored"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A masked line as JSON that waits. ``template``: as ``make_line`` takes it."""

    text: str
    seq: int
    template: str | None


class LogStorage(logging.Handler):
    """Takes the lines of this process and writes them into the database, from a thread of its own.

    ``process``: the name of this process. ``rate``: lines a second that are stored over a time. Nothing here raises.
    """

    def __init__(self, store: Store, process: str, rate: int) -> None:
        super().__init__()
        self.setFormatter(log.make_json_formatter())
        self._store, self._process, self._rate = store, process, rate
        self._waiting: deque[_Taken] = deque()
        self._dropped, self._failing = 0, False
        self._seq = 0
        self._credit, self._credited_s = float(rate * BURST_FACTOR), time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-storage", daemon=True)

    def start(self) -> None:
        """Begin to take and to write lines."""
        logging.getLogger().addHandler(self)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, for at most two seconds, and end."""
        logging.getLogger().removeHandler(self)
        self._stopping.set()
        self._thread.join(STOP_S)

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line; never waits for the database. Called under the handler's lock."""
        # What the database says while lines are written would be written again.
        if threading.get_ident() == self._thread.ident:
            return
        if len(self._waiting) >= MAX_WAITING or not self._take_credit():
            self._dropped += 1
            return
        try:
            self._seq += 1
            self._waiting.append(_Taken(self.format(record), self._seq, _find_template(record)))
        except Exception:  # noqa: BLE001 - a line that cannot be stored must not fail the work that wrote it
            self._dropped += 1

    def write_waiting(self) -> int:
        """Write what waits; return the number of lines. Raises ``DatabaseUnavailable``: the lines wait on."""
        written = 0
        while taken := self._next_batch():
            lines = [line for one in taken if (line := self._make_line(one))]
            try:
                self._store.run(lambda tx, lines=lines: tx.log_lines.add(lines))  # type: ignore[misc] # binds the loop's value
            except DatabaseRefused:
                # It will not take these lines later either: they must not hold up all that follow.
                self._forget(taken)
                self._dropped += len(taken)
                break
            except WanesyncError:
                raise
            except Exception:
                self._forget(taken)
                raise
            self._forget(taken)
            written += len(lines)
        return written

    def _next_batch(self) -> list[_Taken]:
        self.acquire()
        try:
            if self._dropped:
                self._seq += 1
                self._waiting.append(_Taken(_describe_dropped(self._dropped), self._seq, None))
                self._dropped = 0
            return list(islice(self._waiting, BATCH_LINES))
        finally:
            self.release()

    def _forget(self, taken: Sequence[_Taken]) -> None:
        # Only this thread removes: what it has read stands at the beginning.
        for _ in taken:
            self._waiting.popleft()

    def _make_line(self, taken: _Taken) -> LogLine | None:
        try:
            line = make_line(taken.text, self._process, taken.seq, template=taken.template)
            return replace(line, at_ms=line.at_ms + round(self._store.clock.offset_ms))
        except (ValueError, KeyError):
            self._dropped += 1
            return None

    def _take_credit(self) -> bool:
        now_s = time.monotonic()
        most = float(self._rate * BURST_FACTOR)
        self._credit = min(most, self._credit + (now_s - self._credited_s) * self._rate)
        self._credited_s = now_s
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._stopping.wait(WRITE_INTERVAL_S)
            try:
                self.write_waiting()
                self._failing = False
            except WanesyncError as error:
                # The next round may succeed. Only the console gets this line, once per outage.
                if not self._failing:
                    _logger.warning("log lines wait for the database: %s", error)
                self._failing = True
            except Exception:
                _logger.exception("log lines could not be stored")


def _describe_dropped(lines: int) -> str:
    at = datetime.now(UTC).isoformat()
    return json.dumps({"event": DROPPED, "level": "warning", "ts": at, "logger": __name__, "lines": lines})


def _find_template(record: logging.LogRecord) -> str | None:
    """What is stored as the text of a library's line: the template of its message without what was filled in."""
    if record.name == OWN or record.name.startswith(f"{OWN}."):
        return None
    return record.msg if isinstance(record.msg, str) else type(record.msg).__name__


def make_line(text: str, process: str, seq: int, *, template: str | None = None) -> LogLine:
    """Make a line to be stored of a masked JSON line. ``template``: of a library's line, the text it is stored with.

    Raises ``ValueError`` for text that is no JSON object.
    """
    read = json.loads(text)
    if not isinstance(read, dict):
        raise ValueError("a log line is a JSON object")
    keys: dict[str, JSON] = read
    at_ms = int(datetime.fromisoformat(str(keys.pop("ts"))).timestamp() * 1000)
    level, event, logger = (str(keys.pop(name, "")) for name in ("level", "event", "logger"))
    if template is not None:
        event, keys = str(log.mask("event", template)), {}
    side = str(keys.get("side", ""))
    return LogLine(
        at_ms, seq, level, event[:MAX_TEXT_CHARS], logger, process, side,
        _find_first(keys, RECORD_KEYS), _find_correlation(keys), _cut(keys),
    )  # fmt: skip


def _find_first(keys: Mapping[str, JSON], names: tuple[str, ...]) -> str:
    return next((str(keys[name]) for name in names if isinstance(keys.get(name), str | int) and keys[name]), "")


def _find_correlation(keys: Mapping[str, JSON]) -> str:
    if named := _find_first(keys, CORRELATION_KEYS):
        return named
    texts = (value for value in keys.values() if isinstance(value, str))
    return next((found[0] for text in texts if (found := REQUEST_ID.search(text))), "")


def _cut(keys: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the keys with long texts cut; of a line that is too long as a whole only what is no text or list."""
    cut = {
        name: value[: MAX_CRASH_CHARS if name == "exception" else MAX_TEXT_CHARS] if isinstance(value, str) else value
        for name, value in keys.items()
    }
    size = len(json.dumps(cut))
    if size <= MAX_DATA_CHARS:
        return cut
    kept: dict[str, JSON] = {name: value for name, value in cut.items() if isinstance(value, bool | int | float)}
    return {**dict(islice(kept.items(), 20)), "cut": f"the line had {size:,} characters"}


@contextmanager
def store_log_lines(store: Store, part: str, rate: int) -> Iterator[LogStorage]:
    """Store the lines of this process while the block lasts. ``part``: what the process is, as ``worker``."""
    storage = LogStorage(store, f"{part} {os.getpid()}", rate)
    storage.start()
    try:
        yield storage
    finally:
        storage.stop()
