"""Search in log lines, the journal and the audit log as one list, the newest first, page by page.

A page reads at most as many rows of each as it shows, by an index for each filter. Only a correlation id within the
encrypted data of the journal has no index: there a page looks through a bounded number of entries and says how far.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from wanesync.core.errors import ConfigError
from wanesync.core.ids import MAX_INDEXED_BYTES, made_ms
from wanesync.core.model import normalise_email
from wanesync.ops.people.history import VALUES_OF_PEOPLE, find_ids, show_data
from wanesync.output import UNSAFE
from wanesync.store.tables.journal import JournalFilter, JournalRow
from wanesync.store.tables.operating.audit import AuditFilter, AuditRow
from wanesync.store.tables.operating.log_lines import LEVELS, NEWEST, LogLine, LogLineFilter, Position

if TYPE_CHECKING:
    from wanesync.core.operating.operators import Operator
    from wanesync.store.codec import JSON
    from wanesync.store.database import Store, Tx

MAX_SCANNED = 1_000
"""Entries of the journal that one page decrypts to look for a correlation id: about 50 ms (our choice)."""
OUR_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
"""An id of ours, which holds the time it was made at: nothing older mentions it."""
MAX_EXPORTED = 100_000
"""Entries of one download (our choice): a narrower filter gives the others."""
EXPORT_PAGE = 500
"""Entries of a download that are read in one transaction."""
OVERLAP_MS = 15_000
"""What is followed is read again so far back: another process's line of before may be committed after ours."""
MAX_PEOPLE = 50
"""Ids of one filter (our choice)."""
CLOCKS_MS = 3_000
"""How far the clocks of two processes and the time between a line and its commit may lie apart (our choice)."""
MAX_FOLLOWED = 500
"""New entries that one look of a follower shows; the newest ones, if there are more."""
MAX_TIME_MS = 2**53
"""Later than any time that is stored."""
JOURNAL_KINDS = (
    "baseline", "conflict", "conflict closed", "created", "dead", "decision", "discarded", "erased", "held",
    "hold discarded",
    "hold opened", "hold released", "limit set", "linked", "merged", "missing", "orphaned", "paused", "plan",
    "pruned", "purchase", "put back", "reconcile", "refused", "restored", "resumed", "retried", "tried at once",
    "unmatched",
    "updated", "would write", "writes",
)  # fmt: skip
"""Kinds of the journal that are worth a suggestion; there are more."""
WRONG_CURSOR = "cursor: it is not one that this list has given: begin without one"


