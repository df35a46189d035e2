"""The audit log as operators read it, and the check that nothing of it was changed or removed."""

from __future__ import annotations

from dataclasses import dataclass, field

from wanesync.core.errors import ConfigError
from wanesync.store.database import Store, Tx
from wanesync.store.tables.operating.audit import AuditFilter, AuditLink, AuditRow

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Rows, the newest first. ``next_below``: what ``AuditFilter.below`` is for the rows after them; 0 at the end."""

    rows: list[AuditRow]
    next_below: int


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What a check found. ``mark``: number and hash of the newest row, to be kept elsewhere ("0:" without a row)."""

    rows: int
    mark: str
    problems: list[str] = field(default_factory=list)


def find_audit(store: Store, wanted: AuditFilter, limit: int) -> AuditPage:
    """Return the newest rows of a filter, at most ``limit``."""
    rows = store.read(lambda tx: tx.audit.find(wanted, limit + 1))
    more = len(rows) > limit
    return AuditPage(rows[:limit], rows[limit - 1].seq if more else 0)


def verify_audit(store: Store, expected: str = "") -> AuditCheck:
    """Check that every row is as it was written, that none is missing, and that the newest is the one of the head.

    ``expected``: a mark of an earlier check, ``NUMBER:HASH``: a copy of the database that was made before it, or a log
    that was cut and continued, does not have that row. Raises ConfigError for text that is no mark.
    """
    seq, _, digest = expected.partition(":")
    if expected and not (seq.isdecimal() and digest):
        raise ConfigError(["--expect: takes what an earlier check printed, NUMBER:HASH"])
    return store.read(lambda tx: _verify(tx, int(seq or 0), digest))


def _verify(tx: Tx, wanted: int, digest: str) -> AuditCheck:
    problems: list[str] = []
    rows, last, previous, seen = 0, 0, "", ""
    while links := tx.audit.links(last, previous, _PAGE):
        for link in links:
            problems += _check(link, last)
            seen = link.stored if link.seq == wanted else seen
            rows, last, previous = rows + 1, link.seq, link.stored
    head = tx.audit.head()
    if head != (last, previous):
        problems.append(f"the newest row is number {last}, but number {head[0]} was written last")
    if wanted and seen != digest:
        problems.append(f"row {wanted} is not the one of the mark")
    return AuditCheck(rows, f"{last}:{previous}", problems)


def _check(link: AuditLink, last: int) -> list[str]:
    if link.seq != last + 1:
        missing = f"row {last + 1} is" if link.seq == last + 2 else f"rows {last + 1} to {link.seq - 1} are"
        # Its own hash rests on a row that is not there.
        return [f"{missing} missing"]
    return [] if link.stored == link.computed else [f"row {link.seq} is not as it was written"]
