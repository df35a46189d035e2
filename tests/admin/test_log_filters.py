"""The filters of the log in an address."""

from __future__ import annotations

import pytest

from wanesync.admin.log_filters import LogQuery, describe, show_entry
from wanesync.admin.security.visitors import Visitor
from wanesync.core.errors import ConfigError
from wanesync.core.operating.operators import OperatorRole, Via
from wanesync.ops.logs.search import Entry, Source
from wanesync.store.codec import JSON
from wanesync.store.tables.operating.log_lines import Position

ADMIN, VIEWER = (Visitor("ada", role, Via.PAGE) for role in (OperatorRole.ADMIN, OperatorRole.VIEWER))
NOW_MS = 1_796_000_000_000


def test_texts_become_values() -> None:
    query = LogQuery("2h", "1h", "updated, linked", " 7 ", "ada", "req_1", "warning", "log,journal,unknown")
    wanted = query.read(NOW_MS, ADMIN)
    assert (wanted.since_ms, wanted.until_ms) == (NOW_MS - 7_200_000, NOW_MS - 3_600_000)
    assert (wanted.kinds, wanted.person) == (("updated", "linked"), "7")
    assert wanted.sources == {Source.LOG, Source.JOURNAL}
    with pytest.raises(ConfigError, match="since soon"):
        LogQuery(since="soon").read(NOW_MS, ADMIN)


def test_only_administrators_see_the_audit_log() -> None:
    assert Source.AUDIT in LogQuery().read(NOW_MS, ADMIN).sources
    assert Source.AUDIT not in LogQuery().read(NOW_MS, VIEWER).sources
    assert LogQuery(source="audit").read(NOW_MS, VIEWER).sources == frozenset()


def test_filters_stand_in_the_address() -> None:
    assert LogQuery().address() == "/logs"
    assert LogQuery(kind="a&b", level=" ").address(cursor="x", kind="c d") == "/logs?kind=c+d&cursor=x"
    assert LogQuery(kind="a").address(kind="") == "/logs"


def test_an_entry_is_shown_in_words_with_values_masked() -> None:
    data: dict[str, JSON] = {
        "write_id": "w1",
        "fields": {"city": ["", "Ulm"], "email": ["a@b.example", "c@d.example"]},
        "none": [],
    }
    shown = show_entry(Entry(Source.JOURNAL, "1", Position(1), "updated", data=data))
    assert shown.details[0] == ("write id", "w1")
    assert "city blank → U•••" in shown.details[1][1]
    assert "@b.example" not in str(shown.details)
    failed = show_entry(Entry(Source.LOG, "1", Position(1), "failed", data={"exception": "a\nb"}))
    assert (failed.details, failed.long) == ([], {"exception": "a\nb"})
    assert describe([1, 2, 3]) == "1, 2, 3"