class Source(StrEnum):
    """Where an entry stands."""

    LOG = "log"
    JOURNAL = "journal"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which entries are wanted; "" and () for any.

    ``kinds``: kinds of the journal, texts of log lines, or actions of the audit log. ``person``: an address, or the id
    of a contact, customer, payment or charge, or several with commas between. ``level``: log lines of it and above;
    entries of the journal and the audit log count as ``info``. ``until_ms`` 0: up to now.
    """

    since_ms: int = 0
    until_ms: int = 0
    sources: frozenset[Source] = frozenset(Source)
    kinds: tuple[str, ...] = ()
    person: str = ""
    operator: str = ""
    correlation_id: str = ""
    level: str = ""

    def __post_init__(self) -> None:
        """Raises ConfigError for a level that does not exist."""
        if self.level and self.level not in LEVELS:
            raise ConfigError([f"level {self.level}: must be one of {', '.join(LEVELS)}"])

    @property
    def wanted_sources(self) -> list[Source]:
        """The sources that can have such entries: only log lines have levels, and none has an operator."""
        excluded = set()
        if LEVELS.get(self.level, 0) > LEVELS["info"]:
            excluded |= {Source.JOURNAL, Source.AUDIT}
        if self.operator:
            excluded.add(Source.LOG)
        return [source for source in Source if source in self.sources - excluded]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the log, an entry of the journal, or a row of the audit log. "" for what it has not.

    ``place``: orders entries; ``name``: unique among all entries.
    """

    source: Source
    name: str
    place: Position
    kind: str
    level: str = ""
    side: str = ""
    record_id: str = ""
    link_id: str = ""
    operator: str = ""
    via: str = ""
    process: str = ""
    logger: str = ""
    correlation_id: str = ""
    data: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def at_ms(self) -> int:
        """When it was, in database time."""
        return self.place.at_ms


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries, the newest first. ``cursor``: where the next page begins, "" at the end.

    ``searched_to_ms``: where the search stopped although it is not at its end, None if the page is complete.
    """

    entries: list[Entry]
    cursor: str = ""
    searched_to_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """What one source has for a page: entries, and the place up to which they are all; None: to the end."""

    entries: list[Entry]
    searched_to: Position | None


Places = dict[Source, Position]
"""Source -> where its next page begins; a source that is not in it is at its end."""


def read_page(store: Store, wanted: LogFilter, cursor: str = "", limit: int = 100) -> EntryPage:
    """Return a page. Raises ``ConfigError`` for a cursor of another list."""
    first = Position(wanted.until_ms + 1, -1, "") if wanted.until_ms else NEWEST
    allowed = wanted.wanted_sources
    # A cursor comes from outside: it names no source that the filter, and so the role, leaves out.
    places = (
        {source: place for source, place in _decode(cursor).items() if source in allowed}
        if cursor
        else dict.fromkeys(allowed, first)
    )
    with store.reading() as tx:
        ids = _find_ids(store, tx, wanted.person)
        found = {source: _READERS[source](tx, wanted, ids, place, limit + 1) for source, place in places.items()}
    # Of a source that stopped before, nothing is known below: nothing older of the others comes before it.
    floors = [one.searched_to for one in found.values() if one.searched_to and len(one.entries) <= limit]
    floor_ms = max((place.at_ms for place in floors), default=-1)
    merged = heapq.merge(*(one.entries for one in found.values()), key=lambda entry: _order(entry.place), reverse=True)
    entries = [entry for entry, _ in zip(merged, range(limit), strict=False) if entry.at_ms >= floor_ms]
    following = _advance(places, found, entries)
    stopped = floor_ms if floors and len(entries) < limit else None
    return EntryPage(entries, _encode(following) if following else "", stopped)


def find_person(store: Store, text: str) -> str:
    """Return the record ids that an address stands for, with commas between, "" for none; an id as it is.

    With them a filter can stand in an address of a page, which a proxy may log.
    """
    if "@" not in text:
        return text.strip()
    with store.reading() as tx:
        hmac = store.hmac(normalise_email(text))
        return ",".join(sorted(record_id for _, record_id in tx.records.by_hmacs([hmac]).get(hmac, set())))


def _find_ids(store: Store, tx: Tx, person: str) -> tuple[str, ...]:
    keys = [key.strip() for key in person.split(",") if key.strip()][:MAX_PEOPLE]
    return tuple(sorted({row_id for key in keys for row_id in find_ids(store, tx, key)}))


def read_all(store: Store, wanted: LogFilter, most: int = MAX_EXPORTED) -> Iterator[Entry]:
    """Yield up to ``most`` entries, the newest first, a transaction for each page: a download holds none open."""
    cursor, left = "", most
    while left > 0:
        page = read_page(store, wanted, cursor, min(EXPORT_PAGE, left))
        yield from page.entries
        left -= len(page.entries)
        cursor = page.cursor
        if not cursor:
            return


def note_export(store: Store, operator: Operator, form: str, filters: Collection[str]) -> None:
    """Note in the audit log that entries were downloaded. ``filters``: the names of those that were used."""
    after = {"format": form, "filters": [*filters]}
    store.run(lambda tx: tx.audit.add(operator, "logs.export", "", None, after))


@dataclass(slots=True)
class Follower:
    """Reads what is new of a list since it was made, or since ``from_ms``."""

    store: Store
    wanted: LogFilter
    from_ms: int = 0
    _read_to_ms: int = 0
    _seen: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Without a time everything that is there counts as seen."""
        if self.from_ms:
            self._read_to_ms = self.from_ms
        else:
            self._read_to_ms = self.store.now_ms()
            self.from_ms = self._read_to_ms - CLOCKS_MS
            self.look()

    def look(self) -> list[Entry]:
        """Return the entries that came since the last look, the oldest first. Raises ``DatabaseUnavailable``."""
        now_ms = self.store.now_ms()
        since_ms = max(min(self._read_to_ms, now_ms) - OVERLAP_MS, self.from_ms)
        page = read_page(self.store, replace(self.wanted, since_ms=since_ms, until_ms=0), limit=MAX_FOLLOWED)
        new = [entry for entry in reversed(page.entries) if entry.name not in self._seen]
        self._seen |= {entry.name: entry.at_ms for entry in new}
        self._seen = {name: at_ms for name, at_ms in self._seen.items() if at_ms >= since_ms}
        self._read_to_ms = now_ms
        return new


# -- the sources


def _read_log(tx: Tx, wanted: LogFilter, ids: tuple[str, ...], place: Position, limit: int) -> _Found:
    if wanted.person and not ids:
        return _Found([], None)
    lines = []
    for kind in wanted.kinds or ("",):
        which = LogLineFilter(wanted.since_ms, wanted.level, kind, wanted.correlation_id, ids)
        lines += tx.log_lines.find(which, place, limit)
    return _bounded([_from_line(line) for line in lines], limit)


def _read_journal(tx: Tx, wanted: LogFilter, ids: tuple[str, ...], place: Position, limit: int) -> _Found:
    if wanted.person and not ids:
        return _Found([], None)
    which = JournalFilter(wanted.since_ms, wanted.kinds, wanted.operator, ids)
    if not wanted.correlation_id:
        return _bounded([_from_journal(row) for row in tx.journal.find(which, place, limit)], limit)
    if OUR_ID.fullmatch(wanted.correlation_id):
        which = replace(which, since_ms=max(wanted.since_ms, made_ms(wanted.correlation_id) - CLOCKS_MS))
    rows = tx.journal.find(which, place, MAX_SCANNED)
    matching = [_from_journal(row) for row in rows if _mentions(row, wanted.correlation_id)]
    if len(matching) >= limit or len(rows) < MAX_SCANNED:
        return _bounded(matching, limit)
    return _Found(matching, rows[-1].position)


