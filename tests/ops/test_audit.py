"""The check of the audit log finds whatever was done to it behind its back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.errors import ConfigError
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.audit import find_audit, verify_audit
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter

ANNA = Operator("anna", Via.PAGE)


EXCHANGED = (
    "UPDATE audit_log SET seq = 100 WHERE seq = 4; UPDATE audit_log SET seq = 4 WHERE seq = 5;"
    "UPDATE audit_log SET seq = 5 WHERE seq = 100"
)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """SQLite alone: the owner of a Postgres does the same."""
    return sqlite_url


@pytest.fixture
def filled(store: Store, clock: Clock) -> Store:
    for number in range(10):
        store.run(lambda tx, number=number: tx.audit.add(ANNA, "limit.set", f"s{number}", None, {"rate": number}))  # type: ignore[misc] # binds the loop's value
        clock.advance(1)
    return store


@pytest.fixture
def tamper(filled: Store) -> Callable[[str], None]:
    """Runs statements as the owner of the file does, without the triggers."""

    def run(statements: str) -> None:
        path = Path(filled.url_label.removeprefix("sqlite:"))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TRIGGER IF EXISTS audit_log_unchanged")
            connection.execute("DROP TRIGGER IF EXISTS audit_log_kept")
            connection.executescript(statements)

    return run


def test_a_log_as_it_was_written_has_no_problem(filled: Store) -> None:
    check = verify_audit(filled)
    assert (check.rows, check.problems) == (10, [])
    assert check.mark.startswith("10:")
    assert verify_audit(filled, check.mark).problems == []
    filled.run(lambda tx: tx.audit.add(ANNA, "a", "b"))
    assert verify_audit(filled, check.mark).problems == []


def test_an_empty_log_has_none(store: Store) -> None:
    assert verify_audit(store).mark == "0:"
    assert verify_audit(store).problems == []


@pytest.mark.parametrize(
    ("statements", "problems"),
    [
        ("UPDATE audit_log SET operator = 'ben' WHERE seq = 4", ["row 4 is not as it was written"]),
        ("UPDATE audit_log SET at_ms = at_ms + 1 WHERE seq = 4", ["row 4 is not as it was written"]),
        ("UPDATE audit_log SET via = 'cli' WHERE seq = 4", ["row 4 is not as it was written"]),
        ("UPDATE audit_log SET action = 'x' WHERE seq = 4", ["row 4 is not as it was written"]),
        ("UPDATE audit_log SET subject = 'x' WHERE seq = 4", ["row 4 is not as it was written"]),
        ("UPDATE audit_log SET before_state = '{}' WHERE seq = 4", ["row 4 is not as it was written"]),
        ("UPDATE audit_log SET after_state = '{\"rate\":9}' WHERE seq = 4", ["row 4 is not as it was written"]),
        (
            "UPDATE audit_log SET hash = 'x' WHERE seq = 4",
            ["row 4 is not as it was written", "row 5 is not as it was written"],
        ),
        ("DELETE FROM audit_log WHERE seq = 4", ["row 4 is missing"]),
        ("DELETE FROM audit_log WHERE seq BETWEEN 4 AND 6", ["rows 4 to 6 are missing"]),
        ("DELETE FROM audit_log WHERE seq < 3", ["rows 1 to 2 are missing"]),
        ("DELETE FROM audit_log WHERE seq > 8", ["the newest row is number 8, but number 10 was written last"]),
        ("DELETE FROM audit_log", ["the newest row is number 0, but number 10 was written last"]),
        (
            "INSERT INTO audit_log SELECT 11, at_ms, operator, via, action, subject, '', '', '' FROM audit_log LIMIT 1",
            ["row 11 is not as it was written", "the newest row is number 11, but number 10 was written last"],
        ),
        (
            EXCHANGED,
            [f"row {number} is not as it was written" for number in (4, 5, 6)],
        ),
        (
            # Renumbered after a row was removed.
            "DELETE FROM audit_log WHERE seq = 10; UPDATE audit_head SET seq = 9",
            ["the newest row is number 9, but number 9 was written last"],
        ),
    ],
)
def test_what_was_done_to_it_is_found(
    filled: Store, tamper: Callable[[str], None], statements: str, problems: list[str]
) -> None:
    tamper(statements)
    assert verify_audit(filled).problems == problems


def test_a_log_that_was_cut_with_its_head_is_found_by_a_mark(filled: Store, tamper: Callable[[str], None]) -> None:
    mark = verify_audit(filled).mark
    tamper(
        "DELETE FROM audit_log WHERE seq > 8;"
        "UPDATE audit_head SET seq = 8, hash = (SELECT hash FROM audit_log WHERE seq = 8)"
    )
    assert verify_audit(filled).problems == []
    assert verify_audit(filled, mark).problems == ["row 10 is not the one of the mark"]
    # Also after it was continued.
    for _ in range(3):
        filled.run(lambda tx: tx.audit.add(ANNA, "a", "b"))
    assert verify_audit(filled).problems == []
    assert verify_audit(filled, mark).problems == ["row 10 is not the one of the mark"]


@pytest.mark.parametrize("mark", ["x", "10", ":abc", "10:", "-1:abc"])
def test_text_that_is_no_mark_is_refused(filled: Store, mark: str) -> None:
    with pytest.raises(ConfigError, match="NUMBER:HASH"):
        verify_audit(filled, mark)


def test_rows_are_read_by_pages(filled: Store) -> None:
    first = find_audit(filled, AuditFilter(), 4)
    assert [row.seq for row in first.rows] == [10, 9, 8, 7]
    second = find_audit(filled, AuditFilter(below=first.next_below), 4)
    last = find_audit(filled, AuditFilter(below=second.next_below), 4)
    assert [row.seq for row in last.rows] == [2, 1]
    assert last.next_below == 0