def _read_audit(tx: Tx, wanted: LogFilter, ids: tuple[str, ...], place: Position, limit: int) -> _Found:
    rows: list[AuditRow] = []
    if wanted.person and not ids:
        return _Found([], None)
    # The audit log is read by its numbers; a place without an id is the beginning.
    begins = place == NEWEST or not place.id
    until_ms, below = (min(wanted.until_ms, MAX_TIME_MS), 0) if begins else (0, place.seq)
    subjects = [wanted.correlation_id] if wanted.correlation_id else ids or [""]
    for action in wanted.kinds or ("",):
        for subject in subjects:
            which = AuditFilter(wanted.operator, action, subject, wanted.since_ms, until_ms, below)
            rows += tx.audit.find(which, limit)
    return _bounded([_from_audit(row) for row in rows], limit)


_READERS = {Source.LOG: _read_log, Source.JOURNAL: _read_journal, Source.AUDIT: _read_audit}


def _bounded(entries: list[Entry], limit: int) -> _Found:
    entries = sorted(entries, key=lambda entry: _order(entry.place), reverse=True)
    return _Found(entries[:limit], entries[limit - 1].place if len(entries) >= limit else None)


def _mentions(row: JournalRow, text: str) -> bool:
    # What is searched is what is shown: also without the address in the source of a change.
    return text in {row.record_id, row.link_id, row.id} or _holds(show_data(row.data, lambda _: ""), text)


def _holds(data: object, text: str) -> bool:
    """Return whether a text stands in the data but for values of people: what matches would tell what is masked."""
    if isinstance(data, Mapping):
        return any(_holds(value, text) for name, value in data.items() if name != VALUES_OF_PEOPLE)
    if isinstance(data, list):
        return any(_holds(value, text) for value in data)
    return isinstance(data, str) and text in data


def _from_line(line: LogLine) -> Entry:
    return Entry(
        Source.LOG, line.id, line.position, line.event, line.level, line.side, line.record_id,
        process=line.process, logger=line.logger, correlation_id=line.correlation_id, data=line.data,
    )  # fmt: skip


def _from_journal(row: JournalRow) -> Entry:
    name, via = (row.operator.name, str(row.operator.via)) if row.operator else ("", "")
    return Entry(
        Source.JOURNAL, row.id, row.position, row.kind, "info", str(row.side or ""), row.record_id, row.link_id,
        name, via, data=row.data,
    )  # fmt: skip


def _from_audit(row: AuditRow) -> Entry:
    data = {"before": row.before, "after": row.after}
    place = Position(row.at_ms, row.seq, f"audit {row.seq}")
    return Entry(
        Source.AUDIT, place.id, place, row.action, "info", "", row.subject, "", row.operator.name,
        str(row.operator.via), data={name: value for name, value in data.items() if value is not None},
    )  # fmt: skip


def mask_entry(entry: Entry, show_value: Callable[[str], str]) -> Entry:
    """Return an entry with the values of people as ``show_value`` shows them: only the journal has some."""
    if entry.source is not Source.JOURNAL:
        return entry
    data = show_data(entry.data, show_value)
    return replace(entry, data=data if isinstance(data, dict) else {})


# -- cursors


def _order(place: Position) -> tuple[int, int, str]:
    return place.at_ms, place.seq, place.id


def _advance(places: Places, found: Mapping[Source, _Found], shown: Collection[Entry]) -> Places:
    """Where each source goes on after a page: behind its last entry that is shown; a source at its end is left out."""
    names = {entry.name for entry in shown}
    following: Places = {}
    for source, one in found.items():
        taken = [entry for entry in one.entries if entry.name in names]
        if len(taken) < len(one.entries):
            following[source] = taken[-1].place if taken else places[source]
        elif one.searched_to is not None:
            following[source] = one.searched_to
    return following


def _encode(places: Places) -> str:
    content = {str(source): [place.at_ms, place.seq, place.id] for source, place in places.items()}
    return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode().rstrip("=")


def _decode(cursor: str) -> Places:
    try:
        content = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        places = {Source(name): Position(at_ms, seq, row_id) for name, (at_ms, seq, row_id) in content.items()}
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise ConfigError([WRONG_CURSOR]) from error
    if not all(_is_place(place.at_ms, place.seq, place.id) for place in places.values()):
        raise ConfigError([WRONG_CURSOR])
    return places


def _is_place(at_ms: object, seq: object, row_id: object) -> bool:
    """Whether three values of a cursor are a place; they come from outside."""
    numbers = isinstance(at_ms, int) and isinstance(seq, int) and 0 <= at_ms <= 2**62 and -1 <= seq < 2**31
    return numbers and isinstance(row_id, str) and len(row_id) <= MAX_INDEXED_BYTES and not UNSAFE.search(row_id)
